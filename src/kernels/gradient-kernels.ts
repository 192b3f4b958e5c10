import activationGradientSource from '../../shaders/activation-gradient.wgsl?raw';
import depthwiseFilterGradientSource from '../../shaders/depthwise-filter-gradient.wgsl?raw';
import depthwiseInputGradientSource from '../../shaders/depthwise-input-gradient.wgsl?raw';
import derivativesSource from '../../shaders/derivatives.wgsl?raw';
import pointwiseFilterGradientQuadSource from '../../shaders/pointwise-filter-gradient-quad.wgsl?raw';
import pointwiseFilterGradientSource from '../../shaders/pointwise-filter-gradient.wgsl?raw';
import sumSource from '../../shaders/sum.wgsl?raw';
import transposeSource from '../../shaders/transpose.wgsl?raw';
import type { ResolvedActivation } from '../arguments/activation.js';
import type { Geometry } from '../arguments/geometry.js';
import { areaTile, transposedTile } from './gradient-tiles.js';
import { activationExpression, bindingsOf, paramsData, type Variant } from './kernels.js';
import { specialize } from './specialize.js';
import { channelLanes, channelStride, evenTile, lanesName, QUAD, type Tile } from './tiles.js';

/** The kernels of the backward pass that are not the forward pass's. */
export type GradientKernelName =
  | 'activation-gradient' | 'transpose' | 'sum' | 'pointwise-filter-gradient' | 'pointwise-filter-gradient-quad'
  | 'depthwise-filter-gradient' | 'depthwise-input-gradient';

interface GradientKernel {
  readonly source: string;
  /** In binding order, after the uniform Params at binding 0, by the shader's own names. The last one is written. */
  readonly operands: readonly string[];
}

export const gradientKernels: Readonly<Record<GradientKernelName, GradientKernel>> = {
  'activation-gradient': { source: activationGradientSource, operands: ['gradient', 'values', 'output'] },
  'transpose': { source: transposeSource, operands: ['input', 'output'] },
  'sum': { source: sumSource, operands: ['terms', 'output'] },
  'pointwise-filter-gradient': { source: pointwiseFilterGradientSource, operands: ['input', 'gradient', 'output'] },
  'pointwise-filter-gradient-quad': { source: pointwiseFilterGradientQuadSource, operands: ['input', 'gradient', 'output'] },
  'depthwise-filter-gradient': { source: depthwiseFilterGradientSource, operands: ['input', 'gradient', 'output'] },
  'depthwise-input-gradient': { source: depthwiseInputGradientSource, operands: ['gradient', 'weights', 'output'] },
};

/** A specialised gradient kernel with its uniforms, and how many workgroups of which size it takes. */
export interface Work extends Variant<GradientKernelName> {
  readonly uniforms: ArrayBuffer;
  readonly workgroups: number;
  readonly group: Tile['group'];
}

/** How a sum over `terms` is cut into parts, which invocations take at the same time. */
export interface Split {
  readonly SPLITS: number;
  readonly PER_SPLIT: number;
}

interface Specialization {
  readonly suffix: string;
  readonly values: Record<string, number | string>;
  readonly params: Readonly<Record<string, unknown>>;
  readonly invocations: number;
}

function work(kernel: GradientKernelName, tile: Tile, { suffix, values, params, invocations }: Specialization): Work {
  const { source, operands } = gradientKernels[kernel];
  const quad = kernel === 'pointwise-filter-gradient-quad';
  const group = quad ? [QUAD, 1] as const : tile.group;
  const WORKGROUP = group[0] * group[1];
  return {
    kernel, group, bindings: bindingsOf(operands), name: `f32-${kernel}-${suffix}w${WORKGROUP}`, source: specialize(source, quad ? values : { ...values, WORKGROUP }),
    uniforms: paramsData(kernel, source, params), workgroups: Math.ceil(invocations / WORKGROUP),
  };
}

const lanesOf = (...channels: readonly number[]) =>
  (channels.every((count) => count % 4 === 0) ? { Lanes: 'vec4f', LANES: 4 } : { Lanes: 'f32', LANES: 1 });

/** Extents of what `activationGradient` reads and writes: strides are channels from one pixel to the next. */
interface ActivationExtents { readonly PIXELS: number; readonly CHANNELS: number; readonly VALUE_STRIDE: number; readonly STRIDE: number }

