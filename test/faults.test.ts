import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage } from './browser.js';
import { type Extent, lifetimes, sweeps } from './fault-scenarios.js';
import { sharing } from './sharing-scenarios.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
/** `FAULTS=all npx vitest run test/faults.test.ts` lets every call fail; the tests take one of each method, drawn by the seed. */
const extent: Extent = process.env['FAULTS'] === 'all' ? 'every call' : 'each method';
const pageErrors: string[] = [];
let page: Page;

beforeAll(async () => {
  console.log(`Fault scenarios: seed ${seed}`);
  page = await openPage('/test/reliability.html');
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  await page.waitForFunction(() => 'reliability' in window);
});
afterAll(() => page.close());

test.each(Object.keys({ ...sweeps, ...lifetimes, ...sharing }))('%s', async (name) => {
  const result = await page.evaluate((n, s, e) => window.reliability.run(n, s, e), name, seed, extent);
  if (typeof result === 'string') console.log(`${name}: ${result}`);
  expect(pageErrors.splice(0)).toEqual([]);
});
