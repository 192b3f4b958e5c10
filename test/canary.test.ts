import { expect, test } from 'vitest';
import { Canary } from './bench/canary.js';
import type { Reading } from './bench/contender.js';
import { type Row, timing } from './bench/measure.js';

/** Gives these, in milliseconds of an empty dispatch, one after the other. */
function samples(...canaries: readonly (number | undefined)[]) {
  const left = [...canaries];
  const sample = (): Promise<Reading> => {
    const canary = left.shift();
    return Promise.resolve({ milliseconds: 10 * (canary ?? 1), ...(canary !== undefined && { canary }) });
  };
  return { sample, left };
}

const row = (canaries?: readonly number[]): Row => ({
  workload: 'layer', layers: 0, operations: 1, leastBytes: 1,
  outcomes: { timed: { timing: { ...timing([1, 2, 3]), ...(canaries && { canaries }) } }, failed: { failure: 'why' } },
});

test('a sample at a high clock is taken once', async () => {
  const { sample, left } = samples(1.25, 1);
  expect(await new Canary(1).take(sample)).toEqual({ canary: 1.25, milliseconds: 12.5 });
  expect(left).toEqual([1]);
});

test('one at a low clock is taken again, until the clock is high', async () => {
  const { sample, left } = samples(2, 1.5, 1.2, 1);
  expect((await new Canary(1).take(sample)).canary).toBe(1.2);
  expect(left).toEqual([1]);
});

test('of four at a low clock that of the highest counts', async () => {
  const { sample, left } = samples(2, 1.5, 3, 2, 1);
  expect((await new Canary(1).take(sample)).canary).toBe(1.5);
  expect(left).toEqual([1]);
});

test('the least is what was seen so far', async () => {
  const canary = new Canary(2);
  await canary.take(samples(1).sample);
  expect(canary.least).toBe(1);
  const { sample, left } = samples(2, 1.1);
  expect((await canary.take(sample)).canary).toBe(1.1);
  expect(left).toEqual([]);
});

test('without a canary nothing is taken again, or marked', async () => {
  const canary = new Canary(1);
  const { sample, left } = samples(undefined, 1);
  expect(await canary.take(sample)).toEqual({ milliseconds: 10 });
  expect(left).toEqual([1]);
  expect(canary.mark([row()])).toEqual([row()]);
});

test('samples are marked by the least that is known in the end', async () => {
  const canary = new Canary(2);
  await canary.take(samples(1).sample);
  const [marked] = canary.mark([row([2, 1, 1.3])]);
  expect(marked!.outcomes['timed']!.timing!.lowClock).toBe(2);
  expect(marked!.outcomes['failed']).toEqual({ failure: 'why' });
});
