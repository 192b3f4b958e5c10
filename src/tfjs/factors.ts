import {
  type backend_util, conv2d, depthwiseConv2d, DepthwiseConv2dNativeBackpropFilter, DepthwiseConv2dNativeBackpropInput,
  engine, matMul, ones, pad, reshape, slice, stridedSlice, type Tensor4D,
} from '@tensorflow/tfjs-core';
import { FILTERS, type Geometry, outputShape, type Shape4D } from '../arguments/geometry.js';

type ExplicitPadding = backend_util.ExplicitPadding;

/**
 * The sum of `dy * y`, where y is the result, is linear in each of these: x, the filters of the passes that there are,
 * and dy. Its derivative by `dy` is y itself; its derivatives by the others are the gradients. Each derivative is
 * linear in the other factors again, and so its own derivatives are of the same form.
 */
export const factorsOf = ({ passes }: Geometry): readonly Factor[] => ['x', ...FILTERS[passes], 'dy'];
export type Filter = 'depthwiseFilter' | 'pointwiseFilter';
export type Factor = 'x' | Filter | 'dy';
/** The factors that something is computed from. */
export type Factors = Readonly<Partial<Record<Factor, Tensor4D>>>;

export function factorShape(geometry: Geometry, factor: Factor): Shape4D {
  const { N, H, W, C, KH, KW, M, K, O } = geometry;
  if (factor === 'dy') return outputShape(geometry);
  return ({ x: [N, H, W, C], depthwiseFilter: [KH, KW, C, M], pointwiseFilter: [1, 1, K, O] } as const)[factor];
}

/**
 * The derivative by one factor, computed by tfjs's own kernels. They lack gradients of higher orders, so this is for
 * `customGrad` only. Arguments come from the geometry, because tfjs knows fewer ways to write them.
 */
export function derivativeByTfjs(geometry: Geometry, factors: Factors, wanted: Factor): Tensor4D {
  const { passes, N, H, W, C, KH, KW, M, K, OH, OW, O, SH, SW, RH, RW, padTop, padLeft } = geometry;
  const { x, pointwiseFilter, dy } = factors as Required<Factors>;
  if (passes === 'pointwise' && wanted === 'dy') return conv2d(x, pointwiseFilter, [SH, SW], 'valid');
  const [rows, columns] = [(KH - 1) * RH + 1, (KW - 1) * RW + 1];
  const padBottom = Math.max(0, (OH - 1) * SH + rows - H - padTop);
  const padRight = Math.max(0, (OW - 1) * SW + columns - W - padLeft);
  const padding: ExplicitPadding = [[0, 0], [padTop, padBottom], [padLeft, padRight], [0, 0]];
  // A pointwise pass alone is preceded by one that only has its strides.
  const depthwiseFilter = passes === 'pointwise' ? ones<Tensor4D['rankType']>([1, 1, C, 1]) : factors.depthwiseFilter!;
  const depthwise = (): Tensor4D => depthwiseConv2d(x, depthwiseFilter, [SH, SW], padding, 'NHWC', [RH, RW]);
  if (wanted === 'dy') return passes === 'depthwise' ? depthwise() : conv2d(depthwise(), pointwiseFilter, 1, 'valid');
  const outputs = reshape(dy, [-1, O]);
  if (wanted === 'pointwiseFilter') return reshape(matMul(reshape(depthwise(), [-1, K]), outputs, true), [1, 1, K, O]);
  const product = passes === 'depthwise' ? dy
    : reshape(matMul(outputs, reshape(pointwiseFilter, [K, O]), false, true), [N, OH, OW, K]) as Tensor4D;
  // tfjs's backward kernels know no rates: for them the filter is a larger one with zeros between its taps.
  const filterShape: Tensor4D['shape'] = [rows, columns, C, M];
  const attributes = { strides: [SH, SW], dilations: [1, 1], pad: padding, inputShape: [N, H, W, C], filterShape };
  if (wanted === 'depthwiseFilter') {
    const gradient: Tensor4D = engine().runKernel(DepthwiseConv2dNativeBackpropFilter, { x, dy: product }, attributes);
    return stridedSlice(gradient, [0, 0, 0, 0], filterShape, [RH, RW, 1, 1]) as Tensor4D;
  }
  const lower = pad(reshape(depthwiseFilter, [KH, 1, KW * K]), [[0, 0], [0, RH - 1], [0, 0]]);
  const taps = pad(reshape(lower, [KH * RH * KW, 1, K]), [[0, 0], [0, RW - 1], [0, 0]]);
  const filter = slice(reshape(taps, [KH * RH, KW * RW, C, M]), [0, 0, 0, 0], filterShape);
  return engine().runKernel(DepthwiseConv2dNativeBackpropInput, { dy: product, filter }, attributes);
}
