import { writeFileSync } from 'node:fs';
import process from 'node:process';
import type { Browser } from 'puppeteer';
import { markdownOf } from '../../test/check/markdown.js';
import { type CheckReport, isWrong } from '../../test/check/report.js';
import { listen, reportOf, shortPath, textOf } from './drive.js';

/** Milliseconds in which the check is done on any device: it takes two minutes, and more where cases hang. */
const TIMEOUT = 600_000;

/** Checks the browser's device, prints the report, and says whether all was right. */
export async function checkGpu(browser: Browser, url: string, json: string | undefined): Promise<boolean> {
  const page = await browser.newPage();
  const complaints = listen(page);
  await page.goto(`${url}#check`);
  await page.waitForSelector('#check-run:enabled, #trouble:not([hidden])', { timeout: TIMEOUT });
  const trouble = await textOf(page, '#trouble-reason');
  if (trouble !== '') throw new Error(trouble);
  await page.click('#check-run');
  const { isTTY } = process.stderr;
  const timer = setInterval(() => {
    if (isTTY) void textOf(page, '#check-status').then((line) => process.stderr.write(`\r${line}\x1b[K`), () => {});
  }, 1000);
  const done = '#gpu-check:is([data-state=done], [data-state=failed])';
  await page.waitForSelector(done, { timeout: TIMEOUT }).finally(() => clearInterval(timer));
  if (isTTY) process.stderr.write('\r\x1b[K');
  const { report: text } = await reportOf(page, 'check-report');
  if (text === undefined) throw new Error(await textOf(page, '#check-status'));
  const report = JSON.parse(text) as CheckReport;
  console.log(markdownOf(report));
  if (json !== undefined) {
    writeFileSync(json, `${JSON.stringify(report, undefined, 1)}\n`);
    console.log(`Report    ${shortPath(json)}`);
  }
  await page.close();
  return !isWrong(report) && complaints.length === 0;
}
