import { expect, test } from 'vitest';
import { adapterKindOf } from '../src/gpu/device.js';
import type { DeviceProfile } from '../src/kernels/profile.js';
import { type PresetName, presetsFor } from '../src/plan/presets.js';
import { codeOf } from '../src/kernels/kernel.js';
import { type Case, geometryOf } from './cases.js';
import { defaultProfile, planOf } from './plans.js';

/** What implementations tell of their adapters, as seen in 2026. */
const adapters: readonly [string, Partial<GPUAdapterInfo> | undefined, 'software' | 'gpu'][] = [
  ['Chromium on SwiftShader', { vendor: 'google', architecture: 'swiftshader', device: '', description: '', isFallbackAdapter: true }, 'software'],
  ['Node on SwiftShader', { vendor: 'google', architecture: 'swiftshader', device: 'swiftshader-device-subzero-', description: 'SwiftShader driver 5.0.0', isFallbackAdapter: true }, 'software'],
  ['Firefox on lavapipe', { vendor: '', architecture: '', device: '', description: '', isFallbackAdapter: true }, 'software'],
  ['Deno on lavapipe', { vendor: '65541', architecture: '', device: '0', description: 'llvmpipe (LLVM 15.0.6, 256 bits)', isFallbackAdapter: true }, 'software'],
  ['lavapipe without isFallbackAdapter', { description: 'llvmpipe (LLVM 15.0.6, 256 bits)' }, 'software'],
  ['a GPU', { vendor: 'nvidia', architecture: 'ampere', device: '', description: '', isFallbackAdapter: false }, 'gpu'],
  ['a GPU in Firefox', { vendor: '', architecture: '', device: '', description: '', isFallbackAdapter: false }, 'gpu'],
  ['a browser that tells nothing', undefined, 'gpu'],
];

test.each(adapters)('%s', (_, info, kind) => {
  expect(adapterKindOf({ adapterInfo: info as GPUAdapterInfo })).toBe(kind);
});

const { limits } = defaultProfile;
const layer = (size: number, C: number, O: number): Case => ({ name: 'layer', input: [1, size, size, C], filter: [3, 3, 1], O, padding: 'SAME' });

test.each<[Omit<DeviceProfile, 'limits'>, string, PresetName]>([
  [{ kind: 'software', subgroups: true, shaderF16: false }, 'SwiftShader', 'quads'],
  [{ kind: 'software', subgroups: false, shaderF16: true }, 'lavapipe', 'registers'],
  [{ kind: 'gpu', subgroups: true, shaderF16: true }, 'a GPU', 'gpu'],
  [{ kind: 'gpu', subgroups: false, shaderF16: false }, 'a GPU without subgroups', 'gpu'],
])('%o is %s and gets %s', (adapter, _, preset) => {
  expect(presetsFor(geometryOf(layer(112, 32, 64)), { ...adapter, limits })[0]).toBe(preset);
});

test('without subgroups no kernel needs them, whatever the geometry', async () => {
  for (const kind of ['software', 'gpu'] as const) for (const size of [2, 7, 112]) for (const C of [1, 4, 512]) for (const O of [C, 2 * C]) {
    const one = layer(size, C, O);
    const profile = { kind, subgroups: false, shaderF16: true, limits };
    for (const preset of presetsFor(geometryOf(one), profile)) {
      for (const strategy of ['fused', 'two-pass'] as const) {
        for (const { dispatch } of planOf(one, profile, strategy, preset).steps) {
          expect(await codeOf(dispatch)).not.toMatch(/enable subgroups|quadSwap/);
        }
      }
    }
  }
});
