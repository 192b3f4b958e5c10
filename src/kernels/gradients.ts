import type { ResolvedActivation } from '../arguments/activation.js';
import type { Geometry } from '../arguments/geometry.js';
import { channelLanes, channelStride, evenTile, fewPixels, QUAD, quadsTake } from './cuts.js';
import { areaTile, lanesOf, sharedTile, transposedTile } from './gradient-cuts.js';
import type { Cut, Kernel, Tile } from './kernel.js';

/** The kernels of the backward pass that are not the forward pass's too. */

/** How a sum over terms is cut into parts, which are computed at the same time, and then summed. */
export interface Split {
  readonly SPLITS: number;
  readonly PER_SPLIT: number;
}

/** Some work that sums up, and how its sums are cut. */
export interface SplitWork<Work = Geometry> {
  readonly work: Work;
  readonly split: Split;
}

/** How the sums of a kernel can be cut. */
export interface Sums {
  /** How many terms each sum has: pixels, or tiles of them. */
  readonly terms: number;
  /** Invocations that compute one part of all sums. */
  readonly invocations: number;
  /** The fewest terms that are worth a part of their own. */
  readonly least: number;
  /** Terms taken at once: a part has a multiple of them. */
  readonly step: number;
}

/** A kernel whose sums are cut. */
export interface SplitKernel<Work = Geometry> extends Kernel<SplitWork<Work>> {
  readonly sums: (work: Work, tile: Tile) => Sums;
}

/** A cut into invocations, of which a workgroup has as many as its group says. */
function invocationsOf(
  invocations: number, { group }: Tile, { constants, ...rest }: Omit<Cut, 'workgroups' | 'group'>,
): Cut {
  const WORKGROUP = group[0] * group[1];
  return { ...rest, constants: { ...constants, WORKGROUP }, workgroups: Math.ceil(invocations / WORKGROUP), group };
}

/**
 * A gradient and the values that the derivative is taken of; without an activation they are multiplied as they are.
 * Strides are channels from one pixel to the next; that of the gradient is CHANNELS if absent. VALUE_PIXELS pixels, 1
 * if absent, share their values.
 */
export interface ActivationWork {
  readonly activation?: ResolvedActivation;
  readonly PIXELS: number; readonly CHANNELS: number; readonly VALUE_STRIDE: number; readonly STRIDE: number;
  readonly GRADIENT_STRIDE?: number; readonly VALUE_PIXELS?: number;
}

export const activationGradient: Kernel<ActivationWork> = {
  name: 'activation-gradient',
  load: () => import('../../shaders/activation-gradient.wgsl?raw'),
  loadLibrary: () => import('../../shaders/derivatives.wgsl?raw'),
  operands: ['gradient', 'values', 'output'],
  cut({ activation, ...given }, tile) {
    const extents = { GRADIENT_STRIDE: given.CHANNELS, VALUE_PIXELS: 1, ...given };
    const LANES = lanesOf(extents.CHANNELS, extents.VALUE_STRIDE, extents.STRIDE, extents.GRADIENT_STRIDE);
    const { kind, alpha } = activation ?? { kind: 'itself', alpha: 0 } as const;
    return invocationsOf(extents.PIXELS * extents.STRIDE / LANES, tile, {
      constants: { LANES }, bodies: { derivative: kind }, params: { ...extents, alpha },
    });
  },
};

/** The pointwise filter, transposed. */
export const transpose: Kernel<Pick<Geometry, 'K' | 'O'>> = {
  name: 'transpose',
  load: () => import('../../shaders/transpose.wgsl?raw'),
  operands: ['input', 'output'],
  cut({ K, O }, tile) {
    const LANES = lanesOf(K, O);
    return invocationsOf((K / LANES) * (O / LANES), tile, { constants: { LANES }, params: { K, O } });
  },
};

/** Terms `[TERMS, ROWS, STRIDE]`, of whose channels the first CHANNELS count. */
export interface Terms {
  readonly TERMS: number; readonly ROWS: number; readonly CHANNELS: number; readonly STRIDE: number,
}

