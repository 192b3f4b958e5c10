import type { Geometry } from '../arguments/geometry.js';
import {
  depthwiseFilterGradient, pointwiseFilterGradient, pointwiseFilterGradientQuad, pointwiseFilterGradientTiled,
  type SplitKernel, type SplitWork, sum, sumSplit, type Terms,
} from '../kernels/gradients.js';
import type { Tile } from '../kernels/kernel.js';
import { type KernelChoice, line, type PresetName, quad, row } from './presets.js';

/** What a preset has for the backward pass alone. It is loaded with the gradients. */

/** Kernels whose sums are cut, of which the first that fits is taken. */
export type SplitChoices<Work = Geometry> = readonly KernelChoice<SplitWork<Work>, SplitKernel<Work>>[];

export interface BackwardPreset {
  /** Tiles of the pass back through the depthwise one, and the workgroups of small kernels. */
  readonly tile: Tile;
  readonly depthwiseFilter: SplitChoices;
  readonly pointwiseFilter: SplitChoices;
  /** Sums over pixels, and of parts. */
  readonly sums: SplitChoices<Terms>;
}

/**
 * On SwiftShader 32x32 sums a quad take 0.6 times as long as 16x16 an invocation, and compile twice as fast; 32x64 are
 * slower.
 */
const byQuads: SplitChoices[number] = {
  kernel: pointwiseFilterGradientQuad, tile: { group: quad, pixels: 32, columns: 32 },
};
const byInvocations: SplitChoices[number] = {
  kernel: pointwiseFilterGradient, tile: { group: row, pixels: 16, columns: 16 },
};

const software = (height: number, width: number, ...quads: SplitChoices): BackwardPreset => {
  const tile = { group: row, height, width };
  return {
    tile, depthwiseFilter: [{ kernel: depthwiseFilterGradient, tile }], pointwiseFilter: [...quads, byInvocations],
    sums: [{ kernel: sum, tile }],
  };
};

/**
 * 4x4 sums an invocation and rounds of 64 pixels, which suit products of few pixels in the forward pass (see
 * src/plan/presets.ts), in tiles so small that even a layer of 14x14 has one for each processor of an H100.
 */
const tiles32: SplitChoices[number] = {
  kernel: pointwiseFilterGradientTiled, tile: { group: [8, 8], slices: 4, pixels: 4, columns: 4, chunk: 64 },
};
/** 8x8 sums an invocation and rounds of 16 pixels, which suit products of many pixels. */
const tiles64: SplitChoices[number] = {
  kernel: pointwiseFilterGradientTiled, tile: { group: [8, 8], pixels: 8, columns: 8, chunk: 16 },
};

/**
 * Where slices pay: with fewer terms there is little to split, and with more sums a GPU is busy without slices. Both
 * are reasoned.
 */
const [LEAST_TERMS, MOST_SUMS] = [8, 2 ** 16];
const slicesPay = ({ work: { TERMS, ROWS, CHANNELS } }: SplitWork<Terms>): boolean =>
  TERMS >= LEAST_TERMS && ROWS * CHANNELS <= MOST_SUMS;

/**
 * GPU tiles follow from what an H100 showed of the forward pass's kernels. They were not measured themselves. Of a 5x5
 * filter an invocation takes a row: all of it would need 100 registers for sums, and 160 for what they read.
 */
const gpu = (height: number, width: number, product: SplitChoices[number]): BackwardPreset => {
  const tile = { group: line, height, width, taps: 16 };
  return {
    tile, depthwiseFilter: [{ kernel: depthwiseFilterGradient, tile }], pointwiseFilter: [product],
    sums: [{ kernel: sumSplit, tile: { group: [4, 1], slices: 64 }, suits: slicesPay }, { kernel: sum, tile }],
  };
};

const manyPixels = gpu(2, 4, tiles64);
const fewPixels = (width: number): BackwardPreset => gpu(1, width, tiles32);

export const backwardPresets: Readonly<Record<PresetName, BackwardPreset>> = {
  quads: software(4, 7, byQuads),
  lightQuads: software(2, 2, byQuads),
  registers: software(4, 7),
  lightRegisters: software(2, 4),
  gpuManyPixels: manyPixels, gpuEvenPixels: manyPixels, gpuFewChannels: manyPixels, gpuManyTaps: manyPixels,
  gpuManyChannels: manyPixels, gpuRows: manyPixels,
  gpu: fewPixels(4), gpuFewPixels: fewPixels(1), gpuDeep: fewPixels(1), gpuThin: fewPixels(4),
};
