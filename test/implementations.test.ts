import { expect, inject, test } from 'vitest';
import type { PresetName } from '../src/plan/presets.js';
import { type Case, cases, gradientCases } from './cases.js';
import { drawnFrom, drawnShare, GPU_PRESETS, LONG, presetsOf, runsHalf, scenariosOf } from './draw.js';
import { type Implementation, implementations, Missing } from './implementations.js';
import { scenarioNames } from './scenarios.js';

const seed = inject('seed');

const small = cases.filter(({ name }) => !name.startsWith('large'));
const names = ['Firefox', 'Deno', 'Node'] as const;

test('the long scenarios are known by name', () => {
  expect(scenarioNames.filter((scenario) => LONG.test(scenario))).toHaveLength(2);
});

test.concurrent.for(names)('every case and scenario on %s', { timeout: 600_000 }, async (name, context) => {
  const implementation: Implementation = await implementations[name]().catch((error: unknown) => {
    if (!(error instanceof Missing)) throw error;
    console.warn(`NOT TESTED on ${name}: ${error.message}`);
    return context.skip(error.message);
  });
  context.onTestFinished(() => implementation.close()); // Even where its time is up.
  const { adapter, adapterKind, features } = await implementation.evaluate('environment');
  const limits = adapterKind === 'software' ? { maxComputeInvocationsPerWorkgroup: 16 } : {}; // See kernels.test.ts.
  const batches = new Map<PresetName, Case[]>();
  for (const [index, one] of small.entries()) {
    const inHalf = features.includes('shader-f16') && runsHalf(name, index);
    for (const preset of presetsOf(name, index, seed)) {
      const batch = batches.get(preset) ?? [];
      batches.set(preset, [...batch, one, ...(inHalf ? [{ ...one, dtype: 'f16' } as const] : [])]);
    }
  }
  const reports = [];
  for (const [preset, batch] of batches) {
    reports.push(...(await implementation.evaluate('checkKernels', batch, [preset], seed, limits)));
  }
  const backward = drawnShare(gradientCases, 24, seed + names.indexOf(name));
  reports.push(
    ...(await implementation.evaluate('checkGradients', backward, drawnFrom(GPU_PRESETS, seed), seed, limits)));
  const failures = reports.flatMap(({ title, failure }) => (failure ? [`${title} ${failure}`] : []));
  const scenarios = scenariosOf(name, scenarioNames, seed);
  for (const scenario of scenarios) {
    await implementation.evaluate('runScenario', scenario, seed)
      .catch((error: unknown) => failures.push(`${scenario}: ${String(error)}`));
  }
  console.log(
    `${implementation.name}, ${adapter || 'an unnamed adapter'} (${adapterKind}; ${features.join(', ')}), `
    + `seed ${seed}: ${reports.length} comparisons, ${scenarios.length} scenarios, `
    + `${failures.length} failures`);
  console.log(
    `${implementation.name}, not checked:\n${(await implementation.evaluate('reportNonFinite')).join('\n')}`);
  expect(failures).toEqual([]);
  expect(reports.length).toBeGreaterThan(small.length / 6);
});
