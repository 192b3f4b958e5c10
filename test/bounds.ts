import { activations } from '../src/activations.js';
import type { ActivationKind, ResolvedActivation } from '../src/arguments/activation.js';
import { type Dtype, type Geometry } from '../src/arguments/geometry.js';
import { depthwise, pointwise } from '../src/reference.js';
import type { Problem } from './cases.js';

/**
 * What a kernel must compute, and how far from it WGSL's float32 arithmetic may end: Infinity where it may overflow.
 */
export interface Bounded {
  readonly values: Float64Array;
  readonly tolerances: Float64Array;
}

/** Half the distance from 1 to the next float32: what one rounding changes a value by, relative to it. */
const U = 2 ** -24;
/** WGSL's unit in the last place, at most this share of a value. */
const ULP = 2 ** -23;
/** The smallest normal numbers; WGSL may take any subnormal operand or result for 0. */
const NORMAL = { f32: 2 ** -126, f16: 2 ** -14 } as const;
const LARGEST = { f32: (2 - 2 ** -23) * 2 ** 127, f16: 65504 } as const;

/**
 * What `n` roundings in a row change a value by at most, relative to it, by
 * Higham's lemma 3.1; the reference's own included.
 */
const gamma = (n: number): number => n * U / (1 - n * U) + n * 2 ** -53;

/**
 * The depthwise stage. A sum of T products and a bias, in any order, fused or not, takes each product through at most
 * T + 1 roundings, so that it errs by gamma(T + 1) times the sum of the absolute values.
 */
export const boundedDepthwise = once((p: Problem): Bounded =>
  boundedDepthwiseOf(p, p.input, flushed(p.input, p.geometry.dtype)));

/** The same for an input that errs by so much. */
function boundedDepthwiseOf(p: Problem, x: Values, xErrors: Float64Array): Bounded {
  const { geometry: g, depthwiseFilter, depthwiseBias, residual } = p;
  const linear = { ...g, depthwiseActivation: LINEAR };
  const sums = bounded((a, w, b) => depthwise(linear, a, w, b), g.KH * g.KW, g.dtype, {
    x, xErrors, w: depthwiseFilter, b: depthwiseBias, r: g.passes === 'depthwise' ? residual : undefined,
  });
  return activated(sums, g.depthwiseActivation);
}

/** The pointwise stage for a given depthwise result, which may be the GPU's own, or err by so much. */
export function boundedPointwise(
  { geometry: g, pointwiseFilter, bias, residual, inputScale }: Problem, x: ArrayLike<number>, xErrors?: Float64Array,
): Bounded {
  const linear = { ...g, activation: LINEAR };
  const convolve: Convolve = (a, w, b) => pointwise(linear, a, w, b);
  const own = { x, xErrors: xErrors ?? flushed(x, 'f32') };
  const sums = bounded(convolve, g.K, g.dtype, {
    ...(inputScale ? scaled(g, own, inputScale) : own), w: pointwiseFilter, b: bias, r: residual,
  });
  if (inputScale) { // Kernels may multiply the weight by the factor first, and that product may be subnormal.
    const lost = convolve(absolute(x), new Float32Array(pointwiseFilter.length).fill(NORMAL.f32), undefined);
    for (const [i, most] of lost.entries()) sums.tolerances[i]! += most;
  }
  return stored(activated(sums, g.activation), g);
}

/** The whole of it, or the only pass. */
export const boundedSeparable = once((p: Problem): Bounded => {
  const { geometry: g, input, bias } = p;
  if (g.passes === 'depthwise') return stored(boundedDepthwise({ ...p, depthwiseBias: bias }), g);
  if (g.passes === 'pointwise') return boundedPointwise(p, input, flushed(input, g.dtype));
  const { values, tolerances } = boundedDepthwise(p);
  return boundedPointwise(p, values, tolerances);
});

/** Both passes of a layer whose input is what another layer, of one pass, has computed. */
export function boundedAfter(first: Problem, second: Problem): Bounded {
  const { values, tolerances } = boundedSeparable(first);
  const between = boundedDepthwiseOf(second, values, tolerances);
  return boundedPointwise(second, between.values, between.tolerances);
}

