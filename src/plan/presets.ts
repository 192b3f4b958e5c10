import { elements, type Geometry, outputShape } from '../arguments/geometry.js';
import type { KernelName } from '../kernels/kernels.js';
import { depthwiseTile, fusedQuadsTake, fusedQuadTile, MAX_HELD_TAPS, pointwiseQuadTile, QUAD, quadsTake, type Tile } from '../kernels/tiles.js';

/** Software adapters (SwiftShader, lavapipe) and GPUs want opposite tiles. */
export type AdapterKind = 'software' | 'gpu';

/** What the plan needs to know of a device. */
export interface DeviceProfile {
  readonly kind: AdapterKind;
  /** Whether the device has the feature `subgroups`. */
  readonly subgroups: boolean;
  /** Whether it has the feature `shader-f16`. */
  readonly shaderF16: boolean;
  readonly limits: Pick<GPUSupportedLimits,
    'maxStorageBufferBindingSize' | 'maxBufferSize' | 'maxComputeWorkgroupsPerDimension' | 'maxComputeInvocationsPerWorkgroup'
    | 'maxTextureDimension2D'>;
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
  /** Of the backward pass through the depthwise one. */
  readonly backward: Tile;
}

const row: Tile['group'] = [16, 1];
const quad: Tile['group'] = [4, 1];

/**
 * On SwiftShader a load of a buffer costs as much as 30 multiply-adds, what a loop carries from turn to turn a dozen instructions,
 * and a barrier microseconds. So quads hold as many weights as they can compile and go over pixels, sharing what they load: a product
 * of 3136x128x128 takes 4.8 ms with 512 vectors of weights a lane, compiled in 0.9 s. The fused kernel holds 256, for the rest of it
 * compiles too: 64x64 weights in 1.2 to 1.9 s. Small convolutions hold 64, compiled in 0.1 s. Without subgroups large register tiles win, although they spill. On a GPU more than about 64 registers an invocation
 * cost occupancy, and workgroup memory is the way to share a tile; that preset is reasoned, not measured.
 */
