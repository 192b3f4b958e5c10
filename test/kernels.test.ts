import fc from 'fast-check';
import type { Page } from 'puppeteer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPage } from './browser.js';
import { type Case, cases } from './cases.js';
import type { Report } from './page.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
let page: Page;

beforeAll(async () => {
  console.log(`kernel tests: seed ${seed}`);
  page = await openPage('/test/page.html');
  await page.waitForFunction(() => 'tests' in window);
});
afterAll(() => page.close());

/** A software adapter takes seconds to compile a large workgroup with barriers, so that most cases run with a small one. */
const SMALL_WORKGROUPS = { maxComputeInvocationsPerWorkgroup: 16 };

const GPU = { kind: 'gpu', subgroups: false } as const;
/** Every kernel is reached by one of these. */
const PROFILES = [{ kind: 'software', subgroups: true }, { kind: 'software', subgroups: false }, GPU] as const;
type Profiles = readonly (typeof PROFILES)[number][];

function run(batch: readonly Case[], profiles: Profiles = PROFILES, limits: Record<string, number> = SMALL_WORKGROUPS): Promise<Report[]> {
  return page.evaluate((c, p, s, l) => window.tests.checkKernels(c, p, s, l), batch as Case[], profiles as [...Profiles], seed, limits);
}

const failures = (reports: readonly Report[]) => reports.flatMap(({ title, failure }) => (failure ? [`${title} ${failure}`] : []));

describe('each kernel against its stage of the reference', () => {
  test.each(cases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const reports = await run([one]);
    expect(reports.length).toBeGreaterThan(0);
    expect(failures(reports)).toEqual([]);
  });
});

const named = (pattern: RegExp) => cases.filter(({ name }) => pattern.test(name));

describe('limits', () => {
  test('workgroups of full size', async () => {
    expect(failures(await run(named(/^(c_gt_tile|c_prime|multiplier_3|rate_unequal|activation_silu_o7)$/), [GPU], {}))).toEqual([]);
  });
  test('grids beyond the workgroups of one dimension (tfjs #8373, llama.cpp #19965)', async () => {
    const limits = { ...SMALL_WORKGROUPS, maxComputeWorkgroupsPerDimension: 7 };
    expect(failures(await run(named(/gt_tile|batch_3|activation_silu/), PROFILES, limits))).toEqual([]);
  });
  test('a real grid beyond 65,535 workgroups', async () => {
    const one: Case = { name: 'rows_4200', input: [1, 4200, 520, 1], filter: [1, 1, 1], O: 1, padding: 'SAME' };
    expect(failures(await run([one], PROFILES.slice(0, 1)))).toEqual([]);
  });
  test('one invocation a workgroup, fewer than compatibility mode has (tfjs #5494, onnxruntime #25962)', async () => {
    expect(failures(await run(named(/^(c_|o_|rate_)/), PROFILES, { maxComputeInvocationsPerWorkgroup: 1 }))).toEqual([]);
  });
});

test('exhaustive small sweep (tfjs #6629, #8393)', { timeout: 600_000 }, async () => {
  const sweep: Case[] = [];
  for (const M of [1, 2]) for (const s of [1, 2, 3]) for (const KH of [1, 2, 3, 4]) for (const KW of [1, 2, 3, 4]) {
    for (let H = 1; H <= 5; H++) for (let W = 1; W <= 5; W++) for (const padding of ['SAME', 'VALID']) {
      if (padding === 'VALID' && (KH > H || KW > W)) continue;
      const C = 1 + ((H + W + KH + KW + s) % 4);
      sweep.push({ name: `${H}x${W}x${C} k${KH}x${KW}x${M} s${s} ${padding}`, input: [1, H, W, C], filter: [KH, KW, M], O: 1 + ((H * KW + s) % 5), padding, strides: s });
    }
  }
  expect(sweep.length).toBeGreaterThan(3000);
  expect(failures(await runAll(sweep)).slice(0, 20)).toEqual([]);
});

test('random geometries', { timeout: 600_000 }, async () => {
  const extent = (most: number) => fc.integer({ min: 1, max: most });
  const activation = fc.constantFrom<NonNullable<Case['activation']>[]>('linear', 'relu6', 'silu', { leakyRelu: 0.2 });
  const geometry = fc.record({
    input: fc.tuple(extent(3), extent(20), extent(20), extent(40)), filter: fc.tuple(extent(6), extent(11), extent(4)), O: extent(70),
    step: fc.oneof(fc.record({ strides: fc.tuple(extent(4), extent(4)) }), fc.record({ rate: fc.tuple(extent(4), extent(4)) })),
    padding: fc.oneof(fc.constant('SAME'), fc.tuple(fc.tuple(fc.nat(7), fc.nat(7)), fc.tuple(fc.nat(7), fc.nat(7)))),
    biases: fc.boolean(), depthwiseActivation: activation, activation,
  });
  const drawn = fc.sample(geometry, { seed, numRuns: 50 }).map(({ step, ...one }): Case => ({ name: JSON.stringify({ ...one, ...step }), ...one, ...step }));
  // Explicit padding may be too small for the kernel: an error, which geometry.test.ts has.
  const possible = drawn.filter(({ input: [, H, W], filter: [KH, KW], padding, rate }) => {
    const [rh, rw] = rate as [number, number] | undefined ?? [1, 1];
    return typeof padding === 'string'
      || (H + sum(padding[0]!) > (KH - 1) * rh && W + sum(padding[1]!) > (KW - 1) * rw);
  });
  expect(possible.length).toBeGreaterThan(25);
  expect(failures(await runAll(possible)).slice(0, 20)).toEqual([]);
});

const sum = ([a, b]: readonly [number, number]) => a + b;

/** In portions, so that progress shows; with the small tiles, because large ones take a software adapter long to compile. */
async function runAll(batch: readonly Case[]): Promise<Report[]> {
  const reports: Report[] = [];
  for (let start = 0; start < batch.length; start += 500) {
    reports.push(...(await run(batch.slice(start, start + 500), [GPU])));
    console.log(`${Math.min(start + 500, batch.length)} of ${batch.length} geometries, ${reports.length} comparisons`);
  }
  return reports;
}
