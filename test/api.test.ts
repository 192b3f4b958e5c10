import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage } from './browser.js';
import { scenarioNames } from './scenarios.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const pageErrors: string[] = [];
let page: Page;

beforeAll(async () => {
  console.log(`API scenarios: seed ${seed}`);
  page = await openPage('/test/page.html');
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  await page.waitForFunction(() => 'tests' in window);
});
afterAll(() => page.close());

test.each(scenarioNames)('%s', async (name) => {
  await page.evaluate((n, s) => window.tests.runScenario(n, s), name, seed);
  expect(pageErrors.splice(0)).toEqual([]);
});
