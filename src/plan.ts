import { UnsupportedError } from './errors.js';
import { elements, type Geometry, operation, outputShape } from './geometry.js';
import { channelStride, type KernelName, type Operand, type Tile, type Variant, uniformData, variant } from './kernels.js';

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

interface Choice {
  readonly kernel: KernelName;
  readonly tile: Tile;
}

/** Which kernel does which pass, and in which tiles. */
interface Preset {
  readonly depthwise: Choice;
  readonly pointwise: Choice;
  readonly fused: Choice;
}

/**
 * On SwiftShader a load costs as much as 30 multiply-adds and a barrier microseconds, so that large register tiles without
 * workgroup memory win although they spill, and quads that share loads win more. On a GPU more than about 64 registers an
 * invocation cost occupancy, and workgroup memory is the way to share a tile.
 */
export const presets = {
  software: {
    depthwise: { kernel: 'depthwise', tile: { group: [16, 1], height: 4, width: 7 } },
    pointwise: { kernel: 'pointwise', tile: { group: [16, 1], rows: 14, columns: 16 } },
    fused: { kernel: 'fused', tile: { group: [16, 1], width: 7, columns: 32 } },
  },
  softwareSubgroups: {
    depthwise: { kernel: 'depthwise', tile: { group: [16, 1], height: 4, width: 7 } },
    pointwise: { kernel: 'pointwise-quad', tile: { group: [4, 1], rows: 28, columns: 64 } },
    fused: { kernel: 'fused-quad', tile: { group: [4, 1], height: 4, width: 7, columns: 64 } },
  },
  gpu: {
    depthwise: { kernel: 'depthwise', tile: { group: [64, 1], width: 4 } },
    pointwise: { kernel: 'pointwise-tiled', tile: { group: [16, 8], rows: 8, columns: 4, chunk: 16 } },
    fused: { kernel: 'fused-tiled', tile: { group: [16, 8], width: 4, rows: 8, columns: 4, chunk: 32 } },
  },
} as const satisfies Record<string, Preset>;

function presetOf({ kind, subgroups, limits }: DeviceProfile): Preset {
  if (kind === 'gpu') return presets.gpu;
  return subgroups && limits.maxComputeInvocationsPerWorkgroup >= 4 ? presets.softwareSubgroups : presets.software;
}

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
  const { depthwise, pointwise, fused } = presetOf(profile);
  const dispatches = (chosen === 'fused' ? [fused] : [depthwise, pointwise]).map(({ kernel, tile }) => {
    const { workgroups, ...specialized } = variant(kernel, geometry, fitTile(tile, profile));
    return { ...specialized, grid: grid(workgroups, tile, profile, name), uniforms: uniformData(kernel, geometry) };
  });
  return { strategy: chosen, dispatches, byteLengths };
}

/** Halves the longer side of a workgroup until the device allows it. */
function fitTile(tile: Tile, profile: DeviceProfile): Tile {
  const [x, y] = tile.group;
  if (x * y <= profile.limits.maxComputeInvocationsPerWorkgroup) return tile;
  return fitTile({ ...tile, group: y > x ? [x, y / 2] : [x / 2, y] }, profile);
}

/**
 * Compares what goes through memory: the fused kernel reads the input once for every tile of output channels, two passes
 * write and read the intermediate instead. The fused kernel also needs no room for the intermediate.
 */
function chooseStrategy({ O }: Geometry, profile: DeviceProfile, { input, intermediate }: Plan['byteLengths']): Plan['strategy'] {
  const { kernel, tile: { columns = 1, group } } = presetOf(profile).fused;
  const outputTiles = Math.ceil(O / (columns * (kernel === 'fused-tiled' ? group[0] : 1)));
  const fits = intermediate <= bindingLimit(profile);
  return !fits || outputTiles * input < input + 2 * intermediate ? 'fused' : 'two-pass';
}

const bindingLimit = ({ limits }: DeviceProfile): number =>
  Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, 2 ** 33 - 16);

/** Spreads workgroups over two dimensions where one does not hold them; kernels flatten the index again. */
function grid(workgroups: number, { group }: Tile, profile: DeviceProfile, name?: string): readonly [number, number] {
  const most = profile.limits.maxComputeWorkgroupsPerDimension;
  const y = Math.ceil(workgroups / most);
  const x = Math.ceil(workgroups / y);
  if (y > most || x * y * group[0] * group[1] > 2 ** 31 - 1) {
    throw new UnsupportedError(`${operation(name)}: needs ${workgroups} workgroups, more than fit one dispatch`);
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
