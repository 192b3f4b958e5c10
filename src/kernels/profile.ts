/** Software adapters (SwiftShader, lavapipe) and GPUs need opposite tiles. */
export type AdapterKind = 'software' | 'gpu';

/** What plans need to know of a device. Plain JSON. */
export interface DeviceProfile {
  readonly kind: AdapterKind;
  /** Whether the device has the feature `subgroups`. */
  readonly subgroups: boolean;
  /** Whether it has the feature `shader-f16`. */
  readonly shaderF16: boolean;
  readonly limits: Pick<GPUSupportedLimits,
    'maxStorageBufferBindingSize' | 'maxBufferSize' | 'maxComputeWorkgroupsPerDimension'
    | 'maxComputeInvocationsPerWorkgroup' | 'maxComputeWorkgroupStorageSize' | 'maxTextureDimension2D'>;
  /** How many processors the GPU is guessed to have: see `processorsOf`. */
  readonly processors: number;
}

/**
 * Processors (compute units, cores, slices) of a GPU by vendor and architecture, since WebGPU does not tell: how many
 * workgroups keep it busy. Measured on the H100 (hopper), reasoned for all others from a common card of each; measured
 * tuning decides where it matters.
 */
const PROCESSORS: readonly (readonly [RegExp, number])[] = [
  [/hopper/i, 132], [/nvidia/i, 48], [/amd|radeon/i, 32], [/apple/i, 16], [/intel/i, 32], [/qualcomm|adreno/i, 8],
  [/arm|mali/i, 10],
];

/** What a GPU of that name is guessed to have; an unknown one counts as a small one. */
export const processorsOf = (name: string): number => PROCESSORS.find(([pattern]) => pattern.test(name))?.[1] ?? 24;
