import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage, requestsOf } from './browser.js';

const errors: string[] = [];
let page: Page;

beforeAll(async () => {
  page = await openPage('/demo/#filters');
  page.on('pageerror', (error) => errors.push(String(error)));
  await settled();
});
afterAll(() => page.close());

const settled = () => page.waitForSelector('#photo:not([data-state=working])', { timeout: 60_000 });
const text = (selector: string) => page.$eval(selector, ({ textContent }) => textContent?.trim() ?? '');
const report = () =>
  page.$eval('#report', (element) => Object.fromEntries(Object.entries((element as HTMLElement).dataset)));

async function choose(values: Record<string, string>): Promise<void> {
  await page.evaluate((chosen) => {
    for (const [id, value] of Object.entries(chosen)) {
      document.querySelector<HTMLSelectElement>(`#${id}`)!.value = value;
    }
    document.querySelector('#filter')!.dispatchEvent(new Event('input', { bubbles: true }));
  }, values);
  await settled();
}

const filters = () => page.$$eval('#filter option', (options) => options.map(({ value }) => value));

test('every filter agrees with the reference, in both strategies', async () => {
  const ids = await filters();
  expect(ids.length).toBeGreaterThanOrEqual(5);
  for (const [index, filter] of ids.entries()) {
    const strategy = index % 2 ? 'fused' : 'two-pass';
    await choose({ filter, strategy, size: '512' });
    const { agrees, maxError, strategy: taken, shape } = await report();
    expect(shape).toMatch(/x512x3$/);
    expect({ filter, agrees, taken }).toEqual({ filter, agrees: 'true', taken: strategy });
    expect(Number(maxError)).toBeLessThanOrEqual(2e-6);
    expect(await text('#verdict')).toContain('Agrees');
  }
});

test('stride and rate change the output, and the two together are an error that is shown', async () => {
  const [filter] = await filters();
  await choose({ filter: filter!, strategy: 'auto', stride: '2', rate: '1' });
  const { shape } = await report();
  await choose({ stride: '1', rate: '2' });
  expect((await report())['shape']).not.toBe(shape);
  await choose({ stride: '2', rate: '2' });
  expect(await text('#error')).toContain('rate must be 1 where strides are not 1');
  await choose({ stride: '1', rate: '1' });
  expect((await report())['agrees']).toBe('true');
});

test('the page fits a phone and a desktop', async () => {
  for (const [name, width, height] of [['desktop', 1280, 900], ['phone', 390, 844]] as const) {
    await page.setViewport({ width, height });
    await settled();
    expect(await page.evaluate(() => document.documentElement.scrollWidth), name).toBeLessThanOrEqual(width);
    await page.screenshot({ path: `output/demo-${name}.png`, fullPage: true });
  }
});

test('nothing was asked of another server, and no page error came up', () => {
  const { origin } = new URL(page.url());
  expect(requestsOf(page).length).toBeGreaterThan(20);
  expect(requestsOf(page).filter((url) => new URL(url).origin !== origin)).toEqual([]);
  expect(errors).toEqual([]);
});
