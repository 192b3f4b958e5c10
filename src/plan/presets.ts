import { elements, type Geometry, outputShape } from '../arguments/geometry.js';
import { MAX_HELD_TAPS } from '../kernels/cuts.js';
import { depthwise } from '../kernels/depthwise.js';
import { fused, fusedQuad, fusedTiled } from '../kernels/fused.js';
import type { Cut, Kernel, Tile } from '../kernels/kernel.js';
import { pointwise, pointwiseQuad, pointwiseSplit, pointwiseTiled } from '../kernels/pointwise.js';
import type { AdapterKind, DeviceProfile } from '../kernels/profile.js';

/** A kernel and the tile that it shall have. */
export interface KernelChoice<Work = Geometry, K extends Kernel<Work> = Kernel<Work>> {
  readonly kernel: K;
  readonly tile: Tile;
  /** Whether it is the right one for some work; absent: for any. */
  readonly suits?: (work: Work) => boolean;
  /** Whether it is worth taking only where the device allows the whole workgroup. */
  readonly whole?: boolean;
}

/** Which kernel does which pass: the first of each list that fits the device and suits the work. */
export interface Preset {
  readonly depthwise: readonly KernelChoice[];
  readonly pointwise: readonly KernelChoice[];
  readonly fused: readonly KernelChoice[];
}

const row: Tile['group'] = [16, 1];
const quad: Tile['group'] = [4, 1];
const line: Tile['group'] = [64, 1];

const registers: Preset = {
  depthwise: [{ kernel: depthwise, tile: { group: row, height: 14, width: 7 } }],
  pointwise: [{ kernel: pointwise, tile: { group: row, pixels: 28, columns: 16 } }],
  fused: [{ kernel: fused, tile: { group: row, width: 7, columns: 32 } }],
};

/** On a GPU where one invocation can hold all of a pixel in registers. Reasoned, not measured. */
const thin: Preset = {
  depthwise: [{ kernel: depthwise, tile: { group: line, height: 1, width: 4 } }],
  pointwise: [{ kernel: pointwise, tile: { group: line, pixels: 2, columns: 32 } }],
  fused: [{ kernel: fused, tile: { group: line, width: 1, columns: 32 } }],
};
/** One output an invocation: at batch 1 only latency counts. */
const outputs1: KernelChoice = { kernel: depthwise, tile: { group: [128, 1], height: 1, width: 1 } };
const wideRounds: KernelChoice = {
  kernel: fusedTiled, tile: { group: [16, 4], pixels: 4, columns: 8, chunk: 64, width: 4 },
};

/** Workgroups of so many pixels by so many output channels. */
const tilesOf = (pixels: number, tilePixels: number, O: number, tileChannels: number): number =>
  Math.ceil(pixels / tilePixels) * Math.ceil(O / tileChannels);

/**
 * On SwiftShader a load from a buffer costs as much as 30 multiply-adds, each value that a loop carries from turn to
 * turn a dozen instructions, and a barrier microseconds. So quads hold as many weights as compile in reasonable time,
 * and go over the pixels with them.
 *
 * - `quads`: 512 vectors of weights a lane, compiled in 0.9 s; a product of 3136x128x128 takes 4.8 ms. The fused kernel
 *   holds 256, because the rest of it has to be compiled too: 64x64 weights in 1.2 to 1.9 s.
 * - `lightQuads`, for small convolutions: 64 vectors, compiled in 0.1 s.
 * - `registers` and `lightRegisters`, without subgroups: large register tiles win, although they spill.
 * - `gpuFewPixels`, `gpu`, `gpuManyPixels`: the few tiles that came within 10 % of the best of 1,500 prototypes on an
 *   H100 (test/bench/README.md). With few pixels K is split among the slices of a workgroup, because a GPU has more
 *   processors than there are tiles; with many, a tile is 64x64 with 8x8 sums an invocation.
 */
