/** Software adapters (SwiftShader, lavapipe) and GPUs need opposite tiles. */
export type AdapterKind = 'software' | 'gpu';

/** What plans need to know of a device. Plain JSON. */
export interface DeviceProfile extends GpuSize {
  readonly kind: AdapterKind;
  /** Whether the device has the feature `subgroups`. */
  readonly subgroups: boolean;
  /** Whether it has the feature `shader-f16`. */
  readonly shaderF16: boolean;
  readonly limits: Pick<GPUSupportedLimits,
    'maxStorageBufferBindingSize' | 'maxBufferSize' | 'maxComputeWorkgroupsPerDimension'
    | 'maxComputeInvocationsPerWorkgroup' | 'maxComputeWorkgroupStorageSize' | 'maxTextureDimension2D'>;
}

/** How large a GPU is. */
export interface GpuSize {
  /** Compute units, cores, slices: how many workgroups keep it busy. */
  readonly processors: number;
  /** Of its memory, in GB/s. */
  readonly bandwidth: number;
}

/**
 * By vendor and architecture, since WebGPU does not tell. Fitted to the H100, whose device Dawn calls
 * `nvidia-h100-80gb-hbm3`; reasoned for all others from a common card of each, and for its siblings. Measured tuning
 * decides where it matters.
 */
const SIZES: readonly (readonly [name: RegExp, processors: number, bandwidth: number])[] = [
  [/hopper|h100|h200/i, 132, 3200], [/nvidia/i, 48, 500], [/amd|radeon/i, 32, 300], [/apple/i, 16, 150],
  [/intel/i, 32, 90], [/qualcomm|adreno/i, 8, 60], [/\barm|mali/i, 10, 40],
];

/** What a GPU of that name is guessed to have; an unknown one counts as a small one. */
export function sizeOf(name: string): GpuSize {
  const [, processors, bandwidth] = SIZES.find(([pattern]) => pattern.test(name)) ?? [/./, 24, 200];
  return { processors, bandwidth };
}
