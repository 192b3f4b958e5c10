import type { ResolvedActivation } from '../arguments/activation.js';
import type { Geometry } from '../arguments/geometry.js';
import { channelLanes, channelStride, evenTile, lanesOf, QUAD } from './cuts.js';
import { areaTile, transposedTile } from './gradient-cuts.js';
import type { Cut, Kernel, Tile } from './kernel.js';

/** The kernels of the backward pass that are not the forward pass's too. */

/** How a sum over terms is cut into parts, which invocations take at the same time. */
export interface Split {
  readonly SPLITS: number;
  readonly PER_SPLIT: number;
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

export const sum: Kernel<Terms & Split> = {
  name: 'sum',
  load: () => import('../../shaders/sum.wgsl?raw'),
  operands: ['terms', 'output'],
  cut(work, tile) {
    const LANES = lanesOf(work.CHANNELS, work.STRIDE);
    const invocations = work.SPLITS * work.ROWS * work.CHANNELS / LANES;
    return invocationsOf(invocations, tile, { constants: { LANES }, params: { ...work } });
  },
};

/** A convolution and how the sum over its pixels, or tiles of them, is cut. */
export interface SplitWork { readonly geometry: Geometry; readonly split: Split }
/** A kernel whose sums are cut: `parallel` says how many invocations one part takes. */
export interface SplitKernel extends Kernel<SplitWork> {
  readonly parallel: (geometry: Geometry, tile: Tile) => number;
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

const productParams = ({ geometry: g, split }: SplitWork) =>
  ({ ...split, PIXELS: g.N * g.OH * g.OW, K: g.K, K_STRIDE: channelStride(g), O_STRIDE: outputStride(g) });

export const pointwiseFilterGradient: SplitKernel = {
  name: 'pointwise-filter-gradient',
  load: () => import('../../shaders/pointwise-filter-gradient.wgsl?raw'),
  operands: ['input', 'gradient', 'output'],
  parallel: (g, tile) => productTile(g, tile, 1).parallel,
  cut(work, tile) {
    const { constants, parallel } = productTile(work.geometry, tile, 1);
    return invocationsOf(parallel * work.split.SPLITS, tile, { constants, params: productParams(work) });
  },
};

export const pointwiseFilterGradientQuad: SplitKernel = {
  name: 'pointwise-filter-gradient-quad',
  load: () => import('../../shaders/pointwise-filter-gradient-quad.wgsl?raw'),
  operands: ['input', 'gradient', 'output'],
  fits: (_, { subgroups, limits }) => subgroups && limits.maxComputeInvocationsPerWorkgroup >= QUAD,
  parallel: (g, tile) => productTile(g, tile, QUAD).parallel,
  cut(work, tile) {
    const { constants, parallel } = productTile(work.geometry, tile, QUAD);
    return {
      constants, params: productParams(work), group: [QUAD, 1],
      workgroups: Math.ceil(parallel * work.split.SPLITS / QUAD),
    };
  },
};

/** Tiles of pixels whose products one part of the depthwise filter's gradient sums. */
export const pixelTiles = (g: Geometry, tile: Tile): number => areaTile(g, tile).tiles;

export const depthwiseFilterGradient: SplitKernel = {
  name: 'depthwise-filter-gradient',
  load: () => import('../../shaders/depthwise-filter-gradient.wgsl?raw'),
  operands: ['input', 'gradient', 'output'],
  parallel(g, tile) {
    const { TAPS_H, TAPS_W } = areaTile(g, tile).constants;
    return (g.K / channelLanes(g).LANES) * (g.KH / TAPS_H) * (g.KW / TAPS_W);
  },
  cut({ geometry: g, split }, tile) {
    return invocationsOf(this.parallel(g, tile) * split.SPLITS, tile, {
      constants: { ...channelLanes(g), ...areaTile(g, tile).constants }, params: { ...g, ...split },
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
      constants: { LANES, OUTPUT_LANES, ...area.constants }, params: { ...g },
    });
  },
};