export const presets = {
  quads: {
    depthwise: [{ kernel: depthwise, tile: { group: row, height: 28, width: 7 } }],
    pointwise: [{ kernel: pointwiseQuad, tile: { group: quad, pixels: 128, weights: 512 } }, ...registers.pointwise],
    fused: [{ kernel: fusedQuad, tile: { group: quad, height: 112, width: 7, weights: 256 } }, ...registers.fused],
  },
  lightQuads: {
    depthwise: [{ kernel: depthwise, tile: { group: row, height: 28, width: 4 } }],
    pointwise: [{ kernel: pointwiseQuad, tile: { group: quad, pixels: 128, weights: 64 } }, ...registers.pointwise],
    fused: [{ kernel: fusedQuad, tile: { group: quad, height: 112, width: 4, weights: 64 } }, ...registers.fused],
  },
  registers,
  lightRegisters: {
    depthwise: [{ kernel: depthwise, tile: { group: row, height: 14, width: 2 } }],
    pointwise: [{ kernel: pointwise, tile: { group: row, pixels: 7, columns: 16 } }],
    fused: [{ kernel: fused, tile: { group: row, width: 7, columns: 16 } }],
  },
  gpuFewPixels: {
    depthwise: [outputs1],
    pointwise: [
      { kernel: pointwiseSplit, tile: { group: [16, 2], slices: 16, pixels: 2, columns: 4 }, whole: true },
      { kernel: pointwiseSplit, tile: { group: [16, 1], slices: 16, pixels: 4, columns: 4 } },
      ...thin.pointwise,
    ],
    fused: [{ kernel: fusedTiled, tile: { group: [16, 2], slices: 8, pixels: 4, columns: 4, chunk: 128, width: 1 } }],
  },
  gpu: {
    depthwise: [outputs1],
    pointwise: [{ kernel: pointwiseTiled, tile: { group: [16, 8], pixels: 4, columns: 4, chunk: 32 } }],
    fused: [
      { ...wideRounds, suits: ({ K }) => K < 128 },
      {
        kernel: fusedTiled, tile: { group: [16, 4], slices: 4, pixels: 4, columns: 4, chunk: 128, width: 2 },
        suits: ({ N, OH, OW, O }) => tilesOf(N * OH * OW, 16, O, 64) > 256,
      },
      { kernel: fusedTiled, tile: { group: [16, 4], slices: 4, pixels: 2, columns: 4, chunk: 128, width: 2 } },
    ],
  },
  gpuManyPixels: {
    depthwise: [
      { ...outputs1, suits: ({ RH, RW }) => RH * RW > 1 },
      { kernel: depthwise, tile: { group: [128, 1], height: 2, width: 1 }, suits: ({ SW }) => SW > 1 },
      { kernel: depthwise, tile: { group: [128, 1], height: 2, width: 7 } },
    ],
    pointwise: [
      {
        kernel: pointwiseTiled, tile: { group: [16, 8], pixels: 4, columns: 8, chunk: 16, ahead: true },
        suits: ({ N, OH, OW, O }) => tilesOf(N * OH * OW, 64, O, 64) < 600,
      },
      { kernel: pointwiseTiled, tile: { group: [8, 8], pixels: 8, columns: 8, chunk: 16 } },
    ],
    fused: [
      {
        kernel: fusedTiled, tile: { group: [16, 4], pixels: 4, columns: 4, chunk: 32, width: 2 },
        suits: ({ O }) => O <= 64,
      },
      wideRounds,
    ],
  },
  gpuThin: thin,
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof presets;

/**
 * A convolution of fewer multiply-adds takes at most about 2 ms on SwiftShader: compiling for a second never pays.
 */
const LIGHT = 8e6;
const isLight = (geometry: Geometry): boolean => elements(outputShape(geometry)) * geometry.K < LIGHT;

/**
 * Workgroups for each processor of a GPU. With fewer than `BUSY_SMALL`, tiles of 32 pixels by 64 channels leave it
 * idle; from `BUSY_LARGE` on, tiles of 64 by 64 keep it busy. On the H100, 56 tiles of 32x64 take 1.27 and 1.49
 * times as long as split sums, 100 take 0.8 of their time; 196 tiles of 64x64 take 1.5 times as long as those of 32x64,
 * 400 are as fast.
 */
const [BUSY_SMALL, BUSY_LARGE] = [0.6, 2.3];
/**
 * Channels between the passes, and output channels, up to which one invocation can hold all of a pixel in registers.
 */
const THIN = 32;

/** The presets for a kind of adapter. Their kernels fall back to others where a device lacks what they need. */
export const presetsOfKind = (kind: AdapterKind): readonly PresetName[] =>
  (Object.keys(presets) as PresetName[]).filter((name) => name.startsWith('gpu') === (kind === 'gpu'));

/** The presets that suit a device, the one for this geometry first. */
export function presetsFor(
  geometry: Geometry, { kind, subgroups, processors }: DeviceProfile,
): readonly [PresetName, ...PresetName[]] {
  if (kind === 'gpu') {
    const { N, OH, OW, K, O } = geometry;
    const pixels = N * OH * OW;
    if (K <= THIN && O <= THIN) return ['gpuThin', 'gpu'];
    if (tilesOf(pixels, 32, O, 64) < BUSY_SMALL * processors) return ['gpuFewPixels', 'gpu'];
    const few = tilesOf(pixels, 64, O, 64) < BUSY_LARGE * processors;
    return few ? ['gpu', 'gpuFewPixels', 'gpuManyPixels'] : ['gpuManyPixels', 'gpu'];
  }
  if (subgroups) return isLight(geometry) ? ['lightQuads', 'quads'] : ['quads', 'lightQuads'];
  return isLight(geometry) ? ['lightRegisters', 'registers'] : ['registers', 'lightRegisters'];
}

/** The first kernel of a list that suits some work and can compute it within a device's limits. */
export function firstFitting<Work, K extends Kernel<Work>>(
  choices: readonly KernelChoice<Work, K>[], work: Work, profile: DeviceProfile,
): KernelChoice<Work, K> {
  for (const { kernel, tile, suits, whole } of choices) {
    if (!(kernel.fits?.(work, profile) ?? true) || !(suits?.(work) ?? true)) continue;
    const within = tileWithin(tile, profile);
    if (whole && within !== tile) continue;
    const { memory = 0 } = kernel.cut(work, within);
    if (memory <= profile.limits.maxComputeWorkgroupStorageSize) return { kernel, tile: within };
  }
  throw new Error('no kernel of a preset fits'); // Each list ends with a kernel that the least limits allow.
}

/** Makes a workgroup smaller until the device allows it: its longer side first, its slices last. */
export function tileWithin(tile: Tile, profile: DeviceProfile): Tile {
  const { group: [x, y], slices = 1 } = tile;
  if (x * y * slices <= profile.limits.maxComputeInvocationsPerWorkgroup) return tile;
  if (x * y === 1) return tileWithin({ ...tile, slices: slices / 2 }, profile);
  return tileWithin({ ...tile, group: y > x ? [x, y / 2] : [x / 2, y] }, profile);
}

/**
 * Whether one kernel or two take less time. The fused one computes the depthwise pass again for every tile of output
 * channels, but never stores its result or loads it.
 *
 * On software adapters with subgroups all three kernels have costs, which count loads and stores; the costs decide.
 * Software adapters without subgroups take two passes, which compile faster. So do small convolutions, unless their
 * filter is too large for the depthwise kernel to hold.
 *
 * On a GPU one kernel saves 2 us for a dispatch, and the traffic of the depthwise result. It loses more than that where
 * it computes the depthwise pass for several tiles of channels, or where K is so long that its rounds wait at barriers.
 * On the H100 one kernel is faster at batch 1 up to K = 256, except with strides and few channels, and at batch 32
 * where one tile has all output channels and the filter is small.
 */
export function chooseStrategy(geometry: Geometry, profile: DeviceProfile, preset: Preset): 'fused' | 'two-pass' {
  const { N, KH, KW, K, O, OH, OW, SH, SW } = geometry;
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
  const few = tilesOf(N * OH * OW, 64, O, 64) < BUSY_LARGE * profile.processors;
  if (few) return K <= 256 && (K >= 128 || SH * SW === 1) ? 'fused' : 'two-pass';
  return one.outputTiles === 1 && KH * KW <= 9 ? 'fused' : 'two-pass';
}