const sumOperands = ['terms', 'output'] as const;

export const sum: SplitKernel<Terms> = {
  name: 'sum',
  load: () => import('../../shaders/sum.wgsl?raw'),
  operands: sumOperands,
  sums: ({ TERMS, ROWS, CHANNELS }) => ({ terms: TERMS, invocations: ROWS * CHANNELS / 4, least: 64, step: 4 }),
  cut({ work, split }, tile) {
    const LANES = lanesOf(work.CHANNELS, work.STRIDE);
    const invocations = split.SPLITS * work.ROWS * work.CHANNELS / LANES;
    return invocationsOf(invocations, tile, { constants: { LANES }, params: { ...work, ...split } });
  },
};

/**
 * The least that is worth a part of its own on GPUs: terms of a slice, and rounds through workgroup memory. Parts cost
 * a dispatch more, which sums them. It takes 1.6 us on the H100 even if it is empty, and then loads the parts. Reasoned
 * from that, not measured.
 */
const [LEAST_OF_SLICE, LEAST_ROUNDS] = [32, 4];

/** Slices of a workgroup have parts of the terms each, of which there must be some, and add their sums at the end. */
export const sumSplit: SplitKernel<Terms> = {
  name: 'sum-split',
  load: () => import('../../shaders/sum-split.wgsl?raw'),
  operands: sumOperands,
  fits: (_, { limits }) => limits.maxComputeInvocationsPerWorkgroup >= 2,
  sums(work, tile) {
    const { SLICES, GROUP_X, across } = slicesOf(work, work.TERMS, tile);
    const invocations = across * GROUP_X * SLICES;
    return { terms: work.TERMS, invocations, least: LEAST_OF_SLICE * SLICES, step: SLICES };
  },
  cut({ work, split }, tile) {
    const { across, ...constants } = slicesOf(work, Math.min(work.TERMS, split.PER_SPLIT), tile);
    const { LANES, GROUP_X, SLICES } = constants;
    return {
      constants, params: { ...work, ...split }, group: [GROUP_X, SLICES], workgroups: across * split.SPLITS,
      memory: 2 * SLICES * GROUP_X * LANES,
    };
  },
};

/** The constants of `sumSplit` for so many terms, and how many workgroups take one part of all sums. */
function slicesOf({ ROWS, CHANNELS, STRIDE }: Terms, terms: number, { group: [GROUP_X], slices = 2 }: Tile) {
  const LANES = lanesOf(CHANNELS, STRIDE);
  const SLICES = Math.max(2, fewPixels(terms, slices));
  return { LANES, GROUP_X, SLICES, across: Math.ceil(ROWS * CHANNELS / LANES / GROUP_X) };
}

/** Channels from one pixel to the next of a gradient that pointwise kernels read. */
export const outputStride = ({ O }: Geometry): number => Math.ceil(O / 4) * 4;

/**
 * The packs of k by packs of output channels of one invocation, or of each of the `lanes` of a quad, and how many
 * invocations take them all.
 */
function productTile(g: Geometry, { pixels: down = 4, columns = 4 }: Tile, lanes: number) {
  const packs = (stride: number) => Math.ceil(stride / 4 / lanes);
  const [packsK, packsO] = [packs(channelStride(g)), packs(outputStride(g))];
  const constants = { ROWS: evenTile(packsK, down / 4 / lanes), COLUMNS: evenTile(packsO, columns / 4 / lanes) };
  return { constants, parallel: Math.ceil(packsK / constants.ROWS) * Math.ceil(packsO / constants.COLUMNS) * lanes };
}

/** Pixels of the output. */
export const pixelsOf = ({ N, OH, OW }: Geometry): number => N * OH * OW;
const productParams = (g: Geometry, split: Split) =>
  ({ ...split, PIXELS: pixelsOf(g), K: g.K, K_STRIDE: channelStride(g), O_STRIDE: outputStride(g) });
