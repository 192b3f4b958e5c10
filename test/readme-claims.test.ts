import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { UnsupportedError } from '../src/arguments/errors.js';
import type { Case } from './cases.js';
import { backwardPlanOf, defaultProfile, planOf } from './plans.js';

/** What the READMEs say in numbers and promises, where that can be told without a GPU. */

const read = (file: string): string => readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
const readme = read('README.md');
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

const layer = (size: number, C: number, O: number, strides = 1): Case =>
  ({ name: 'layer', input: [1, size, size, C], filter: [3, 3, 1], O, padding: 'SAME', strides });

test("the architecture page's number of pipelines is what MobileNetV1's 13 layers need", () => {
  const layers = [
    layer(112, 32, 64), layer(112, 64, 128, 2), layer(56, 128, 128), layer(56, 128, 256, 2), layer(28, 256, 256),
    layer(28, 256, 512, 2), ...Array.from({ length: 5 }, () => layer(14, 512, 512)), layer(14, 512, 1024, 2),
    layer(7, 1024, 1024),
  ];
  const names = layers.flatMap((one) => planOf(one, defaultProfile).steps.map(({ dispatch }) => dispatch.name));
  expect(new Set(names).size).toBe(6);
  expect(flat(read('src/README.md'))).toContain("MobileNetV1's 13 layers need six pipelines");
});

test('the README says that gradients take no tensor beyond a binding', () => {
  const large = layer(1024, 64, 64);
  expect(planOf(large, defaultProfile).steps.length).toBeGreaterThan(2); // In bands.
  expect(() => backwardPlanOf(large, defaultProfile)).toThrow(UnsupportedError);
  expect(() => backwardPlanOf(large, defaultProfile))
    .toThrow(/has 268435456 bytes, more than the 134217728 that this device can bind/);
  expect(flat(readme)).toContain('**Size is no error** in the forward pass');
  expect(flat(readme)).toContain('Gradients need tensors that fit a binding');
});

test('every heading of the README has a blank line on both sides', () => {
  const text = readme.replaceAll(/^```.*?^```/gms, 'code');
  const lines = text.split('\n');
  const crowded = lines.filter((line, i) => /^#+ /.test(line) && i > 0 && (lines[i - 1] !== '' || lines[i + 1] !== ''));
  expect(crowded).toEqual([]);
});
