import { elementBytes, elements, type Geometry } from '../arguments/geometry.js';
import { channelStride } from './cuts.js';

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

/** What a kernel reads beside its operands, and how its variant differs by that. */
export const extrasOf = (g: Geometry) => ({
  extras: [...(g.inputScale ? ['inputScale'] : []), ...(g.residual ? ['residual'] : [])],
  constants: { ...(g.inputScale && { SCALED: 1 }), ...(g.residual && { RESIDUAL: 1 }) },
});
