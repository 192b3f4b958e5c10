import { expect, test } from 'vitest';
import type { PresetName } from '../src/plan/presets.js';
import { type Case, cases } from './cases.js';
import { type Implementation, implementations, Missing } from './implementations.js';
import { scenarioNames } from './scenarios.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);

/** Of the presets of GPUs the seed draws one. */
const GPU = ['gpu', 'gpuFewPixels', 'gpuManyPixels'] as const;

/**
 * The presets between which the cases alternate on the implementations beside Chromium, where kernels.test.ts has them
 * all. Firefox and Deno have the same compiler, naga, and the same driver, so that each case has both presets between
 * them. Node has Chromium's compiler, and its driver. Where there is float16, each case runs with it too.
 */
const PRESETS = {
  Firefox: ['lightRegisters', GPU[seed % 3]!],
  Deno: [GPU[seed % 3]!, 'lightRegisters'],
  Node: ['lightQuads'],
} as const satisfies Partial<Record<keyof typeof implementations, readonly PresetName[]>>;

const small = cases.filter(({ name }) => !name.startsWith('large'));

const names = Object.keys(PRESETS) as (keyof typeof PRESETS)[];

test.concurrent.for(names)('every case and scenario on %s', { timeout: 600_000 }, async (name, { skip }) => {
  const implementation: Implementation = await implementations[name]().catch((error: unknown) => {
    if (!(error instanceof Missing)) throw error;
    console.warn(`NOT TESTED on ${name}: ${error.message}`);
    return skip(error.message);
  });
  try {
    const { adapter, adapterKind, features } = await implementation.evaluate('environment');
    const presets = PRESETS[name];
    const limits = adapterKind === 'software' ? { maxComputeInvocationsPerWorkgroup: 16 } : {}; // See kernels.test.ts.
    const reports = [];
    for (const [index, preset] of presets.entries()) {
      const share = small.filter((_, i) => i % presets.length === index);
      reports.push(...(await implementation.evaluate('checkKernels', share, [preset], seed, limits)));
      if (!features.includes('shader-f16')) continue;
      const halves = small.filter((_, i) => i % presets.length !== index)
        .map((one): Case => ({ ...one, dtype: 'f16' }));
      reports.push(...(await implementation.evaluate('checkKernels', halves, [preset], seed, limits)));
    }
    const failures = reports.flatMap(({ title, failure }) => (failure ? [`${title} ${failure}`] : []));
    for (const scenario of scenarioNames) {
      await implementation.evaluate('runScenario', scenario, seed)
        .catch((error: unknown) => failures.push(`${scenario}: ${String(error)}`));
    }
    console.log(
      `${implementation.name}, ${adapter || 'an unnamed adapter'} (${adapterKind}; ${features.join(', ')}), `
      + `seed ${seed}: ${small.length} cases, ${reports.length} comparisons, ${scenarioNames.length} scenarios, `
      + `${failures.length} failures`);
    console.log(
      `${implementation.name}, not checked:\n${(await implementation.evaluate('reportNonFinite')).join('\n')}`);
    expect(failures).toEqual([]);
    expect(reports.length).toBeGreaterThan(small.length);
  } finally {
    await implementation.close();
  }
});
