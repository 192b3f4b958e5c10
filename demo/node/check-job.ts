import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { setTimeout } from 'node:timers/promises';
import type { Browser } from 'puppeteer';
import { markdownOf } from '../../test/check/markdown.js';
import { type CheckReport, isWrong } from '../../test/check/report.js';
import { listen, reportOf, shortPath, textOf } from './drive.js';

/** Milliseconds between looks at the page. */
const LOOK = 200;

/** Checks the browser's device, prints the report, and says whether all was right. @throws Error if none came of it */
export async function checkGpu(
  browser: Pick<Browser, 'newPage'>, url: string, json: string | undefined,
): Promise<boolean> {
  const page = await browser.newPage();
  const complaints = listen(page);
  await page.goto(`${url}#check`);
  await page.waitForSelector('#check-run:enabled, #trouble:not([hidden])');
  const trouble = await textOf(page, '#trouble-reason');
  if (trouble !== '') throw new Error(trouble);
  await page.click('#check-run');
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
  const { report: text = '' } = await reportOf(page, 'check-report');
  const report = JSON.parse(text) as CheckReport;
  console.log(markdownOf(report));
  if (json !== undefined) {
    writeFileSync(json, `${JSON.stringify(report, undefined, 1)}\n`);
    console.log(`Report    ${shortPath(json)}`);
  }
  return !isWrong(report) && complaints.length === 0;
}

/** Shows how far it is: always on a terminal, elsewhere when another part begins. Returns what it has shown last. */
function tell(line: string, last: string): string {
  const part = (text: string): string | undefined => text.split(':')[0];
  if (process.stderr.isTTY) process.stderr.write(`\r${line}\x1b[K`);
  else if (line !== '' && part(line) !== part(last)) console.error(line);
  return line;
}
