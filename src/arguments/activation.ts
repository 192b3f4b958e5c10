import { show, ValueError } from './errors.js';

/** The function that follows a pass, applied to each value: `y = activation(x + bias)`. */
export type Activation =
  | 'linear' | 'relu' | 'relu6' | 'sigmoid' | 'tanh' | 'hardSwish' | 'silu' | 'elu'
  | {
    /** Slope below zero; finite as a float32. */
    readonly leakyRelu: number;
  };

/** An activation as data: the function's name and its slope below zero (0 where it has none). */
export interface ResolvedActivation {
  readonly kind: ActivationKind;
  readonly alpha: number;
}

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
} satisfies Record<string, (x: number, alpha: number) => number>;

export type ActivationKind = keyof typeof activations;

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

/**
 * Whether the derivative follows from the result: it does unless two arguments of different slope share a result.
 */
export const derivesFromResult = ({ kind, alpha }: ResolvedActivation): boolean =>
  kind !== 'hardSwish' && kind !== 'silu' && !(kind === 'leakyRelu' && alpha < 0);

/** Checks the caller's activation. `where` starts the message of the error. @throws ValueError */
export function resolveActivation(where: string, activation: unknown): ResolvedActivation {
  if (activation === undefined) return { kind: 'linear', alpha: 0 };
  if (typeof activation === 'string' && activation !== 'leakyRelu' && Object.hasOwn(activations, activation)) {
    return { kind: activation as ActivationKind, alpha: 0 };
  }
  if (typeof activation === 'object' && activation !== null && 'leakyRelu' in activation) {
    const alpha = activation.leakyRelu;
    if (typeof alpha === 'number' && Number.isFinite(Math.fround(alpha))) return { kind: 'leakyRelu', alpha };
  }
  const names = Object.keys(activations).map((kind) => (kind === 'leakyRelu' ? '{ leakyRelu: number }' : `'${kind}'`));
  throw new ValueError(`${where} must be one of ${names.join(', ')}, got ${show(activation)}`);
}
