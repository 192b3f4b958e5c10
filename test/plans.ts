import type { Strategy } from 'sepconv-webgpu';
import { operation } from '../src/arguments/geometry.js';
import { type ForwardPlan, type Portion, planForward, type Wanted } from '../src/plan/forward.js';
import { type GradientPlan, planBackward } from '../src/plan/backward.js';
import type { AdapterKind, DeviceProfile } from '../src/kernels/profile.js';
import type { PresetName } from '../src/plan/presets.js';
import { type Case, geometryOf } from './cases.js';

/** What the tests plan with. */

/** A device with WebGPU's default limits, which every kernel must do with. */
export const defaultProfile: DeviceProfile = {
  kind: 'software', subgroups: true, shaderF16: true, processors: 132, bandwidth: 3200,
  limits: {
    maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28, maxComputeWorkgroupsPerDimension: 65535,
    maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16384, maxTextureDimension2D: 8192,
  },
};

/**
 * The least that a device in compatibility mode may have.
 * @see https://github.com/gpuweb/gpuweb/blob/main/proposals/compatibility-mode.md
 */
export const compatibilityLimits = { maxComputeInvocationsPerWorkgroup: 128, maxTextureDimension2D: 4096 };

/** The kind of adapter that a preset is for. */
export const kindOf = (preset: PresetName): AdapterKind => (preset.startsWith('gpu') ? 'gpu' : 'software');

/** A case as a call of the library, with its filters on the CPU. */
export const wantedOf = (one: Case, strategy: Strategy = 'auto'): Wanted =>
  ({ op: operation(one.name, one.passes), geometry: geometryOf(one), strategy, borrowed: new Set() });

export const forwardPlanOf = (
  one: Case, profile: DeviceProfile, strategy?: Strategy, preset?: PresetName,
): ForwardPlan =>
  planForward(wantedOf(one, strategy), profile, preset && { presets: [preset] });

/** The only portion of a case's plan. */
export const planOf = (...args: Parameters<typeof forwardPlanOf>): Portion => forwardPlanOf(...args).portions[0];

export const backwardPlanOf = (one: Case, profile: DeviceProfile, preset?: PresetName): GradientPlan =>
  planBackward(wantedOf(one), profile, preset);
