import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PresetName, presetsOfKind } from '../src/plan/presets.js';
import type { Plan } from '../src/plan/steps.js';
import { drawnFrom, drawnShare, GPU_PRESETS, presetsOf } from './draw.js';
import { type Case, cases } from './cases.js';
import type { Report } from './compare.js';
import { type Implementation, implementations } from './implementations.js';
import { defaultProfile, planOf } from './plans.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
let chromium: Implementation;

beforeAll(async () => {
  console.log(`kernel tests: seed ${seed}`);
  chromium = await implementations.Chromium();
});
afterAll(() => chromium.close());

/**
 * A software adapter takes seconds to compile a large workgroup with barriers, so that most cases run with a small one.
 */
const SMALL_WORKGROUPS = { maxComputeInvocationsPerWorkgroup: 16 };

/** Between them these presets have every kind of kernel; their tiles are light. */
const LIGHT: readonly PresetName[] = ['lightQuads', 'lightRegisters', ...drawnFrom(GPU_PRESETS, seed)];

function run(
  batch: readonly Case[], names = LIGHT, limits: Record<string, number> = SMALL_WORKGROUPS,
): Promise<Report[]> {
  return chromium.evaluate('checkKernels', batch, names, seed, limits);
}

const failures = (reports: readonly Report[]) =>
  reports.flatMap(({ title, failure }) => (failure ? [`${title} ${failure}`] : []));

const small = cases.filter(({ name }) => !name.startsWith('large'));
/** Half of the cases of both passes, and a quarter of those of either alone, with residuals and with factors. */
const isPlain = ({ passes, residual, inputScale }: Case): boolean => !passes && !residual && !inputScale;
const drawn = [
  ...drawnShare(small.filter(isPlain), 2, seed), ...drawnShare(small.filter((one) => !isPlain(one)), 4, seed),
];

describe('each kernel against its stage of the reference', () => {
  test.concurrent.each(drawn.map((one, index) => [one.name, one, index] as const))('%s', async (_, one, index) => {
    const reports = await run([one], presetsOf('Chromium', index, seed));
    expect(reports.length).toBeGreaterThan(0);
    expect(failures(reports)).toEqual([]);
  });
});

/** How a case is computed under a limit: as without one, in bands, or not at all, which is said with the numbers. */
function underLimits(one: Case, limits: Partial<GPUSupportedLimits>): 'whole' | 'in bands' | 'refused' {
  try {
    const plans = (['fused', 'two-pass'] as const).map((strategy) =>
      planOf(one, { ...defaultProfile, limits: { ...defaultProfile.limits, ...limits } }, strategy));
    const outputs = ({ steps }: Plan): number => steps.filter(({ writes }) => writes.value === 'output').length;
    return plans.some((planned) => outputs(planned) > 1) ? 'in bands' : 'whole';
  } catch (error) {
    expect(String(error)).toMatch(/UnsupportedError: \w+Conv2d '.*': .* bytes.* device can bind/);
    return 'refused';
  }
}

const named = (pattern: RegExp) => cases.filter(({ name }) => pattern.test(name));

/**
 * Presets that go together in full size: one of each kind of adapter, of which the seed draws one pair. They compile
 * for 2 to 16 seconds, so that those that take long have a partner that does not: a pair takes 6 to 18.
 */
const PAIRS = [
  ['lightQuads', 'gpuManyPixels'], ['lightQuads', 'gpu'],
  ['lightRegisters', 'gpuManyChannels'], ['lightRegisters', 'gpuEvenPixels'],
  ['quads', 'gpuFewPixels'], ['quads', 'gpuDeep'],
  ['registers', 'gpuFewChannels'], ['registers', 'gpuManyTaps'], ['registers', 'gpuRows'], ['registers', 'gpuThin'],
] as const satisfies readonly (readonly PresetName[])[];
test('every preset has its turn in full size', () => {
  expect(new Set<string>(PAIRS.flat())).toEqual(new Set([...presetsOfKind('software'), ...presetsOfKind('gpu')]));
});

const fullSize = [...new Set(drawnFrom(PAIRS, seed).flat())];
test.each(
  fullSize.map((name, index) => [name, index] as const)
)('the preset %s in full size', { timeout: 180_000 }, async (name, index) => {
  const batch = [
    ...drawnShare(named(/^large/), 6, Math.floor(seed / PAIRS.length) + index), // Each pair gets each of them.
    ...named(/^(rate_4_multiplier_3|padding_explicit|activation_silu_o7)$/),
  ];
  expect(batch.length).toBeGreaterThanOrEqual(4);
  expect(failures(await run(batch, [name], {}))).toEqual([]);
});