export const presets = {
  quads: {
    depthwise: { kernel: 'depthwise', tile: { group: row, height: 28, width: 7 } },
    pointwise: { kernel: 'pointwise-quad', tile: { group: quad, rows: 128, weights: 512 } },
    fused: { kernel: 'fused-quad', tile: { group: quad, height: 112, width: 7, weights: 256 } },
    backward: { group: row, height: 4, width: 7 },
  },
  lightQuads: {
    depthwise: { kernel: 'depthwise', tile: { group: row, height: 28, width: 4 } },
    pointwise: { kernel: 'pointwise-quad', tile: { group: quad, rows: 128, weights: 64 } },
    fused: { kernel: 'fused-quad', tile: { group: quad, height: 112, width: 4, weights: 64 } },
    backward: { group: row, height: 2, width: 2 },
  },
  registers: {
    depthwise: { kernel: 'depthwise', tile: { group: row, height: 14, width: 7 } },
    pointwise: { kernel: 'pointwise', tile: { group: row, rows: 28, columns: 16 } },
    fused: { kernel: 'fused', tile: { group: row, width: 7, columns: 32 } },
    backward: { group: row, height: 4, width: 7 },
  },
  lightRegisters: {
    depthwise: { kernel: 'depthwise', tile: { group: row, height: 14, width: 2 } },
    pointwise: { kernel: 'pointwise', tile: { group: row, rows: 7, columns: 16 } },
    fused: { kernel: 'fused', tile: { group: row, width: 7, columns: 16 } },
    backward: { group: row, height: 2, width: 4 },
  },
  gpu: {
    depthwise: { kernel: 'depthwise', tile: { group: [64, 1], height: 1, width: 4 } },
    pointwise: { kernel: 'pointwise-tiled', tile: { group: [16, 8], rows: 8, columns: 4, chunk: 16 } },
    fused: { kernel: 'fused-tiled', tile: { group: [16, 8], width: 4, rows: 8, columns: 4, chunk: 32 } },
    backward: { group: [64, 1], height: 1, width: 4 },
  },
  gpuFewPixels: {
    depthwise: { kernel: 'depthwise', tile: { group: [64, 1], height: 1, width: 1 } },
    pointwise: { kernel: 'pointwise-tiled', tile: { group: [16, 8], rows: 2, columns: 4, chunk: 32 } },
    fused: { kernel: 'fused-tiled', tile: { group: [16, 8], width: 2, rows: 2, columns: 4, chunk: 32 } },
    backward: { group: [64, 1], height: 1, width: 1 },
  },
  gpuThin: {
    depthwise: { kernel: 'depthwise', tile: { group: [64, 1], height: 1, width: 4 } },
    pointwise: { kernel: 'pointwise', tile: { group: [64, 1], rows: 2, columns: 32 } },
    fused: { kernel: 'fused', tile: { group: [64, 1], width: 1, columns: 32 } },
    backward: { group: [64, 1], height: 1, width: 4 },
  },
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof presets;

/** Multiply-adds below which a convolution takes about 2 ms on SwiftShader, so that compiling for a second never pays. */
const LIGHT = 8e6;
const isLight = (geometry: Geometry): boolean => elements(outputShape(geometry)) * geometry.K < LIGHT;

/** Workgroups of 64 pixels by 64 output channels below which a large GPU would stand half idle. */
const FEW = 128;
/** Channels between the passes, and output channels, up to which one invocation can hold all of a pixel in registers. */
const THIN = 32;

/** The presets that suit a device, the one for this geometry first. */
export function presetsFor(geometry: Geometry, { kind, subgroups, limits }: DeviceProfile): readonly [PresetName, ...PresetName[]] {
  if (kind === 'gpu') {
    const { N, OH, OW, K, O } = geometry;
    if (K <= THIN && O <= THIN) return ['gpuThin', 'gpu'];
    return Math.ceil(N * OH * OW / 64) * Math.ceil(O / 64) < FEW ? ['gpuFewPixels', 'gpu'] : ['gpu', 'gpuFewPixels'];
  }
  const light = isLight(geometry);
  if (subgroups && limits.maxComputeInvocationsPerWorkgroup >= QUAD) return light ? ['lightQuads', 'quads'] : ['quads', 'lightQuads'];
  return light ? ['lightRegisters', 'registers'] : ['registers', 'lightRegisters'];
}

/** A preset with kernels that take the geometry, and with its workgroups within the device's limits. */
export function presetWithin(name: PresetName, geometry: Geometry, { limits: { maxComputeInvocationsPerWorkgroup: most, maxTextureDimension2D } }: DeviceProfile): Preset {
  const { depthwise, pointwise, fused, backward } = presets[name];
  const fit = ({ kernel, tile }: Choice): Choice => ({ kernel, tile: fitted(tile, most) });
  return {
    depthwise: fit(depthwise),
    pointwise: fit(pointwise.kernel === 'pointwise-quad' && !quadsTake(geometry, maxTextureDimension2D) ? presets.registers.pointwise : pointwise),
    fused: fit(fused.kernel === 'fused-quad' && !fusedQuadsTake(geometry, maxTextureDimension2D) ? presets.registers.fused : fused),
    backward: fitted(backward, most),
  };
}

/** Halves the longer side of a workgroup until the device allows it. */
function fitted(tile: Tile, most: number): Tile {
  const [x, y] = tile.group;
  if (x * y <= most) return tile;
  return fitted({ ...tile, group: y > x ? [x, y / 2] : [x / 2, y] }, most);
}

/**
 * Whether one kernel or two take less time. The fused one computes the depthwise pass again for every tile of output
 * channels, but never stores its result or loads it.
 *
 * On a GPU what counts is memory: the fused kernel reads the input for every tile of output channels, two passes write and read
 * the intermediate. On software adapters with subgroups what counts is loads and stores, whose cost tiles.ts reckons for both: the
 * fused kernel is faster by up to a third where a quad holds all pointwise weights, and slower where it computes depthwise
 * results again for other output channels or stores sums between blocks of k. Small convolutions, filters aside that the
 * depthwise kernel cannot hold, and adapters without subgroups take two passes, which compile faster.
 */
export function chooseStrategy(geometry: Geometry, { kind }: DeviceProfile, { depthwise, pointwise, fused }: Preset): 'fused' | 'two-pass' {
  const { N, H, W, C, KH, KW, K, O, OH, OW } = geometry;
  if (kind === 'software') {
    if (fused.kernel !== 'fused-quad' || (isLight(geometry) && KH * KW <= MAX_HELD_TAPS)) return 'two-pass';
    const twoPass = depthwiseTile(geometry, depthwise.tile).cost + pointwiseQuadTile(geometry, pointwise.tile).cost;
    return fusedQuadTile(geometry, fused.tile).cost < twoPass ? 'fused' : 'two-pass';
  }
  const outputTiles = Math.ceil(O / ((fused.tile.columns ?? 1) * (fused.kernel === 'fused-tiled' ? fused.tile.group[0] : 1)));
  const [input, intermediate] = [N * H * W * C, N * OH * OW * K];
  return outputTiles * input < input + 2 * intermediate ? 'fused' : 'two-pass';
}
