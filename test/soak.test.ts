import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage } from './browser.js';
import { caps } from './soak.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const pageErrors: string[] = [];
let page: Page;

beforeAll(async () => {
  page = await openPage('/test/reliability.html');
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  await page.waitForFunction(() => 'reliability' in window);
});
afterAll(() => page.close());

test.each(Object.keys(caps))('%s', async (name) => {
  await page.evaluate((n, s) => window.reliability.run(n, s), name, seed);
  expect(pageErrors).toEqual([]);
});

test('100 mixed runs leave nothing behind, a slice of npm run soak', async () => {
  console.log(`Soak: seed ${seed}`);
  await page.evaluate((s) => window.reliability.startSoak(s), seed);
  const half = await page.evaluate(() => window.reliability.stepSoak(50));
  const { checked, mostBuffers } = await page.evaluate(() => window.reliability.stepSoak(50));
  expect(checked).toBe(4);
  expect(half.mostBuffers).toBeGreaterThan(10);
  expect(mostBuffers).toBeLessThan(256);
  const { buffers } = await page.evaluate(() => window.reliability.endSoak());
  expect(buffers).toBe(0);
  expect(pageErrors).toEqual([]);
});
