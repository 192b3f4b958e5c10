import type { Page } from 'puppeteer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPage } from './browser.js';
import { type Case, cases } from './cases.js';
import type { Report } from './page.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
/** Every kernel is reached by one of these. */
const profiles = [
  { kind: 'software', subgroups: true }, { kind: 'software', subgroups: false }, { kind: 'gpu', subgroups: false },
] as const;
let page: Page;

beforeAll(async () => {
  console.log(`kernel tests: seed ${seed}`);
  page = await openPage('/test/page.html');
  await page.waitForFunction(() => 'tests' in window);
});
afterAll(() => page.close());

function run(batch: readonly Case[], limits: Record<string, number> = {}): Promise<Report[]> {
  return page.evaluate((c, p, s, l) => window.tests.checkKernels(c, p, s, l), batch as Case[], profiles, seed, limits);
}

const failures = (reports: readonly Report[]) => reports.flatMap(({ title, failure }) => (failure ? [`${title} ${failure}`] : []));

describe('each kernel against its stage of the reference', () => {
  test.each(cases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const reports = await run([one]);
    expect(reports.length).toBeGreaterThan(0);
    expect(failures(reports)).toEqual([]);
  });
});
