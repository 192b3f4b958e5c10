import type { Page } from 'puppeteer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPage } from './browser.js';
import type { PresetName } from '../src/plan/presets.js';
import { type Case, cases, gradientCases } from './cases.js';
import type { Report } from './compare.js';
import { drawnFrom, drawnShare, GPU_PRESETS, presetsOf } from './draw.js';
import { gradientScenarios } from './gradient-scenarios.js';
import { random } from './random.js';

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

function run(
  batch: readonly Case[], names: readonly PresetName[], limits: Record<string, number> = SMALL_WORKGROUPS,
): Promise<Report[]> {
  return page.evaluate((c, p, s, l) => window.tests.checkGradients(c, p, s, l), batch as Case[],
    names as PresetName[], seed, limits);
}

const failures = (reports: readonly Report[]) =>
  reports.flatMap(({ title, failure }) => (failure ? [`${title} ${failure}`] : []));

/** The seed draws a tenth; `CASES=all` takes all. */
const drawn = drawnShare(gradientCases, 10, seed);

describe('each step of the backward pass against its stage of the reference', () => {
  test.concurrent.each(drawn.map((one, index) => [one.name, one, index] as const))('%s', async (_, one, index) => {
    const reports = await run([one], presetsOf('Chromium', index, seed));
    expect(reports.length).toBeGreaterThanOrEqual(one.passes === undefined ? 5 : 3);
    expect(failures(reports)).toEqual([]);
  });
});

const named = (pattern: RegExp) => cases.filter(({ name }) => pattern.test(name));

// Between them they have every kernel and every size of tile; the seed draws one of the software adapters' and one of
// the GPUs'.
const fullSize: readonly PresetName[] = [
  ...drawnFrom<PresetName>(['quads', 'registers', ...GPU_PRESETS, 'gpuThin'], seed),
];
test.each(
  fullSize.map((name, index) => [name, index] as const)
)('the preset %s in full size', { timeout: 180_000 }, async (name, index) => {
  const batch = [
    ...drawnShare(named(/^large/), 6, seed + index),
    ...named(/^(rate_4_multiplier_3|padding_explicit|activation_silu_o7|o_gt_tile)$/),
  ];
  expect(batch.length).toBeGreaterThanOrEqual(5);
  expect(failures(await run(batch, [name], {}))).toEqual([]);
});

test('grids beyond the workgroups of one dimension, and the smallest workgroups', async () => {
  const batch = named(/^(c_prime|batch_3|o_gt_tile|activation_silu_o7|rate_2)$/);
  expect(batch.length).toBe(5);
  const limits = { ...SMALL_WORKGROUPS, maxComputeWorkgroupsPerDimension: 16 };
  expect(failures(await run(batch, ['lightQuads'], limits))).toEqual([]);
  expect(failures(await run(batch, ['lightRegisters'], { maxComputeInvocationsPerWorkgroup: 1 }))).toEqual([]);
  // Small workgroups have few slices, so that sums over so many pixels are cut into many parts, and rows with gaps.
  const many: Case = { name: 'pixels_5200', input: [1, 80, 65, 3], filter: [1, 1, 1], O: 5, padding: 'SAME' };
  for (const maxComputeInvocationsPerWorkgroup of drawnFrom([1, 4], seed)) {
    const few = { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupsPerDimension: 256 };
    expect(failures(await run([...drawnShare(batch, 4, seed), many], drawnFrom(GPU_PRESETS, seed), few))).toEqual([]);
  }
});

test('random geometries', async () => {
  const next = random(seed);
  const pick = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  const batch = Array.from({ length: 6 }, (): Case => {
    const step = next() < 0.5
      ? { strides: [pick(1, 5), pick(1, 5)] as const }
      : { rate: [pick(1, 4), pick(1, 4)] as const };
    const filter = [pick(1, 6), pick(1, 8), pick(1, 4)] as const;
    const one = {
      input: [pick(1, 3), pick(1, 16), pick(1, 16), pick(1, 24)] as const, filter, O: pick(1, 40), ...step,
      // Enough for any kernel at any rate, and more before than any tap reaches.
      padding: next() < 0.5 ? 'SAME' : [[pick(20, 24), pick(0, 3)], [pick(28, 32), pick(0, 3)]] as const,
      depthwiseActivation: next() < 0.5 ? 'linear' as const : { leakyRelu: -0.2 },
      activation: next() < 0.5 ? 'linear' as const : 'hardSwish' as const,
    };
    return { name: JSON.stringify(one), ...one };
  });
  expect(failures(await run(batch.slice(0, 4), ['lightQuads']))).toEqual([]);
  expect(failures(await run(batch.slice(4), drawnFrom(GPU_PRESETS, seed)))).toEqual([]);
});

describe('the API', () => {
  test.each(Object.keys(gradientScenarios))('%s', async (name) => {
    await page.evaluate((n, s) => window.tests.runScenario(n, s), name, seed);
    expect(pageErrors.splice(0)).toEqual([]);
  });
});
