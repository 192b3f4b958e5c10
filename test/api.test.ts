import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { openPage } from './browser.js';
import { scenariosOf } from './draw.js';
import { scenarioNames } from './scenarios.js';

const seed = inject('seed');
const pageErrors: string[] = [];
let page: Page;

beforeAll(async () => {
  console.log(`API scenarios: seed ${seed}`);
  page = await openPage('/test/page.html');
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  await page.waitForFunction(() => 'tests' in window);
});
afterAll(() => page.close());

test.each(scenariosOf('Chromium', scenarioNames, seed))('%s', async (name) => {
  await page.evaluate((n, s) => window.tests.runScenario(n, s), name, seed);
  expect(pageErrors.splice(0)).toEqual([]);
});