/** What sums must come to, and the sums of the absolute values of their terms: their rounding errors scale with it. */
export interface Expected {
  readonly values: Float64Array;
  readonly magnitudes: Float64Array;
}

/** Bounds of sums whose operands are exact, of at most so many terms each. */
export const boundedSums = ({ values, magnitudes }: Expected, terms: number, transcendental = false): Bounded =>
  ({ values, tolerances: magnitudes.map((magnitude) => sumBound(terms, magnitude, transcendental)) });

/**
 * How far a sum of T products may end from the exact one, by the same lemma: with a bias, a slope and what the operands
 * were rounded by before, as 7 roundings more. Through exp or tanh a value near 1 has WGSL's accuracy instead, about
 * 2e-6. A result that is stored as float16 moves by as much as in `stored`.
 */
export function sumBound(
  terms: number, magnitude: number, transcendental = false, dtype: Dtype = 'f32', value = 0,
): number {
  const sum = gamma(terms + 8) * magnitude + (transcendental ? 2e-6 * (1 + magnitude) : 0)
    + (2 * terms + 2) * NORMAL.f32;
  return dtype === 'f16' ? sum + 2 ** -10 * (Math.abs(value) + sum) + NORMAL.f16 : sum;
}

/** Whether an activation goes through exp or tanh. */
export const isTranscendental = ({ geometry: { depthwiseActivation, activation } }: Problem): boolean =>
  [depthwiseActivation, activation].some(({ kind }) => ['sigmoid', 'tanh', 'silu', 'elu'].includes(kind));

const LINEAR = { kind: 'linear', alpha: 0 } as const;
type Values = ArrayLike<number>;
type Convolve = (x: Values, w: Values, b: Values | undefined) => Float64Array;
/**
 * Inputs times the factors of their images and channels: a rounding more, and the product may be taken for 0 where it
 * is subnormal.
 */
function scaled(
  g: Geometry, { x, xErrors }: Pick<Operands, 'x' | 'xErrors'>, scale: Values,
): Pick<Operands, 'x' | 'xErrors'> {
  const perImage = x.length / g.N;
  const lost = flushed(scale, g.dtype);
  const factorOf = (i: number): number => Math.floor(i / perImage) * g.K + i % g.K;
  return {
    x: float64(x).map((value, i) => value * scale[factorOf(i)]!),
    xErrors: xErrors.map((error, i) => {
      const factor = Math.abs(scale[factorOf(i)]!);
      return error * factor + (Math.abs(x[i]!) + error) * (gamma(1) * factor + lost[factorOf(i)]!) + NORMAL.f32;
    }),
  };
}

interface Operands {
  readonly x: Values;
  readonly xErrors: Float64Array;
  readonly w: Values;
  readonly b: Values | undefined;
  /** What is added to each result. */
  readonly r?: Values | undefined;
}

function bounded(convolve: Convolve, terms: number, dtype: Dtype, { x, xErrors, w, b, r }: Operands): Bounded {
  const roundings = gamma(terms + (r ? 2 : 1));
  const bFlushed = b && flushed(b, dtype);
  const values = convolve(x, w, b);
  const magnitudes = convolve(absolute(x), absolute(w), b && absolute(b));
  // Each operand has an error of its own; what is summed is at most |x| + error.
  const tolerances = convolve(
    xErrors.map((error, i) => error + roundings * (Math.abs(x[i]!) + error)), absolute(w),
    bFlushed?.map((error, i) => error + roundings * Math.abs(b![i]!)),
  );
  const wFlushed = flushed(w, dtype);
  const lost = wFlushed.some(Boolean) ? convolve(absolute(x), wFlushed, undefined) : undefined;
  const underflow = (2 * terms + 2) * NORMAL.f32; // Of products and of partial sums.
  const rFlushed = r && flushed(r, dtype);
  for (const [i, tolerance] of tolerances.entries()) {
    const added = Math.abs(r?.[i] ?? 0);
    const total = tolerance + (lost?.[i] ?? 0) + underflow + roundings * added + (rFlushed?.[i] ?? 0);
    tolerances[i] = magnitudes[i]! + added + total < LARGEST.f32 ? total : Infinity;
    values[i]! += r?.[i] ?? 0;
  }
  return { values, tolerances };
}

