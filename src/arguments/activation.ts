import { isObject, mustBe } from './errors.js';

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

export type ActivationKind = (typeof KINDS)[number];
const KINDS = ['linear', 'relu', 'relu6', 'leakyRelu', 'sigmoid', 'tanh', 'hardSwish', 'silu', 'elu'] as const;

/**
 * Whether the derivative follows from the result: it does unless two arguments of different slope share a result.
 */
export const derivesFromResult = ({ kind, alpha }: ResolvedActivation): boolean =>
  kind !== 'hardSwish' && kind !== 'silu' && !(kind === 'leakyRelu' && alpha < 0);

/** Checks the caller's activation. `where` starts the message of the error. @throws ValueError */
export function resolveActivation(where: string, activation: unknown): ResolvedActivation {
  if (activation === undefined) return { kind: 'linear', alpha: 0 };
  const kind = KINDS.find((one) => one === activation && one !== 'leakyRelu');
  if (kind) return { kind, alpha: 0 };
  if (isObject(activation) && 'leakyRelu' in activation) {
    const alpha = activation.leakyRelu;
    if (typeof alpha === 'number' && Number.isFinite(Math.fround(alpha))) return { kind: 'leakyRelu', alpha };
  }
  const names = KINDS.map((one) => (one === 'leakyRelu' ? '{ leakyRelu: number }' : `'${one}'`));
  throw mustBe(where, `one of ${names.join(', ')}`, activation);
}
