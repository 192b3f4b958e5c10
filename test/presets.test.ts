import { expect, test } from 'vitest';
import { adapterKindOf } from '../src/gpu/device.js';
import type { DeviceProfile } from '../src/kernels/profile.js';
import { candidatesFor } from '../src/plan/choice.js';
import { type PresetName, presets, presetsOfKind } from '../src/plan/presets.js';
import { codeOf } from '../src/kernels/kernel.js';
import { planForward } from '../src/plan/forward.js';
import { type Case, cases, geometryOf } from './cases.js';
import {
  backwardPlanOf, compatibilityLimits, defaultProfile, kindOf, planOf, wantedOf,
} from './plans.js';

/** What implementations tell of their adapters, as seen in 2026. */
const adapters: readonly [string, Partial<GPUAdapterInfo> | undefined, 'software' | 'gpu'][] = [
  ['Chromium on SwiftShader', {
    vendor: 'google', architecture: 'swiftshader', device: '', description: '', isFallbackAdapter: true,
  }, 'software'],
  ['Node on SwiftShader', {
    vendor: 'google', architecture: 'swiftshader', device: 'swiftshader-device-subzero-',
    description: 'SwiftShader driver 5.0.0', isFallbackAdapter: true,
  }, 'software'],
  ['Firefox on lavapipe', {
    vendor: '', architecture: '', device: '', description: '', isFallbackAdapter: true,
  }, 'software'],
  ['Deno on lavapipe', {
    vendor: '65541', architecture: '', device: '0', description: 'llvmpipe (LLVM 15.0.6, 256 bits)',
    isFallbackAdapter: true,
  }, 'software'],
  ['lavapipe without isFallbackAdapter', { description: 'llvmpipe (LLVM 15.0.6, 256 bits)' }, 'software'],
  ['a GPU', { vendor: 'nvidia', architecture: 'ampere', device: '', description: '', isFallbackAdapter: false }, 'gpu'],
  ['a GPU in Firefox', { vendor: '', architecture: '', device: '', description: '', isFallbackAdapter: false }, 'gpu'],
  ['a browser that tells nothing', undefined, 'gpu'],
];

test.each(adapters)('%s', (_, info, kind) => {
  expect(adapterKindOf({ adapterInfo: info as GPUAdapterInfo })).toBe(kind);
});

const { limits } = defaultProfile;
const layer = (size: number, C: number, O: number): Case =>
  ({ name: 'layer', input: [1, size, size, C], filter: [3, 3, 1], O, padding: 'SAME' });

test.each<[Omit<DeviceProfile, 'limits' | 'processors' | 'bandwidth'>, string, PresetName]>([
  [{ kind: 'software', subgroups: true, shaderF16: false }, 'SwiftShader', 'quads'],
  [{ kind: 'software', subgroups: false, shaderF16: true }, 'lavapipe', 'registers'],
  [{ kind: 'gpu', subgroups: true, shaderF16: true }, 'a GPU', 'gpuFewChannels'],
  [{ kind: 'gpu', subgroups: false, shaderF16: false }, 'a GPU without subgroups', 'gpuFewChannels'],
])('%o is %s and gets %s', (adapter, _, preset) => {
  expect(candidatesFor(geometryOf(layer(112, 32, 64)), { ...defaultProfile, ...adapter })[0]!.presets[0]).toBe(preset);
});

test('without subgroups no kernel needs them, whatever the geometry', async () => {
  const layers = [2, 7, 112].flatMap((size) =>
    [1, 4, 512].flatMap((C) => [C, 2 * C].map((O) => layer(size, C, O))));
  for (const kind of ['software', 'gpu'] as const) for (const one of layers) {
    const profile = { ...defaultProfile, kind, subgroups: false };
    for (const choice of candidatesFor(geometryOf(one), profile)) {
      for (const { dispatch } of planForward(wantedOf(one), profile, choice).portions[0].steps) {
        expect(await codeOf(dispatch)).not.toMatch(/enable subgroups|quadSwap/);
      }
    }
  }
});

/** The largest side of a texture that any preset has for any case under some limits, and the largest workgroup. */
function largest(within: DeviceProfile['limits']): { readonly texels: number; readonly invocations: number } {
  let [texels, invocations] = [0, 0];
  const wide: Case = { name: 'c_4100', input: [1, 2, 2, 4100], filter: [3, 3, 1], O: 4, padding: 'SAME' };
  const many: Case = { name: 'pixels_4225', input: [1, 65, 65, 64], filter: [3, 3, 1], O: 128, padding: 'SAME' };
  const output: Case = { name: 'o_4100', input: [1, 4, 4, 4], filter: [3, 3, 1], O: 4100, padding: 'SAME' };
  for (const one of [...cases, wide, many, output]) for (const preset of Object.keys(presets) as PresetName[]) {
    const profile: DeviceProfile = { ...defaultProfile, kind: kindOf(preset), limits: within };
    const forward = (['fused', 'two-pass'] as const).map((strategy) => planOf(one, profile, strategy, preset));
    for (const { steps, places } of [...forward, backwardPlanOf({ ...one, dtype: 'f32' }, profile, preset)]) {
      for (const place of places.values()) {
        if (place.kind === 'texture') texels = Math.max(texels, place.rows, Math.ceil(place.columns / 4));
      }
      for (const { dispatch: { constants: { WORKGROUP = 1, GROUP_X = 1, GROUP_Y = 1, SLICES = 1 } } } of steps) {
        invocations = Math.max(invocations, WORKGROUP * GROUP_X * GROUP_Y * SLICES);
      }
    }
  }
  return { texels, invocations };
}

test('a pass alone runs the variants of both, so that it is as fast, and compiles nothing more', () => {
  for (const kind of ['software', 'gpu'] as const) for (const [size, C, O] of [[112, 32, 16], [28, 192, 32]] as const) {
    const profile = { ...defaultProfile, kind };
    const both: Case = { name: 'both', input: [1, size, size, C], filter: [3, 3, 1], O, padding: 'SAME' };
    const first: Case = { ...both, passes: 'depthwise', O: C };
    const last: Case = { ...both, passes: 'pointwise', filter: [1, 1, 1] };
    for (const preset of presetsOfKind(kind)) {
      const names = (one: Case): readonly string[] =>
        planOf(one, profile, 'two-pass', preset).steps.filter(({ writes }) => writes.value !== 'filterTexture')
          .map(({ dispatch }) => dispatch.name);
      expect([...names(first), ...names(last)], preset).toEqual(names(both));
    }
  }
});

test('every preset of every case stays within the least limits that a device may have', () => {
  expect(largest(limits).texels).toBeGreaterThan(compatibilityLimits.maxTextureDimension2D);
  const least = largest({ ...limits, ...compatibilityLimits });
  expect(least.texels).toBeGreaterThan(500);
  expect(least.texels).toBeLessThanOrEqual(compatibilityLimits.maxTextureDimension2D);
  expect(least.invocations).toBeGreaterThan(16);
  expect(least.invocations).toBeLessThanOrEqual(compatibilityLimits.maxComputeInvocationsPerWorkgroup);
});
