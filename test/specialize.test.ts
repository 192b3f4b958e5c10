import { expect, test } from 'vitest';
import { specialize } from '../src/kernels/specialize.js';

const source = `alias Lanes = vec4f;  // spec: type
const SIZE = 4;       // spec: size
const FIXED = 2;
fn activation(x: Lanes) -> Lanes { return x; }  // spec: expression
fn main() {
  for (var i = 0; i < SIZE; i++) { // unroll
    let a = i + SIZE; // i in a comment
    f(a, inner_i);
  }
}`;

test('values of marked lines are replaced in place', () => {
  const lines = specialize(source, { Lanes: 'f32', SIZE: 1, activation: 'max(x, Lanes(0.0))' }).split('\n');
  expect(lines.slice(0, 4)).toEqual([
    'alias Lanes = f32;  // spec: type', 'const SIZE = 1;       // spec: size', 'const FIXED = 2;',
    'fn activation(x: Lanes) -> Lanes { return max(x, Lanes(0.0)); }  // spec: expression',
  ]);
});

test('loops are written out, with line numbers kept', () => {
  const lines = specialize(source, { SIZE: 3 }).split('\n');
  expect(lines).toHaveLength(source.split('\n').length);
  expect(lines.slice(5, 9)).toEqual([
    '  {', '    let a = 0 + SIZE; // 0 in a comment', '    f(a, inner_i);',
    '  } { let a = 1 + SIZE; f(a, inner_i); } { let a = 2 + SIZE; f(a, inner_i); }',
  ]);
  expect(lines.at(-1)).toBe('}');
});

test('nested loops multiply', () => {
  const nested = `const A = 2;
for (var i = 0; i < A; i++) { // unroll
  for (var j = 0; j < A; j++) { // unroll
    s[i][j] = 0;
  }
}`;
  const text = specialize(nested, {});
  for (const element of ['s[0][0]', 's[0][1]', 's[1][0]', 's[1][1]']) expect(text.split(element)).toHaveLength(2);
  expect(text).not.toContain('for');
});

test('a loop of no rounds leaves nothing but its lines', () => {
  const lines = specialize(source, { SIZE: 0 }).split('\n');
  expect(lines).toHaveLength(source.split('\n').length);
  expect(lines.slice(5, 9)).toEqual(['', '', '', '']);
});

test('what cannot be done is an error', () => {
  expect(() => specialize(source, { FIXED: 3 })).toThrow('no line marked // spec for FIXED');
  expect(() => specialize(source, { UNKNOWN: 3 })).toThrow('UNKNOWN');
  expect(() => specialize('for (var i = 0; i < N; i++) { // unroll\n}', {})).toThrow('line 1 cannot be unrolled');
  expect(() => specialize('while (true) { // unroll\n}', {})).toThrow('line 1 cannot be unrolled');
});

test('a loop marked once is written out for one turn, and stays for more', () => {
  const once = `const N = 1;  // spec: turns
for (var i = 0; i < N; i++) { // unroll once
  for (var j = 0; j < N; j++) { // unroll
    s[i][j] = 0;
  }
}`;
  expect(specialize(once, {})).not.toContain('for');
  const lines = specialize(once, { N: 2 }).split('\n');
  expect(lines).toHaveLength(once.split('\n').length);
  expect(lines.filter((line) => line.includes('for'))).toEqual(['for (var i = 0; i < N; i++) { // unroll once']);
  expect(lines.join()).toContain('s[i][1] = 0;');
});