export function activationGradient({ kind, alpha }: ResolvedActivation, extents: ActivationExtents, tile: Tile): Work {
  const lanes = lanesOf(extents.CHANNELS, extents.VALUE_STRIDE, extents.STRIDE);
  return work('activation-gradient', tile, {
    suffix: `c${lanes.LANES}-${kind}__`,
    values: { ...lanes, derivative: activationExpression(kind, lanes.Lanes, derivativesSource) },
    params: { ...extents, alpha },
    invocations: extents.PIXELS * extents.STRIDE / lanes.LANES,
  });
}

export function transpose({ K, O }: Geometry, tile: Tile): Work {
  const lanes = lanesOf(K, O);
  const { LANES } = lanes;
  return work('transpose', tile, {
    suffix: `o${LANES}__`,
    values: { ...lanes, Block: LANES === 4 ? 'mat4x4f' : 'array<f32, 1>', turned: LANES === 4 ? 'transpose(b)' : 'b' },
    params: { K, O },
    invocations: (K / LANES) * (O / LANES),
  });
}

/** Extents of the terms of a sum, `[TERMS, ROWS, STRIDE]`, of which the first CHANNELS count. */
export interface Terms { readonly TERMS: number; readonly ROWS: number; readonly CHANNELS: number; readonly STRIDE: number }

export function sum(terms: Terms, split: Split, tile: Tile): Work {
  const lanes = lanesOf(terms.CHANNELS, terms.STRIDE);
  return work('sum', tile, {
    suffix: `c${lanes.LANES}__`,
    values: lanes,
    params: { ...terms, ...split },
    invocations: split.SPLITS * terms.ROWS * terms.CHANNELS / lanes.LANES,
  });
}

export function pointwiseFilterGradient(kernel: ProductKernelName, g: Geometry, split: Split, tile: Tile): Work {
  const { lanes, invocations, values } = productTile(kernel, g, tile);
  return work(kernel, tile, {
    suffix: `_${values.ROWS * lanes * 4}x${values.COLUMNS * lanes * 4}`,
    values,
    params: { ...split, PIXELS: g.N * g.OH * g.OW, K: g.K, K_STRIDE: channelStride(g), O_STRIDE: outputStride(g) },
    invocations: invocations * split.SPLITS,
  });
}

export type ProductKernelName = 'pointwise-filter-gradient' | 'pointwise-filter-gradient-quad';

/** The tile of one invocation, or of the lanes of a quad, and how many invocations one part of the sum takes. */
export function productTile(kernel: ProductKernelName, g: Geometry, { rows = 4, columns = 4 }: Tile) {
  const lanes = kernel === 'pointwise-filter-gradient-quad' ? QUAD : 1;
  const packs = (stride: number) => Math.ceil(stride / 4 / lanes);
  const [down, across] = [packs(channelStride(g)), packs(outputStride(g))];
  const values = { ROWS: evenTile(down, rows / 4 / lanes), COLUMNS: evenTile(across, columns / 4 / lanes) };
  return { lanes, values, invocations: Math.ceil(down / values.ROWS) * Math.ceil(across / values.COLUMNS) * lanes };
}

/** Channels from one pixel to the next of a gradient that pointwise kernels read. */
export const outputStride = ({ O }: Geometry): number => Math.ceil(O / 4) * 4;

/** The tile of `depthwiseFilterGradient`, and how many invocations one part of the sum takes. */
export function filterTile(g: Geometry, tile: Tile) {
  const area = areaTile(g, tile);
  const lanes = channelLanes(g);
  const { TAPS_H, TAPS_W } = area.values;
  return { ...area, lanes, invocations: (g.K / lanes.LANES) * (g.KH / TAPS_H) * (g.KW / TAPS_W) };
}

export function depthwiseFilterGradient(g: Geometry, split: Split, tile: Tile): Work {
  const { filter, tile: outputs, values, lanes, invocations } = filterTile(g, tile);
  return work('depthwise-filter-gradient', tile, {
    suffix: `${filter}-${lanesName(lanes)}__${outputs}`,
    values: { ...lanes, ...values },
    params: { ...g, ...split },
    invocations: invocations * split.SPLITS,
  });
}

export function depthwiseInputGradient(g: Geometry, tile: Tile): Work {
  const area = transposedTile(g, tile);
  const { Lanes, LANES, Input: Output, INPUT_LANES: OUTPUT_LANES } = channelLanes(g);
  return work('depthwise-input-gradient', tile, {
    suffix: `${area.filter}-${lanesName({ INPUT_LANES: OUTPUT_LANES, LANES })}__${area.tile}`,
    values: { Lanes, LANES, Output, OUTPUT_LANES, ...area.values, product: LANES > OUTPUT_LANES ? 'dot(a, b)' : 'a * b' },
    params: { ...g },
    invocations: area.tiles * (g.C / OUTPUT_LANES),
  });
}
