import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { UnsupportedError } from '../src/errors.js';
import { planGradients } from '../src/gradient-plan.js';
import { plan } from '../src/plan.js';
import type { DeviceProfile } from '../src/presets.js';
import { geometryOf } from './cases.js';

/** What the README says in numbers and promises, where that can be told without a GPU. */

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const flat = readme.replaceAll(/\s+/g, ' ');

/** SwiftShader's, at WebGPU's default limits. */
const profile: DeviceProfile = {
  kind: 'software', subgroups: true, shaderF16: false,
  limits: {
    maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28, maxComputeWorkgroupsPerDimension: 65535,
    maxComputeInvocationsPerWorkgroup: 256,
  },
};
const layer = (size: number, C: number, O: number, strides = 1) => geometryOf({
  name: 'layer', input: [1, size, size, C], filter: [3, 3, 1], O, padding: 'SAME', strides,
});

test("the README's number of pipelines is what MobileNetV1's 13 layers need", () => {
  const layers = [
    layer(112, 32, 64), layer(112, 64, 128, 2), layer(56, 128, 128), layer(56, 128, 256, 2), layer(28, 256, 256),
    layer(28, 256, 512, 2), ...Array.from({ length: 5 }, () => layer(14, 512, 512)), layer(14, 512, 1024, 2), layer(7, 1024, 1024),
  ];
  const names = layers.flatMap((geometry) => plan(geometry, profile).dispatches.map(({ name }) => name));
  expect(new Set(names).size).toBe(6);
  expect(flat).toContain("MobileNetV1's 13 layers need six");
});

test('the README says that gradients take no tensor beyond a binding', () => {
  const large = layer(1024, 64, 64);
  expect(plan(large, profile).dispatches.length).toBeGreaterThan(2); // In bands.
  expect(() => planGradients(large, profile)).toThrow(UnsupportedError);
  expect(() => planGradients(large, profile)).toThrow(/has 268435456 bytes, more than the 134217728 that this device can bind/);
  expect(flat).toContain('**Size is no error** of the forward pass');
  expect(flat).toContain('Gradients take only tensors that each fit one binding');
});

test('every heading of the README has a blank line on both sides', () => {
  const text = readme.replaceAll(/^```.*?^```/gms, 'code');
  const lines = text.split('\n');
  const crowded = lines.filter((line, i) => /^#+ /.test(line) && i > 0 && (lines[i - 1] !== '' || lines[i + 1] !== ''));
  expect(crowded).toEqual([]);
});