const productOperands = ['input', 'gradient', 'output'] as const;
const productSums = (g: Geometry, tile: Tile, lanes: number): Sums =>
  ({ terms: pixelsOf(g), invocations: productTile(g, tile, lanes).parallel, least: 64, step: 4 });

export const pointwiseFilterGradient: SplitKernel = {
  name: 'pointwise-filter-gradient',
  load: () => import('../../shaders/pointwise-filter-gradient.wgsl?raw'),
  operands: productOperands,
  sums: (g, tile) => productSums(g, tile, 1),
  cut({ work: g, split }, tile) {
    const { constants, parallel } = productTile(g, tile, 1);
    return invocationsOf(parallel * split.SPLITS, tile, { constants, params: productParams(g, split) });
  },
};

export const pointwiseFilterGradientQuad: SplitKernel = {
  name: 'pointwise-filter-gradient-quad',
  load: () => import('../../shaders/pointwise-filter-gradient-quad.wgsl?raw'),
  operands: productOperands,
  // Where the forward pass goes by quads too.
  fits: ({ work }, profile) => quadsTake(work, profile),
  sums: (g, tile) => productSums(g, tile, QUAD),
  cut({ work: g, split }, tile) {
    const { constants, parallel } = productTile(g, tile, QUAD);
    return {
      constants, params: productParams(g, split), group: [QUAD, 1],
      workgroups: Math.ceil(parallel * split.SPLITS / QUAD),
    };
  },
};

/** Workgroups share tiles of both operands in their memory. */
export const pointwiseFilterGradientTiled: SplitKernel = {
  name: 'pointwise-filter-gradient-tiled',
  load: () => import('../../shaders/pointwise-filter-gradient-tiled.wgsl?raw'),
  operands: productOperands,
  sums(g, tile) {
    const { tiles, workgroup, constants: { CHUNK } } = sharedTile(g, outputStride(g), tile);
    return { terms: pixelsOf(g), invocations: tiles * workgroup, least: LEAST_ROUNDS * CHUNK, step: CHUNK };
  },
  cut({ work: g, split }, tile) {
    const { tiles, constants, memory } = sharedTile(g, outputStride(g), tile);
    const { GROUP_X, GROUP_Y, SLICES } = constants;
    return {
      constants, memory, params: productParams(g, split), group: [GROUP_X, GROUP_Y * SLICES],
      workgroups: tiles * split.SPLITS,
    };
  },
};

/** Its terms are tiles of pixels. */
export const depthwiseFilterGradient: SplitKernel = {
  name: 'depthwise-filter-gradient',
  load: () => import('../../shaders/depthwise-filter-gradient.wgsl?raw'),
  operands: ['input', 'gradient', 'output'],
  sums(g, tile) {
    const { tiles, constants: { TAPS_H, TAPS_W } } = areaTile(g, tile);
    const invocations = (g.K / channelLanes(g).LANES) * (g.KH / TAPS_H) * (g.KW / TAPS_W);
    return { terms: tiles, invocations, least: 4, step: 4 };
  },
  cut({ work: g, split }, tile) {
    const { constants, params } = areaTile(g, tile);
    return invocationsOf(this.sums(g, tile).invocations * split.SPLITS, tile, {
      constants: { ...channelLanes(g), ...constants }, params: { ...g, ...split, ...params },
    });
  },
};

export const depthwiseInputGradient: Kernel = {
  name: 'depthwise-input-gradient',
  load: () => import('../../shaders/depthwise-input-gradient.wgsl?raw'),
  operands: ['gradient', 'weights', 'output'],
  cut(g, tile) {
    const area = transposedTile(g, tile);
    const { LANES, INPUT_LANES: OUTPUT_LANES } = channelLanes(g);
    return invocationsOf(area.tiles * (g.C / OUTPUT_LANES), tile, {
      constants: { LANES, OUTPUT_LANES, ...area.constants }, params: { ...g, ...area.params },
    });
  },
};
