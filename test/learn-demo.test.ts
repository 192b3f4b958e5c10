import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage } from './browser.js';

const errors: string[] = [];
let page: Page;

beforeAll(async () => {
  page = await openPage('/demo/#training');
  page.on('pageerror', (error) => errors.push(String(error)));
});
afterAll(() => page.close());

const report = () =>
  page.$eval('#learn-report', (element) => Object.fromEntries(Object.entries((element as HTMLElement).dataset)));
const text = (selector: string) => page.$eval(selector, ({ textContent }) => textContent?.trim() ?? '');

/** Waits until the loss has fallen so far. */
const fallen = (times: number) => page.waitForFunction(
  (least) => Number(document.querySelector<HTMLElement>('#learn-report')?.dataset['fall']) >= least,
  { timeout: 200_000 }, times);

test('a filter is learned from a photo and its filtered version: the loss falls by 100x', async () => {
  await fallen(100);
  const { steps, loss, fall } = await report();
  console.log(`the loss fell ${fall}-fold to ${loss} in ${steps} steps`);
  expect(Number(steps)).toBeGreaterThan(5);
  expect(await text('#learn-verdict')).toMatch(/^The loss fell \d+-fold$/);
  expect(await text('#learn-failure')).toBe('');
  await page.screenshot({ path: 'output/demo-learn.png', fullPage: true });
});

test('another filter starts anew, pausing stops the steps, and leaving the tab pauses', async () => {
  await page.select('#learn-filter', 'slope');
  await page.waitForFunction(() =>
    Number(document.querySelector<HTMLElement>('#learn-report')?.dataset['steps']) < 100);
  await fallen(10);
  await page.click('#learn-pause');
  const stepsAfter = async (milliseconds: number) => {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    return (await report())['steps'];
  };
  const steps = await stepsAfter(1000);
  expect(await stepsAfter(500)).toBe(steps);
  await page.click('#learn-pause');
  await page.waitForFunction(
    (before) => Number(document.querySelector<HTMLElement>('#learn-report')?.dataset['steps']) > Number(before),
    {}, steps);
  await page.click('#tab-explore');
  expect(await page.$eval('#learn-pause', (button) => button.getAttribute('aria-pressed'))).toBe('true');
  await page.click('#tab-learn');
});

test('the tab fits a phone, and no page error came up', async () => {
  await page.setViewport({ width: 390, height: 844 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  expect(errors).toEqual([]);
});
