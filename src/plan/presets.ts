import { elements, type Geometry, outputShape } from '../arguments/geometry.js';
import { MAX_HELD_TAPS } from '../kernels/cuts.js';
import { depthwise } from '../kernels/depthwise.js';
import { fused, fusedQuad, fusedTiled } from '../kernels/fused.js';
import type { Cut, Kernel, Tile } from '../kernels/kernel.js';
import { pointwise, pointwiseQuad, pointwiseTiled } from '../kernels/pointwise.js';
import type { DeviceProfile } from '../kernels/profile.js';

/** A kernel and the tile that it shall have. */
export interface Choice<Work = Geometry, K extends Kernel<Work> = Kernel<Work>> {
  readonly kernel: K;
  readonly tile: Tile;
}

/** Which kernel does which pass: the first of each list that fits. */
export interface Preset {
  readonly depthwise: readonly Choice[];
  readonly pointwise: readonly Choice[];
  readonly fused: readonly Choice[];
  /** Tiles of the backward pass through the depthwise one, and the workgroups of small kernels. */
  readonly backward: Tile;
  /** Tiles of the pointwise filter's gradient, by quads and by single invocations. */
  readonly product: Readonly<Record<'quads' | 'invocations', Omit<Tile, 'group'>>>;
}

const row: Tile['group'] = [16, 1];
const quad: Tile['group'] = [4, 1];
const line: Tile['group'] = [64, 1];
const block: Tile['group'] = [16, 8];

/**
 * On SwiftShader 32x32 a quad take 0.6 times as long as 16x16 an invocation, and compile twice as fast; 32x64 are slower. On
 * a GPU more than 64 registers an invocation cost occupancy (not measured).
 */
const softwareProduct = { quads: { pixels: 32, columns: 32 }, invocations: { pixels: 16, columns: 16 } };
const gpuProduct = { quads: { pixels: 32, columns: 32 }, invocations: { pixels: 8, columns: 8 } };

const registers: Preset = {
  depthwise: [{ kernel: depthwise, tile: { group: row, height: 14, width: 7 } }],
  pointwise: [{ kernel: pointwise, tile: { group: row, pixels: 28, columns: 16 } }],
  fused: [{ kernel: fused, tile: { group: row, width: 7, columns: 32 } }],
  backward: { group: row, height: 4, width: 7 },
  product: softwareProduct,
};

/**
 * On SwiftShader a load of a buffer costs as much as 30 multiply-adds, what a loop carries from turn to turn a dozen
 * instructions, and a barrier microseconds. So quads hold as many weights as they can compile, and go over pixels.
 *
 * - `quads`: 512 vectors of weights a lane, compiled in 0.9 s; a product of 3136x128x128 takes 4.8 ms. The fused kernel
 *   holds 256, for the rest of it compiles too: 64x64 weights in 1.2 to 1.9 s.
 * - `lightQuads`, for small convolutions: 64 vectors, compiled in 0.1 s.
 * - `registers` and `lightRegisters`, without subgroups: large register tiles win, although they spill.
 * - `gpu` and others: more than about 64 registers an invocation cost occupancy, and workgroup memory is the way to share a
 *   tile. Reasoned, not measured.
 */
