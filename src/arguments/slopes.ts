/** What gradients ask of activations. It is apart from what forward passes load. */
import type { ResolvedActivation } from './activation.js';
import type { Geometry } from './geometry.js';

/**
 * Whether the derivative follows from the result: it does unless two arguments of different slope share a result.
 */
export const derivesFromResult = ({ kind, alpha }: ResolvedActivation): boolean =>
  kind !== 'hardSwish' && kind !== 'silu' && !(kind === 'leakyRelu' && alpha < 0);

/** The same convolution with results as they are before activations. */
export function withoutActivations(geometry: Geometry): Geometry {
  const linear = { kind: 'linear', alpha: 0 } as const;
  return { ...geometry, depthwiseActivation: linear, activation: linear };
}
