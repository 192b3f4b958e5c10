import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PresetName } from '../src/presets.js';
import { cases } from './cases.js';
import { type Implementation, implementations } from './implementations.js';
import type { Report } from './page.js';
import { scenarios } from './scenarios.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);

describe.each(Object.entries(implementations))('%s', (_, open) => {
  let implementation: Implementation;
  beforeAll(async () => { implementation = await open(); console.log(implementation.name, await implementation.evaluate('environment')); });
  afterAll(() => implementation.close());
  const presetNames = (process.env['PRESETS'] ?? 'lightRegisters,gpu').split(',') as PresetName[];
  const limits = { maxComputeInvocationsPerWorkgroup: Number(process.env['WG'] ?? 16) };
  for (const name of presetNames) test(`cases ${name}`, async () => {
    const reports = await implementation.evaluate('checkKernels', cases.filter(({ name }) => !name.startsWith('large')), [name], seed, limits);
    console.log(reports.length);
    expect(reports.flatMap(({ title, failure }: Report) => (failure ? [`${title} ${failure}`] : []))).toEqual([]);
  });
  test.each(Object.keys(scenarios))('%s', async (name) => { await implementation.evaluate('runScenario', name, seed); });
});