export const presets = {
  quads: {
    depthwise: [{ kernel: depthwise, tile: { group: row, height: 28, width: 7 } }],
    pointwise: [{ kernel: pointwiseQuad, tile: { group: quad, pixels: 128, weights: 512 } }, ...registers.pointwise],
    fused: [{ kernel: fusedQuad, tile: { group: quad, height: 112, width: 7, weights: 256 } }, ...registers.fused],
    backward: { group: row, height: 4, width: 7 },
    product: softwareProduct,
  },
  lightQuads: {
    depthwise: [{ kernel: depthwise, tile: { group: row, height: 28, width: 4 } }],
    pointwise: [{ kernel: pointwiseQuad, tile: { group: quad, pixels: 128, weights: 64 } }, ...registers.pointwise],
    fused: [{ kernel: fusedQuad, tile: { group: quad, height: 112, width: 4, weights: 64 } }, ...registers.fused],
    backward: { group: row, height: 2, width: 2 },
    product: softwareProduct,
  },
  registers,
  lightRegisters: {
    depthwise: [{ kernel: depthwise, tile: { group: row, height: 14, width: 2 } }],
    pointwise: [{ kernel: pointwise, tile: { group: row, pixels: 7, columns: 16 } }],
    fused: [{ kernel: fused, tile: { group: row, width: 7, columns: 16 } }],
    backward: { group: row, height: 2, width: 4 },
    product: softwareProduct,
  },
  gpu: {
    depthwise: [{ kernel: depthwise, tile: { group: line, height: 1, width: 4 } }],
    pointwise: [{ kernel: pointwiseTiled, tile: { group: block, pixels: 8, columns: 4, chunk: 16 } }],
    fused: [{ kernel: fusedTiled, tile: { group: block, width: 4, pixels: 8, columns: 4, chunk: 32 } }],
    backward: { group: line, height: 1, width: 4 },
    product: gpuProduct,
  },
  gpuFewPixels: {
    depthwise: [{ kernel: depthwise, tile: { group: line, height: 1, width: 1 } }],
    pointwise: [{ kernel: pointwiseTiled, tile: { group: block, pixels: 2, columns: 4, chunk: 32 } }],
    fused: [{ kernel: fusedTiled, tile: { group: block, width: 2, pixels: 2, columns: 4, chunk: 32 } }],
    backward: { group: line, height: 1, width: 1 },
    product: gpuProduct,
  },
  gpuThin: {
    depthwise: [{ kernel: depthwise, tile: { group: line, height: 1, width: 4 } }],
    pointwise: [{ kernel: pointwise, tile: { group: line, pixels: 2, columns: 32 } }],
    fused: [{ kernel: fused, tile: { group: line, width: 1, columns: 32 } }],
    backward: { group: line, height: 1, width: 4 },
    product: gpuProduct,
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
export function presetsFor(geometry: Geometry, { kind, subgroups }: DeviceProfile): readonly [PresetName, ...PresetName[]] {
  if (kind === 'gpu') {
    const { N, OH, OW, K, O } = geometry;
    if (K <= THIN && O <= THIN) return ['gpuThin', 'gpu'];
    return Math.ceil(N * OH * OW / 64) * Math.ceil(O / 64) < FEW ? ['gpuFewPixels', 'gpu'] : ['gpu', 'gpuFewPixels'];
  }
  if (subgroups) return isLight(geometry) ? ['lightQuads', 'quads'] : ['quads', 'lightQuads'];
  return isLight(geometry) ? ['lightRegisters', 'registers'] : ['registers', 'lightRegisters'];
}

/** The first kernel of a list that can compute some work on a device, with its workgroups within the device's limits. */
export function firstFitting<Work, K extends Kernel<Work>>(
  choices: readonly Choice<Work, K>[], work: Work, profile: DeviceProfile,
): Choice<Work, K> {
  const { kernel, tile } = choices.find((choice) => choice.kernel.fits?.(work, profile) ?? true)!;
  return { kernel, tile: tileWithin(tile, profile) };
}

/** Halves the longer side of a workgroup until the device allows it. */
export function tileWithin(tile: Tile, profile: DeviceProfile): Tile {
  const [x, y] = tile.group;
  if (x * y <= profile.limits.maxComputeInvocationsPerWorkgroup) return tile;
  return tileWithin({ ...tile, group: y > x ? [x, y / 2] : [x / 2, y] }, profile);
}

/**
 * Whether one kernel or two take less time. The fused one computes the depthwise pass again for every tile of output
 * channels, but never stores its result or loads it.
 *
 * Where all three kernels have costs, as on software adapters with subgroups, those decide: what counts there is loads and
 * stores. Small convolutions, filters aside that the depthwise kernel cannot hold, and software adapters without subgroups
 * take two passes, which compile faster.
 *
 * On a GPU what counts is memory: the fused kernel reads the input for every tile of output channels, two passes write and
 * read the intermediate.
 */
export function chooseStrategy(geometry: Geometry, profile: DeviceProfile, preset: Preset): 'fused' | 'two-pass' {
  const { N, H, W, C, KH, KW, K, OH, OW } = geometry;
  const cut = (pass: 'depthwise' | 'pointwise' | 'fused'): Cut => {
    const { kernel, tile } = firstFitting(preset[pass], geometry, profile);
    return kernel.cut(geometry, tile);
  };
  const one = cut('fused');
  if (profile.kind === 'software') {
    const two = [cut('depthwise'), cut('pointwise')].map(({ cost }) => cost);
    if (one.cost === undefined || two.includes(undefined)) return 'two-pass';
    if (isLight(geometry) && KH * KW <= MAX_HELD_TAPS) return 'two-pass';
    return one.cost < two[0]! + two[1]! ? 'fused' : 'two-pass';
  }
  const [input, intermediate] = [N * H * W * C, N * OH * OW * K];
  return one.outputTiles! * input < input + 2 * intermediate ? 'fused' : 'two-pass';
}
