import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Mutation } from './arguments.js';
import { emptyTally, fuzzArguments, fuzzFamily } from './fuzz/fuzz.js';
import { type Implementation, implementations } from './implementations.js';

/** A few seconds of what `npm run fuzz` does for as long as it is told to. */

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
/** Milliseconds after which no other family begins. */
const MOST_TIME = 6000;
let chromium: Implementation;

beforeAll(async () => {
  console.log(`fuzzing: seed ${seed}`);
  chromium = await implementations.Chromium();
});
afterAll(() => chromium.close());

test('random geometries that share kernels', async () => {
  const environment = await chromium.evaluate('environment');
  const tally = emptyTally();
  const start = performance.now();
  const goesOn = () =>
    tally.geometries < 150 && performance.now() - start < MOST_TIME && tally.failures.length === 0;
  for (let next = seed; goesOn(); next++) {
    await fuzzFamily(chromium, environment, next, tally);
  }
  console.log(
    `${tally.geometries} geometries in ${tally.families} families, `
    + `worst error ${tally.worst.toFixed(3)} of its tolerance`);
  expect(tally.failures).toEqual([]);
  expect(tally.comparisons).toBeGreaterThanOrEqual(3);
});

/** Calls that fuzzing found to end in other errors than they should, or in none. */
const FOUND: readonly Mutation[] = [
  { call: 'create', path: [], value: '3' },
  { call: 'create', path: [], value: 'proxy that throws' },
  { call: 'create', path: ['device'], value: 'proxy that throws' },
  { call: 'create', path: ['tuning'], value: 'proxy that throws' },
  { call: 'warmUp', path: ['0', 'depthwiseFilter', 'data'], value: 'proxy that throws' },
  { call: 'separableConv2d', path: ['options', 'manager'], value: '{}' },
  { call: 'separableConv2d', path: ['options', 'manager'], value: 'null' },
  { call: 'separableConv2dGradients', path: ['options', 'manager'], value: '{}' },
  { call: 'separableConv2d', path: ['options', 'manager'], value: 'proxy that throws' },
  { call: 'separableConv2d', path: ['options', 'depthwiseBias'], value: 'null' },
  { call: 'separableConv2d', path: ['options', 'depthwiseActivation'], value: 'leakyRelu 1e300' },
];

test('arguments that fuzzing has found', async () => {
  expect(await chromium.evaluate('checkArguments', FOUND)).toEqual([]);
});

/** Undefined by WGSL, so that it is told and not checked. */
test('what NaN and Inf come to', async () => {
  const lines = await chromium.evaluate('reportNonFinite');
  console.log(`${chromium.name}, not checked:\n${lines.join('\n')}`);
});

test('random arguments with something wrong in them', async () => {
  const tally = emptyTally();
  await fuzzArguments(chromium, seed, 300, tally);
  expect(tally.failures).toEqual([]);
});