describe('limits', () => {
  test('grids beyond the workgroups of one dimension (tfjs #8373, llama.cpp #19965)', async () => {
    const limits = { ...SMALL_WORKGROUPS, maxComputeWorkgroupsPerDimension: 16 };
    expect(failures(await run(named(/gt_tile|batch_3/), LIGHT, limits))).toEqual([]);
  });
  // Bands of many sizes take many variants to compile, so that the smaller limit runs with one preset. Cases that need
  // no bands run as they do without a limit.
  test.each(
    [[16384, LIGHT.filter((name) => name !== 'lightRegisters')], [2048, ['lightRegisters']]] as const
  )('tensors beyond a binding of %i bytes go in bands', async (maxStorageBufferBindingSize, names) => {
    const limits = { ...SMALL_WORKGROUPS, maxStorageBufferBindingSize };
    const count = (how: string) => cases.filter((one) => underLimits(one, limits) === how);
    const inBands = count('in bands');
    console.log(`bindings of ${maxStorageBufferBindingSize} bytes: ${inBands.length} cases in bands, `
      + `${count('whole').length} whole, `
      + `refused: ${count('refused').map(({ name }) => name).join(', ')}`);
    expect(inBands.length).toBeGreaterThan(3);
    expect(failures(await run(drawnShare(inBands, 3, seed), names, limits))).toEqual([]);
  });
  test('a real grid beyond 65,535 workgroups', async () => {
    const one: Case = { name: 'rows_7200', input: [1, 7200, 260, 1], filter: [1, 1, 1], O: 1, padding: 'SAME' };
    const limits = { maxComputeInvocationsPerWorkgroup: 1 };
    const profile = { ...defaultProfile, limits: { ...defaultProfile.limits, ...limits } };
    for (const strategy of ['fused', 'two-pass'] as const) {
      for (const { dispatch: { grid } } of planOf(one, profile, strategy, 'lightRegisters').steps) {
        expect(grid[0] * grid[1]).toBeGreaterThan(65_535);
      }
    }
    expect(failures(await run([one], ['lightRegisters'], limits))).toEqual([]);
  });
  test('one invocation a workgroup, fewer than compatibility mode has (tfjs #5494, onnxruntime #25962)', async () => {
    const batch = drawnShare(named(/^(c_|o_|rate_)/), 4, seed);
    expect(
      failures(await run(batch, LIGHT.slice(1), { maxComputeInvocationsPerWorkgroup: 1 }))
    ).toEqual([]);
  });
});

test('exhaustive small sweep (tfjs #6629, #8393)', { timeout: 600_000 }, async () => {
  const kernels = [1, 2].flatMap((M) => [1, 2, 3].flatMap((s) => [1, 2, 3, 4].flatMap((KH) => [1, 2, 3, 4].map((KW) =>
    ({ M, s, KH, KW })))));
  const sweep: Case[] = [];
  for (const { M, s, KH, KW } of drawnShare(kernels, 15, seed)) {
    for (let H = 1; H <= 5; H++) for (let W = 1; W <= 5; W++) for (const padding of ['SAME', 'VALID']) {
      if (padding === 'VALID' && (KH > H || KW > W)) continue;
      // The same for all extents, to compile less.
      const [C, O] = [1 + ((2 * KH + KW + s) % 4), 1 + ((KH + 2 * KW + s) % 5)];
      sweep.push({
        name: `${H}x${W}x${C} k${KH}x${KW}x${M} s${s} ${padding}`, input: [1, H, W, C], filter: [KH, KW, M], O, padding,
        strides: s,
      });
    }
  }
  expect(sweep.length).toBeGreaterThan(200);
  console.log(`${sweep.length} geometries; CASES=all takes 15 times as many`);
  expect(failures(await runAll(sweep)).slice(0, 20)).toEqual([]);
});

/** In portions, so that progress shows. */
async function runAll(batch: readonly Case[]): Promise<Report[]> {
  const reports: Report[] = [];
  for (let start = 0; start < batch.length; start += 500) {
    reports.push(...(await run(batch.slice(start, start + 500), ['lightQuads'])));
    console.log(`${Math.min(start + 500, batch.length)} of ${batch.length} geometries, ${reports.length} comparisons`);
  }
  console.log(`largest error ${Math.max(...reports.map(({ worst = 0 }) => worst)).toFixed(3)} of its tolerance`);
  return reports;
}
