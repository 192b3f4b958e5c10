import type { Page } from 'puppeteer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPage } from './browser.js';
import { type AdapterKind, type PresetName, presets } from '../src/presets.js';
import { type Case, cases } from './cases.js';
import { gradientScenarios } from './gradient-scenarios.js';
import type { Report } from './page.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const pageErrors: string[] = [];
let page: Page;

beforeAll(async () => {
  console.log(`gradient tests: seed ${seed}`);
  page = await openPage('/test/page.html');
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  await page.waitForFunction(() => 'tests' in window);
});
afterAll(() => page.close());

/** As in kernels.test.ts: large workgroups with barriers compile for seconds on a software adapter. */
const SMALL_WORKGROUPS = { maxComputeInvocationsPerWorkgroup: 16 };

function run(batch: readonly Case[], names: readonly PresetName[], kind: AdapterKind = 'software', limits: Record<string, number> = SMALL_WORKGROUPS): Promise<Report[]> {
  return page.evaluate((c, p, s, l, k) => window.tests.checkGradients(c, p, s, l, k), batch as Case[], names as PresetName[], seed, limits, kind);
}

const failures = (reports: readonly Report[]) => reports.flatMap(({ title, failure }) => (failure ? [`${title} ${failure}`] : []));

const small = cases.filter(({ name }) => !/^large|65x65/.test(name));

describe('each step of the backward pass against its stage of the reference', () => {
  test.each(small.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const reports = await run([one], ['lightQuads']);
    expect(reports.length).toBeGreaterThanOrEqual(5);
    expect(failures(reports)).toEqual([]);
  });
});

const named = (pattern: RegExp) => cases.filter(({ name }) => pattern.test(name));

test.each(Object.keys(presets) as PresetName[])('the preset %s in full size', { timeout: 180_000 }, async (name) => {
  const batch = named(/^(large.*|rate_4_multiplier_3|padding_explicit|activation_silu_o7)$/);
  expect(batch.length).toBeGreaterThanOrEqual(6);
  expect(failures(await run(batch, [name], name.startsWith('gpu') ? 'gpu' : 'software', {}))).toEqual([]);
});

describe('the API', () => {
  test.each(Object.keys(gradientScenarios))('%s', async (name) => {
    await page.evaluate((n, s) => window.tests.runScenario(n, s), name, seed);
    expect(pageErrors.splice(0)).toEqual([]);
  });
});
