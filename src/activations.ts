import type { ActivationKind } from './arguments/activation.js';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The activations on the CPU; `shaders/activations.wgsl` has the twin of each, under the same name. */
export const activations = {
  linear: (x: number) => x,
  relu: (x: number) => Math.max(x, 0),
  relu6: (x: number) => Math.min(Math.max(x, 0), 6),
  leakyRelu: (x: number, alpha: number) => (x > 0 ? x : alpha * x),
  sigmoid,
  tanh: Math.tanh,
  hardSwish: (x: number) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6,
  silu: (x: number) => x * sigmoid(x),
  elu: (x: number) => (x > 0 ? x : Math.expm1(x)),
} satisfies Record<ActivationKind, (x: number, alpha: number) => number>;

/**
 * The derivatives of the activations, in terms of the activation's result where that determines it, and of its argument
 * otherwise: see `derivesFromResult`. At a kink they take TensorFlow's side. `shaders/derivatives.wgsl` has the twins.
 */
export const derivatives = {
  linear: () => 1,
  relu: (y: number) => (y > 0 ? 1 : 0),
  relu6: (y: number) => (y > 0 && y < 6 ? 1 : 0),
  leakyRelu: (y: number, alpha: number) => (y > 0 ? 1 : alpha),
  sigmoid: (y: number) => y * (1 - y),
  tanh: (y: number) => 1 - y * y,
  hardSwish: (x: number) => (x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6),
  silu: (x: number) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
  elu: (y: number) => (y > 0 ? 1 : y + 1),
} satisfies Record<ActivationKind, (x: number, alpha: number) => number>;
