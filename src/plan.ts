import { UnsupportedError } from './errors.js';
import { elements, type Geometry, operation, outputShape } from './geometry.js';
import { channelStride, type KernelName, type Operand, type Tiles, type Variant, uniformData, variant } from './kernels.js';

/** How the two passes run: in one kernel, in two with the depthwise result in memory, or as the plan finds best. */
export type Strategy = 'auto' | 'fused' | 'two-pass';

/** Software adapters (SwiftShader, lavapipe) and GPUs want opposite tiles. */
export type AdapterKind = 'software' | 'gpu';

/** What the plan needs to know of a device. */
export interface DeviceProfile {
  readonly kind: AdapterKind;
  /** Whether the device has the feature `subgroups`. */
  readonly subgroups: boolean;
  readonly limits: Pick<GPUSupportedLimits,
    'maxStorageBufferBindingSize' | 'maxBufferSize' | 'maxComputeWorkgroupsPerDimension' | 'maxComputeInvocationsPerWorkgroup'>;
}

export interface Dispatch extends Variant {
  readonly uniforms: ArrayBuffer;
  readonly grid: readonly [x: number, y: number];
}

/** What to run for one convolution. No dispatches: the output has no elements. */
export interface Plan {
  readonly strategy: 'fused' | 'two-pass';
  readonly dispatches: readonly Dispatch[];
  readonly byteLengths: Readonly<Record<Operand, number>>;
}

/**
 * Largest tiles per kind of adapter. On SwiftShader a load costs as much as 30 multiply-adds, so that large register
 * tiles win although they spill; on a GPU more than about 64 registers per invocation cost occupancy.
 */
export const presets: Readonly<Record<AdapterKind, Tiles>> = {
  software: {
    workgroup: 16, depthwise: { height: 4, width: 7 }, pointwise: { rows: 14, columns: 16 }, fused: { width: 7, columns: 32 },
    'pointwise-quad': { rows: 28, columns: 64 }, 'fused-quad': { height: 4, width: 7, columns: 64 },
  },
  gpu: {
    workgroup: 64, depthwise: { height: 1, width: 4 }, pointwise: { rows: 4, columns: 8 }, fused: { width: 4, columns: 16 },
    'pointwise-quad': { rows: 4, columns: 32 }, 'fused-quad': { height: 2, width: 2, columns: 32 },
  },
};

/**
 * Decides what to dispatch. Pure: the same arguments give the same plan.
 * @throws UnsupportedError when a tensor is larger than the device can bind, or the indices exceed 31 bits
 */
export function plan(geometry: Geometry, profile: DeviceProfile, strategy: Strategy = 'auto', name?: string): Plan {
  const byteLengths = operandByteLengths(geometry);
  const chosen = strategy === 'auto' ? chooseStrategy(geometry, profile, byteLengths) : strategy;
  if (elements(outputShape(geometry)) === 0) return { strategy: chosen, dispatches: [], byteLengths };

  const tooLarge = (Object.keys(byteLengths) as Operand[]).find((operand) =>
    (operand !== 'intermediate' || chosen === 'two-pass') && byteLengths[operand] > bindingLimit(profile));
  if (tooLarge) {
    throw new UnsupportedError(`${operation(name)}: ${tooLarge} has ${byteLengths[tooLarge]} bytes, more than the `
      + `${bindingLimit(profile)} that this device can bind as one buffer`);
  }
  const dispatches = kernelsOf(chosen, profile).map((kernel) => {
    const { workgroups, workgroup, ...specialized } = variant(kernel, geometry, tilesFor(profile));
    const grid = spread(workgroups, workgroup, profile, name);
    return { ...specialized, grid, uniforms: uniformData(kernel, geometry) };
  });
  return { strategy: chosen, dispatches, byteLengths };
}

/** Quads pay where loads are dear; on a GPU a workgroup of four invocations would leave most of a subgroup idle. */
function kernelsOf(strategy: Plan['strategy'], { kind, subgroups }: DeviceProfile): readonly KernelName[] {
  const quads = kind === 'software' && subgroups;
  if (strategy === 'fused') return [quads ? 'fused-quad' : 'fused'];
  return ['depthwise', quads ? 'pointwise-quad' : 'pointwise'];
}

function tilesFor({ kind, limits }: DeviceProfile): Tiles {
  const tiles = presets[kind];
  return { ...tiles, workgroup: Math.min(tiles.workgroup, limits.maxComputeInvocationsPerWorkgroup) };
}

/**
 * The fused kernel computes the depthwise pass again for every tile of output channels, so that it wins only where one
 * tile holds them all; and it needs no room for the intermediate.
 */
function chooseStrategy(geometry: Geometry, profile: DeviceProfile, byteLengths: Plan['byteLengths']): Plan['strategy'] {
  const fits = byteLengths.intermediate <= bindingLimit(profile);
  return !fits || geometry.O <= presets[profile.kind].fused.columns ? 'fused' : 'two-pass';
}

const bindingLimit = ({ limits }: DeviceProfile): number =>
  Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, 2 ** 33 - 16);

/** Spreads workgroups over two dimensions where one does not hold them; kernels flatten the index again. */
function spread(count: number, workgroup: number, { limits }: DeviceProfile, name?: string): readonly [number, number] {
  const most = limits.maxComputeWorkgroupsPerDimension;
  const y = Math.ceil(count / most);
  const x = Math.ceil(count / y);
  if (y > most || x * y * workgroup > 2 ** 31 - 1) {
    throw new UnsupportedError(`${operation(name)}: needs ${count} workgroups of ${workgroup} invocations, more than fit a dispatch`);
  }
  return [x, y];
}

function operandByteLengths(geometry: Geometry): Record<Operand, number> {
  const { N, H, W, C, KH, KW, M, K, OH, OW, O } = geometry;
  const bytes = (...shape: number[]) => elements(shape) * Float32Array.BYTES_PER_ELEMENT;
  return {
    input: bytes(N, H, W, C),
    depthwiseFilter: bytes(KH, KW, C, M),
    depthwiseBias: bytes(K),
    intermediate: bytes(N, OH, OW, channelStride(geometry)),
    pointwiseFilter: bytes(K, O),
    bias: bytes(O),
    output: bytes(N, OH, OW, O),
  };
}
