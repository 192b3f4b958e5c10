import { afterAll, beforeAll, expect, test } from 'vitest';
import { emptyTally, fuzzArguments, fuzzFamily } from './fuzz/fuzz.js';
import { type Implementation, implementations } from './implementations.js';

/** A few seconds of what `npm run fuzz` does for as long as it is told to. */

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
let chromium: Implementation;

beforeAll(async () => {
  console.log(`fuzzing: seed ${seed}`);
  chromium = await implementations.Chromium();
});
afterAll(() => chromium.close());

test('random geometries that share kernels', async () => {
  const environment = await chromium.evaluate('environment');
  const tally = emptyTally();
  for (let next = seed; tally.geometries < 300 && tally.failures.length === 0; next++) await fuzzFamily(chromium, environment, next, tally);
  console.log(`${tally.geometries} geometries in ${tally.families} families, worst error ${tally.worst.toFixed(3)} of its tolerance`);
  expect(tally.failures).toEqual([]);
});

test('random arguments with something wrong in them', async () => {
  const tally = emptyTally();
  await fuzzArguments(chromium, seed, 300, tally);
  expect(tally.failures).toEqual([]);
});
