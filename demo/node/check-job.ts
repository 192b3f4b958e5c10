import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { setTimeout } from 'node:timers/promises';
import type { Browser } from 'puppeteer';
import { markdownOf } from '../../test/check/markdown.js';
import { type CheckReport, isWhole } from '../../test/check/report.js';
import { listen, reportOf, shortPath, textOf } from './drive.js';

/** Milliseconds between looks at the page. */
const LOOK = 200;

export interface CheckJob {
  /** Every case by every kernel. */
  readonly all: boolean;
  /** Of an earlier report, to draw the same. */
  readonly seed: number | undefined;
  /** Where the report goes. */
  readonly json: string | undefined;
}

/**
 * Checks the browser's device, prints the report, and says whether all was done and right. Ctrl+C stops the check: then
 * there is a report of what was done.
 * @throws Error if none came of it
 */
export async function checkGpu(
  browser: Pick<Browser, 'newPage'>, url: string, { all, seed, json }: CheckJob,
): Promise<boolean> {
  const page = await browser.newPage();
  const complaints = listen(page);
  const address = new URL(url);
  if (seed !== undefined) address.searchParams.set('seed', String(seed));
  address.hash = 'check';
  await page.goto(address.href);
  await page.waitForSelector('#check-run:enabled, #trouble:not([hidden])');
  const trouble = await textOf(page, '#trouble-reason');
  if (trouble !== '') throw new Error(trouble);
  const { adapter } = await reportOf(page, 'gpu-check');
  if (process.env['SEPCONV_ADAPTER'] === 'gpu' && adapter === 'software') {
    throw new Error('SEPCONV_ADAPTER=gpu, but the browser finds no GPU, only a software adapter');
  }
  if (all) await page.click('#check-all');
  await page.click('#check-run');
  const release = onInterrupt(() => void page.click('#check-stop').catch(() => undefined));
  try {
    let told = '';
    for (;;) {
      const { state } = await reportOf(page, 'gpu-check');
      const line = await textOf(page, '#check-where');
      if (state === 'failed') throw new Error(line);
      if (state === 'done') break;
      told = tell(line, told);
      await setTimeout(LOOK);
    }
    tell('', told);
  } finally {
    release();
  }
  const { report: text = '' } = await reportOf(page, 'check-report');
  const report = JSON.parse(text) as CheckReport;
  console.log(markdownOf(report));
  if (json !== undefined) {
    writeFileSync(json, `${JSON.stringify(report, undefined, 1)}\n`);
    console.log(`Report    ${shortPath(json)}`);
  }
  return isWhole(report) && complaints.length === 0;
}

/** Milliseconds in which Ctrl+C may come more than once: those who started this process hand it on. */
const ECHO = 1000;

/** What the first Ctrl+C does. Another one does what the first did before, which is to end browser and process. */
function onInterrupt(stop: () => void): () => void {
  const before = process.listeners('SIGINT');
  let first: number | undefined;
  const interrupt = (signal: NodeJS.Signals): void => {
    if (first === undefined) {
      first = Date.now();
      stop();
    } else if (Date.now() - first > ECHO) {
      for (const listener of before) listener(signal);
    }
  };
  for (const listener of before) process.off('SIGINT', listener); // tsx has one more, which it does not show.
  process.on('SIGINT', interrupt);
  return () => {
    process.off('SIGINT', interrupt);
    for (const listener of before) process.on('SIGINT', listener);
  };
}

/** Shows how far it is: always on a terminal, elsewhere when another part begins. Returns what it has shown last. */
function tell(line: string, last: string): string {
  const part = (text: string): string | undefined => text.split(':')[0];
  if (process.stderr.isTTY) process.stderr.write(`\r${line}\x1b[K`);
  else if (line !== '' && part(line) !== part(last)) console.error(line);
  return line;
}
