import { Float16Array as Oracle } from '@petamoriken/float16';
import { expect, test } from 'vitest';
import { fromFloat16, toFloat16 } from '../src/gpu/float16.js';
import { random } from './random.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const all = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);
const bitsOf = (values: Float32Array) => new Uint16Array(new Oracle(values).buffer);

test('every float16 as float32', () => {
  expect(fromFloat16(all.buffer, all.length, null)).toEqual(Float32Array.from(new Oracle(all.buffer)));
});

test('every float16, and what lies half way to its neighbours, from float32', () => {
  const values = fromFloat16(all.buffer, all.length, null).filter((x) => Number.isFinite(x));
  const halfWay = values.map((x) => x + 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(x)))) - 11));
  for (const exact of [
    values, halfWay, halfWay.map((x) => x * (1 + 2 ** -20)), halfWay.map((x) => x * (1 - 2 ** -20)),
  ]) {
    expect(toFloat16(exact, null).subarray(0, exact.length)).toEqual(bitsOf(exact));
  }
});

test(`random bits, seed ${seed}`, () => {
  const next = random(seed);
  const words = Uint32Array.from({ length: 200_000 }, () => next() * 2 ** 32);
  const values = new Float32Array(words.buffer).filter((x) => !Number.isNaN(x));
  expect(toFloat16(values, null).subarray(0, values.length)).toEqual(bitsOf(values));
});

test('NaN and infinities stay what they are; an odd count is padded to whole words', () => {
  const values = Float32Array.of(NaN, Infinity, -Infinity, 65519, 65520, -0, 1e-8);
  const bits = toFloat16(values, null);
  expect(bits.length).toBe(8);
  expect(fromFloat16(bits.buffer, 7, null)).toEqual(Float32Array.of(NaN, Infinity, -Infinity, 65504, Infinity, -0, 0));
});

test('a native Float16Array converts to the same', () => {
  const values = Float32Array.of(1.5, -2.25, 1 / 3);
  expect(toFloat16(values, Oracle)).toEqual(toFloat16(values, null));
  expect(fromFloat16(toFloat16(values).buffer, 3, Oracle)).toEqual(Float32Array.of(1.5, -2.25, 0.333251953125));
});
