import { expect, test } from 'vitest';
import { packParams, specialize } from '../src/kernels/shader.js';

const source = `alias Elem = f32;     // spec: type
alias Lanes = vec4f;  // if SIZE == 4: what is loaded
// alias Lanes = f32; // if SIZE == 1
const SIZE = 4;       // spec: size
const FIXED = 2;
fn activation(x: Lanes, alpha: f32) -> Lanes { return x; } // body of activations.wgsl
fn main() {
  for (var i = 0; i < SIZE; i++) { // unroll
    let a = i + SIZE; // i in a comment
    f(a, inner_i);
  }
}`;
const library = 'fn relu(x: T, alpha: f32) -> T { return max(x, T(0.0)); }';
const linesOf = (text: string, constants: Record<string, number> = {}) => specialize(text, { constants }).split('\n');

test('marked lines get their values in place, bodies come from a library, and lines count by their conditions', () => {
  const text = specialize(source, { constants: { SIZE: 1 }, elem: 'f16', bodies: { activation: 'relu' }, library });
  expect(text.split('\n').slice(0, 6)).toEqual([
    'enable f16; alias Elem = f16;     // spec: type', '', 'alias Lanes = f32;', 'const SIZE = 1;       // spec: size',
    'const FIXED = 2;',
    'fn activation(x: Lanes, alpha: f32) -> Lanes { return max(x, Lanes(0.0)); } // body of activations.wgsl',
  ]);
  expect(linesOf(source).slice(1, 3)).toEqual(['alias Lanes = vec4f;', '']);
});

test('loops are written out, with line numbers kept', () => {
  const lines = linesOf(source, { SIZE: 3 });
  expect(lines).toHaveLength(source.split('\n').length);
  expect(lines.slice(7, 11)).toEqual([
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
  const text = specialize(nested, { constants: {} });
  for (const element of ['s[0][0]', 's[0][1]', 's[1][0]', 's[1][1]']) expect(text.split(element)).toHaveLength(2);
  expect(text).not.toContain('for');
});

test('a loop of no rounds leaves nothing but its lines', () => {
  const lines = linesOf(source, { SIZE: 0 });
  expect(lines).toHaveLength(source.split('\n').length);
  expect(lines.slice(7, 11)).toEqual(['', '', '', '']);
});

test('a loop marked once is written out for one turn, and stays for more', () => {
  const once = `const N = 1;  // spec: turns
for (var i = 0; i < N; i++) { // unroll once
  for (var j = 0; j < N; j++) { // unroll
    s[i][j] = 0;
  }
}`;
  expect(specialize(once, { constants: {} })).not.toContain('for');
  const lines = linesOf(once, { N: 2 });
  expect(lines).toHaveLength(once.split('\n').length);
  expect(lines.filter((line) => line.includes('for'))).toEqual(['for (var i = 0; i < N; i++) { // unroll once']);
  expect(lines.join()).toContain('s[i][1] = 0;');
});

test('what follows from other constants has its value in loops and conditions', () => {
  const text = `const A = 7; // spec: a
const B = 2 * (A + 4 - 1) / 4 - 2;
const C = B - A; // if B > 2
const D = A == 7;
for (var i = 0u; i < B; i++) { // unroll
  s[i] = 0;
}`;
  expect(linesOf(text).slice(2)).toEqual(
    ['const C = B - A;', 'const D = A == 7;', '{', '  s[0u] = 0;', '} { s[1u] = 0; } { s[2u] = 0; }']);
  expect(linesOf(text, { A: 3 })[2]).toBe('');
  expect(() => linesOf(text.replace('i < B', 'i < D'))).toThrow('line 5 cannot be unrolled');
  for (const value of ['2 - A', '2.5', '4u', '5 % 2', 'max(A, 2)', '3 / 0']) {
    expect(() => linesOf(text.replace('2 * (A + 4 - 1) / 4 - 2', value)), value).toThrow('line 3');
  }
});

test.each([
  ['a constant that is not marked', source, { FIXED: 3 }, 'no marked line for FIXED'],
  ['one that is not there', source, { UNKNOWN: 3 }, 'no marked line for UNKNOWN'],
  ['a bound that is no constant', 'for (var i = 0; i < N; i++) { // unroll\n}', {}, 'line 1 cannot be unrolled'],
  ['another loop', 'while (true) { // unroll\n}', {}, 'line 1 cannot be unrolled'],
  ['a marked line of no known form', 'let x = 3; // spec: x', {}, 'line 1 has a mark that is not understood'],
  ['a condition of no known form', 'let x = 3; // if A >= 3', {}, 'line 1 has a mark that is not understood'],
  ['a condition on what is no constant', 'let x = 3; // if A == 3', {}, 'line 1 has a mark that is not understood'],
  ['a body of no known form', 'fn f() { g(); } // body of activations.wgsl', {},
    'line 1 has a mark that is not understood'],
])('%s is an error', (_, text, constants, message) => {
  expect(() => specialize(text, { constants })).toThrow(message);
});

test('a body that is not in the library is an error', () => {
  expect(() => specialize(source, { constants: {}, bodies: { activation: 'tanh' }, library }))
    .toThrow('no function tanh');
});

test('Params are packed in the order and types of the struct', () => {
  const struct = 'struct Params {\n  A: u32, B: f32, // the first two\n  C: i32,\n}';
  const view = new DataView(packParams(struct, { C: -3, B: 0.5, A: 2 ** 31, other: 1 }));
  expect([view.byteLength, view.getUint32(0, true), view.getFloat32(4, true), view.getInt32(8, true)])
    .toEqual([16, 2 ** 31, 0.5, -3]);
});

test.each([
  ['a field without a value', 'struct Params {\n  A: i32,\n}', {}],
  ['a field of another type', 'struct Params {\n  A: f16,\n}', { A: 1 }],
  ['a vector', 'struct Params {\n  A: vec2<i32>, B: i32,\n}', { A: 1, B: 2 }],
])('%s cannot be packed, and is never skipped', (_, struct, values) => {
  expect(() => packParams(struct, values)).toThrow('Params has a field that cannot be packed');
});