/** What is lost of each value when it is taken for 0 because it is subnormal. */
const flushed = (values: Values, dtype: Dtype): Float64Array =>
  float64(values).map((value) => (Math.abs(value) < NORMAL[dtype] ? Math.abs(value) : 0));

const absolute = (values: Values): Float64Array => float64(values).map(Math.abs);

/** `Float64Array.from` with a function takes several times as long as this and `map`. */
const float64 = (values: Values): Float64Array => new Float64Array(values);

/** Where functions that are not monotone turn. */
const MINIMA: Partial<Record<ActivationKind, number>> = { silu: -1.2784645, hardSwish: -1.5 };

/** What an activation makes of sums and their errors, and what it adds. */
function activated({ values, tolerances }: Bounded, { kind, alpha }: ResolvedActivation): Bounded {
  if (kind === 'linear') return { values, tolerances };
  const f = (x: number): number => activations[kind](x, alpha);
  const results = values.map(f);
  return {
    values: results,
    tolerances: tolerances.map((error, i) => {
      if (error === Infinity) return Infinity;
      const [x, y] = [values[i]!, results[i]!];
      const reachable = [x - error, x + error, Math.min(Math.max(MINIMA[kind] ?? x, x - error), x + error)];
      return Math.max(...reachable.map((at) => Math.abs(f(at) - y) + accuracy(kind, at, f(at))));
    }),
  };
}

/**
 * How far WGSL's operations may be from y = f(x): exp within 3 + 2|x| ULP, a division within 2.5, tanh within 1e-5.
 * @see https://www.w3.org/TR/WGSL/#concrete-float-accuracy
 */
function accuracy(kind: ActivationKind, x: number, y: number): number {
  const exp = (3 + 2 * Math.abs(x)) * ULP; // Relative.
  switch (kind) {
    case 'linear': case 'relu': case 'relu6': return 0;
    case 'leakyRelu': return x > 0 ? 0 : gamma(2) * Math.abs(y) + NORMAL.f32; // The slope as float32, and the product.
    case 'hardSwish': return 4 * ULP * Math.abs(y) + NORMAL.f32;
    case 'tanh': return 1e-5;
    case 'elu': return x > 0 ? 0 : exp * Math.exp(x) + U + NORMAL.f32;
    // 1 / (1 + exp(-x)), where exp is 1 - y of the whole; the kernels take no exp above that of 80.
    case 'sigmoid': return y * (Math.min(exp, 200 * ULP) * (1 - y) + 4 * ULP) + Math.exp(-80) + NORMAL.f32;
    case 'silu': {
      const part = 1 - activations.sigmoid(x);
      return Math.abs(y) * (Math.min(exp, 200 * ULP) * part + 4 * ULP) + 80 * Math.exp(-80) + NORMAL.f32;
    }
  }
}

/**
 * A result stored as float16 moves to one of its two neighbours there,
 * 2^-10 of it apart, or to 0 where it is subnormal.
 */
function stored({ values, tolerances }: Bounded, { dtype }: Geometry): Bounded {
  if (dtype === 'f32') return { values, tolerances };
  return {
    values,
    tolerances: tolerances.map((error, i) => {
      const largest = Math.abs(values[i]!) + error;
      return largest < LARGEST.f16 ? error + 2 ** -10 * largest + NORMAL.f16 : Infinity;
    }),
  };
}

/** Every kernel is compared with what is computed once for each problem. */
function once(compute: (p: Problem) => Bounded): (p: Problem) => Bounded {
  const known = new WeakMap<Problem, Bounded>();
  return (p) => {
    const result = known.get(p) ?? compute(p);
    known.set(p, result);
    return result;
  };
}
