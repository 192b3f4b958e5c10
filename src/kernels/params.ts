import type { Geometry } from '../arguments/geometry.js';
import { channelStride } from './cuts.js';

/** Values for the struct `Params` of the forward kernels; a band's tensors may start after their bindings do. */
export const withOffsets = (g: Geometry): Readonly<Record<string, unknown>> => ({
  ...g, inputStart: 0, outputStart: 0, PIXELS: g.N * g.OH * g.OW, K_STRIDE: channelStride(g),
  depthwiseAlpha: g.depthwiseActivation.alpha, alpha: g.activation.alpha,
});
