import { elementBytes, elements, type Geometry } from '../arguments/geometry.js';
import { channelStride, outputLanes } from './cuts.js';
import type { Kernel } from './kernel.js';

/** The bodies of the activation functions of all forward kernels. */
export const loadLibrary: NonNullable<Kernel['loadLibrary']> = () => import('../../shaders/activations.wgsl?raw');

/** Values for the struct `Params` of the forward kernels; a band's tensors may start after their bindings do. */
export const withOffsets = (g: Geometry): Readonly<Record<string, unknown>> => ({
  ...g, inputStart: 0, outputStart: 0, scaleStart: 0, PIXELS: g.N * g.OH * g.OW, K_STRIDE: channelStride(g),
  depthwiseAlpha: g.depthwiseActivation.alpha, alpha: g.activation.alpha,
});

/** Bytes of each tensor of a convolution. */
export const bytesOf = (g: Geometry) => {
  const bytes = elementBytes(g.dtype);
  return {
    input: elements([g.N, g.H, g.W, g.C]) * bytes, intermediate: elements([g.N, g.OH, g.OW, channelStride(g)]) * 4,
    pointwiseFilter: g.K * g.O * bytes,
    output: elements([g.N, g.OH, g.OW, g.O]) * bytes * (g.residual ? 2 : 1), // And the residual.
  };
};

/** Bytes that the pointwise pass reads and writes at least, or both passes in one kernel. */
export function passBytes(g: Geometry, from: 'input' | 'intermediate'): number {
  const { [from]: read, pointwiseFilter, output } = bytesOf(g);
  return read + pointwiseFilter + output;
}

/** What a kernel reads beside its operands, and how its variant differs by that. */
export const extrasOf = (g: Geometry) => ({
  extras: [...(g.inputScale ? ['inputScale'] : []), ...(g.residual ? ['residual'] : [])],
  constants: { ...(g.inputScale && { SCALED: Math.min(g.N, 2) }), ...(g.residual && { RESIDUAL: outputLanes(g) }) },
});
