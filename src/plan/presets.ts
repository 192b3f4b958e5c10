import type { Geometry } from '../arguments/geometry.js';
import { depthwise, depthwiseBlocks } from '../kernels/depthwise.js';
import { fused, fusedQuad, fusedRows, fusedTiled } from '../kernels/fused.js';
import type { Kernel, Tile } from '../kernels/kernel.js';
import { pointwise, pointwiseQuad, pointwiseShuffled, pointwiseSplit, pointwiseTiled } from '../kernels/pointwise.js';
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
  /** Whether a plan may take it for some work by itself; absent: for any. */
  readonly suits?: (geometry: Geometry) => boolean;
  /** Whether only measured tuning takes it, because no GPU has timed it yet. */
  readonly untimed?: boolean;
}

export const row: Tile['group'] = [16, 1];
export const quad: Tile['group'] = [4, 1];
export const line: Tile['group'] = [64, 1];

const registers: Preset = {
  depthwise: [{ kernel: depthwise, tile: { group: row, height: 14, width: 7 } }],
  pointwise: [{ kernel: pointwise, tile: { group: row, pixels: 28, columns: 16 } }],
  fused: [{ kernel: fused, tile: { group: row, width: 7, columns: 32 } }],
};

/** An invocation has 32 output channels in registers: of small convolutions all. */
const thin: KernelChoice = { kernel: pointwise, tile: { group: line, pixels: 2, columns: 32 } };

const splitLarge: Tile = { group: [16, 2], slices: 16, pixels: 2, columns: 4 };
const splitSmall: Tile = { group: [16, 1], slices: 16, pixels: 4, columns: 4 };

/** Few pixels leave most of a GPU idle: one output an invocation, and K split among slices of a workgroup. */
const gpuFewPixels: Preset = {
  depthwise: [{ kernel: depthwiseBlocks, tile: { group: [128, 1], height: 1, width: 1 } }],
  pointwise: [
    { kernel: pointwiseShuffled, tile: splitLarge, whole: true },
    { kernel: pointwiseShuffled, tile: splitSmall },
    { kernel: pointwiseSplit, tile: splitLarge, whole: true },
    { kernel: pointwiseSplit, tile: splitSmall },
    thin, // Where two invocations are too many.
  ],
  fused: [{ kernel: fusedTiled, tile: { group: [16, 2], slices: 8, pixels: 4, columns: 4, chunk: 128, width: 1 } }],
};

/** Many pixels: 8x8 sums an invocation, so that each load serves many multiply-adds. */
const gpuManyPixels: Preset = {
  depthwise: [
    {
      kernel: depthwiseBlocks, tile: { group: [128, 1], height: 2, width: 7 },
      suits: ({ SH, SW, RH, RW }) => SH * SW * RH * RW === 1,
    },
    {
      // With strides, 7 outputs take up to 1.25 of its time.
      kernel: depthwiseBlocks, tile: { group: [128, 1], height: 2, width: 1 },
      suits: ({ RH, RW }) => RH * RW === 1,
    },
    ...gpuFewPixels.depthwise, // Of rates only this one was measured.
  ],
  pointwise: [{ kernel: pointwiseTiled, tile: { group: [8, 8], pixels: 8, columns: 8, chunk: 16 } }],
  fused: [{ kernel: fusedTiled, tile: { group: [16, 8], pixels: 8, columns: 8, chunk: 64, width: 4 } }],
};

const fewChannels: Tile = { group: [16, 4], pixels: 4, columns: 4, chunk: 32, width: 2 };

/** A preset of which only the fused kernel has another tile. */
const withFused = (preset: Preset, tile: Tile): Preset => ({ ...preset, fused: [{ kernel: fusedTiled, tile }] });

/**
 * On SwiftShader a load from a buffer costs as much as 30 multiply-adds, each value that a loop carries from turn to
 * turn a dozen instructions, and a barrier microseconds. So quads hold as many weights as compile in reasonable time,
 * and go over the pixels with them.
 *
 * - `quads`: 512 vectors of weights a lane, compiled in 0.9 s; a product of 3136x128x128 takes 4.8 ms. The fused kernel
 *   holds 256, because the rest of it has to be compiled too: 64x64 weights in 1.2 to 1.9 s.
 * - `lightQuads`, for small convolutions: 64 vectors, compiled in 0.1 s.
 * - `registers` and `lightRegisters`, without subgroups: large register tiles win, although they spill.
 * - `gpu*`: of 1,500 prototypes on an H100 the tiles that come within 10 % of the best of their kernel in every layer,
 *   baked extents apart. Fewer fused ones do not (test/bench/README.md). Where times are equal to the model, the first
 *   is taken.
 */
const table = {
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
  gpuManyPixels,
  gpuEvenPixels: withFused(gpuManyPixels, { group: [16, 8], pixels: 8, columns: 8, chunk: 64, width: 2 }),
  gpuFewChannels: withFused(gpuManyPixels, fewChannels),
  gpuManyTaps: withFused(gpuManyPixels, { group: [16, 4], pixels: 4, columns: 4, chunk: 64, width: 4 }),
  gpuManyChannels: {
    ...gpuManyPixels,
    pointwise: [{ kernel: pointwiseTiled, tile: { group: [16, 8], pixels: 4, columns: 8, chunk: 16, ahead: true } }],
    fused: [{ kernel: fusedTiled, tile: { group: [16, 4], slices: 2, pixels: 4, columns: 8, chunk: 64, width: 1 } }],
  },
  gpu: {
    ...gpuFewPixels,
    pointwise: [{ kernel: pointwiseTiled, tile: { group: [16, 8], pixels: 4, columns: 4, chunk: 32 } }],
    fused: [{ kernel: fusedTiled, tile: { group: [16, 4], slices: 4, pixels: 4, columns: 4, chunk: 128, width: 2 } }],
  },
  gpuFewPixels,
  gpuDeep: {
    ...gpuFewPixels,
    fused: [
      {
        kernel: fusedTiled, tile: { group: [16, 4], slices: 8, pixels: 2, columns: 4, chunk: 256, width: 2 },
        whole: true, // Smaller ones were not measured.
      },
      ...gpuFewPixels.fused,
    ],
    suits: ({ SH, SW }) => SH * SW === 1, // With strides it was not measured.
  },
  /** Goes down rows: at 3x3 each input element is loaded 1.7 times instead of 4.5. */
  gpuRows: {
    ...gpuManyPixels,
    fused: [
      { kernel: fusedRows, tile: { group: [16, 8], columns: 8, height: 14, width: 4 } },
      { kernel: fusedTiled, tile: fewChannels }, // For more channels or taps.
    ],
    untimed: true,
  },
  /** One invocation holds all of a pixel in registers. Reasoned, not measured. */
  gpuThin: {
    ...gpuManyPixels,
    pointwise: [thin],
    fused: [{ kernel: fused, tile: { group: line, width: 1, columns: 32 } }],
    suits: ({ K, O }) => K <= 32 && O <= 32,
  },
} satisfies Record<string, Preset>;

export type PresetName = keyof typeof table;
export const presets: Readonly<Record<PresetName, Preset>> = table;

/** The presets for a kind of adapter. Their kernels fall back to others where a device lacks what they need. */
export const presetsOfKind = (kind: AdapterKind): readonly PresetName[] =>
  (Object.keys(presets) as PresetName[]).filter((name) => name.startsWith('gpu') === (kind === 'gpu'));

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
