import { type Geometry, withoutActivations } from '../src/arguments/geometry.js';
import type { GradientPlan } from '../src/plan/backward.js';
import { aliasesOf, type Value } from '../src/plan/backward-values.js';
import type { PipelineCache } from '../src/gpu/pipelines.js';
import type { DeviceProfile } from '../src/kernels/profile.js';
import type { PresetName } from '../src/plan/presets.js';
import {
  activationGradient, channelSums, depthwiseFilterGradient, depthwiseInputGradient, inputScaleGradient,
  pointwiseFilterGradient, pointwiseInputGradient, timesScale,
} from '../src/reference.js';
import {
  type Bounded, boundedDepthwise, boundedPointwise, boundedSums, type Expected, isTranscendental,
} from './bounds.js';
import { type Case, geometryOf, type Problem, problem } from './cases.js';
import { compare, type Report } from './compare.js';
import { backwardPlanOf, kindOf } from './plans.js';
import { random, randomData } from './random.js';
import { runSteps } from './steps.js';

/**
 * Every step of the backward pass against its stage of the reference, from what the GPU itself gave the step to read.
 */

interface Job {
  readonly title: string;
  readonly problem: Problem;
  readonly plan: GradientPlan;
  /** What the caller gives, filters and biases included. */
  readonly given: Readonly<Record<string, Float32Array>>;
  readonly aliases: Readonly<Partial<Record<Value, Value>>>;
}

/** A pass alone as the plan computes it: a depthwise one has the bias, a pointwise one a depthwise filter of ones. */
const ofBoth = (data: Problem): Problem => {
  switch (data.geometry.passes) {
    case 'both': return data;
    case 'depthwise': return { ...data, depthwiseBias: data.bias };
    case 'pointwise': return { ...data, geometry: { ...data.geometry, passes: 'both' } };
  }
};

export async function checkGradientSteps(
  device: GPUDevice, pipelines: PipelineCache, profile: DeviceProfile, cases: readonly Case[],
  presets: readonly PresetName[], seed: number,
): Promise<Report[]> {
  const jobs = cases.flatMap((one, index) => {
    const data = ofBoth(problem(one, seed + index));
    const { K, O, N, OH, OW } = data.geometry;
    const given = {
      input: data.input, depthwiseFilter: data.depthwiseFilter, pointwiseFilter: data.pointwiseFilter,
      depthwiseBias: data.depthwiseBias ?? new Float32Array(K), bias: data.bias ?? new Float32Array(O),
      ...(data.residual && { residual: data.residual }), ...(data.inputScale && { inputScale: data.inputScale }),
      outputGradient: randomData(N * OH * OW * O, random(seed - 1 - index)),
    };
    return presets.map((preset): Job => {
      const plan = backwardPlanOf(one, { ...profile, kind: kindOf(preset) }, preset);
      return { title: `${one.name} [${preset}]`, problem: data, plan, given, aliases: aliasesOf(geometryOf(one)) };
    });
  });
  const results = await runSteps(
    device, pipelines, jobs.map(({ plan, given }) => ({ plan, given, dtype: 'f32', stored: new Map() })));
  return jobs.flatMap((job, index) => {
    const failures = [...results[index]!].flatMap(([value, { failure }]) =>
      (failure ? [{ title: `${job.title} ${value}`, failure }] : []));
    const values = new Map(Object.entries(job.given)) as Map<Value, Float32Array>;
    for (const [value, { data }] of results[index]!) values.set(value as Value, data);
    return failures.length > 0 ? failures : compareValues(job, values);
  });
}

/** A stage of the reference, its channels, and those from pixel to pixel. */
interface Stage { readonly expected: Bounded; readonly channels: number; readonly stride: number }

function compareValues(
  { title, problem: data, plan: { steps }, aliases }: Job, own: ReadonlyMap<Value, Float32Array>,
): Report[] {
  const values = new Map(own);
  for (const [value, alias] of Object.entries(aliases) as [Value, Value][]) {
    if (own.has(alias)) values.set(value, own.get(alias)!);
  }
  /** What a value would be if there were both passes. */
  const stageOf = (value: Value): Value =>
    (Object.entries(aliases).find(([, alias]) => alias === value)?.[0] as Value | undefined) ?? value;
  return steps.flatMap(({ writes: { value: writes }, reads, dispatch: { name } }) => {
    // No textures.
    const stage = values.has(writes) && expectedStage(data, stageOf(writes), reads.map(({ value }) => value), values);
    if (!stage) return [];
    const { expected, channels, stride } = stage;
    const shape = [1, 1, expected.values.length / channels, channels] as const;
    return [{ title: `${title} ${writes} ${name}`, ...compare(values.get(writes)!, expected, shape, stride) }];
  });
}

const absolute = (values: ArrayLike<number>): Float64Array => new Float64Array(values).map(Math.abs);
/** Values with their magnitudes: the same sum with all products positive. */
const both = (sum: (take: (values: ArrayLike<number>) => ArrayLike<number>) => Float64Array): Expected =>
  ({ values: sum((values) => values), magnitudes: sum(absolute) });

function expectedStage(
  data: Problem, value: Value, reads: readonly Value[], all: ReadonlyMap<Value, Float32Array>,
): Stage | undefined {
  const read = (of: Value): Float32Array => all.get(of)!;
  const scaledName = all.has('scaledGradient') ? 'scaledGradient' : 'outputGradient';
  const beforeName = all.has('scaledProduct') ? 'scaledProduct' : 'product'; // Behind the depthwise activation.
  const betweenName = all.has('intermediateGradient') ? 'intermediateGradient' : beforeName;
  const g = data.geometry;
  const { N, OH, OW, KH, KW, K, M, C, O, activation, depthwiseActivation } = g;
  const pixels = N * OH * OW;
  const dense = (of: Value, channels: number) => unpadded(read(of), pixels, channels);
  const strideOf = (of: Value) => read(of).length / pixels;
  const sum = (terms: number, channels: number, expected: Expected, stride = channels): Stage =>
    ({ expected: boundedSums(expected, terms, isTranscendental(data)), channels, stride });
  switch (value) {
    case 'intermediate': case 'depthwiseSum':
      return { expected: boundedDepthwise(at(data, value === 'intermediate')), channels: K, stride: strideOf(value) };
    case 'output': case 'outputSum':
      return {
        expected: boundedPointwise(at(data, value === 'output'), dense('intermediate', K)), channels: O, stride: O,
      };
    case 'scaledGradient':
      return sum(0, O, scaled(activation, read('outputGradient'), dense(reads[1]!, O)), strideOf(value));
    case 'intermediateGradient':
      return sum(0, K, scaled(depthwiseActivation, read(beforeName), dense(reads[1]!, K)));
    case 'transposedFilter': {
      const values = Float64Array.from({ length: K * O }, (_, i) =>
        data.pointwiseFilter[(i % K) * O + Math.floor(i / K)]!);
      return sum(0, K, { values, magnitudes: new Float64Array(K * O) });
    }
    case 'product':
      return sum(
        O, K, both((take) => pointwiseInputGradient(g, take(dense(scaledName, O)), take(data.pointwiseFilter))));
    case 'biasGradient':
      return sum(pixels, O, both((take) => channelSums(take(dense(scaledName, O)), O)));
    case 'depthwiseBiasGradient':
      return sum(pixels, K, both((take) => channelSums(take(read(betweenName)), K)));
    case 'pointwiseFilterGradient': {
      const multiplied = all.has('scaledIntermediate') ? 'scaledIntermediate' : 'intermediate';
      return sum(pixels, O, both((take) => pixels === 0 ? new Float64Array(K * O)
        : pointwiseFilterGradient(g, take(dense(multiplied, K)), take(dense(scaledName, O)))));
    }
    case 'scaledIntermediate':
      return sum(0, K, both((take) => timesScale(g, take(dense('intermediate', K)), take(data.inputScale!))),
        strideOf(value));
    case 'scaledProduct':
      return sum(0, K, both((take) => timesScale(g, take(read('product')), take(data.inputScale!))));
    case 'inputScaleGradient':
      return sum(pixels, K, both((take) => pixels === 0 ? new Float64Array(g.N * K)
        : inputScaleGradient(g, take(read('product')), take(dense('intermediate', K)))));
    case 'residualGradient':
      return sum(0, O, scaled(g.passes === 'depthwise' ? depthwiseActivation : activation, read('outputGradient'),
        dense(reads[1]!, O)));
    case 'depthwiseFilterGradient':
      return sum(pixels, K, both((take) => pixels === 0 ? new Float64Array(KH * KW * K)
        : depthwiseFilterGradient(g, take(data.input), take(read(betweenName)))));
    case 'inputGradient':
      return sum(KH * KW * M, C, both((take) => pixels === 0 ? new Float64Array(data.input.length)
        : depthwiseInputGradient(g, take(read(betweenName)), take(data.depthwiseFilter))));
    default: return undefined; // Parts of sums: what they sum up to is compared.
  }
}

const at = (data: Problem, activated: boolean): Problem =>
  (activated ? data : { ...data, geometry: withoutActivations(data.geometry) });

/** Without the channels that fill up packs of four. */
function unpadded(values: ArrayLike<number>, pixels: number, channels: number): Float64Array {
  const stride = values.length / pixels;
  return Float64Array.from({ length: pixels * channels }, (_, i) =>
    values[Math.floor(i / channels) * stride + (i % channels)]!);
}

/**
 * A derivative is a few roundings of values near 1, and near its argument's where
 * that is small; far from 0 it is 0, 1 or the slope.
 */
function scaled(activation: Geometry['activation'], gradient: ArrayLike<number>, values: ArrayLike<number>): Expected {
  return {
    values: activationGradient(activation, gradient, values),
    magnitudes: Float64Array.from(gradient, (value, i) => Math.abs(value) * (1 + Math.min(Math.abs(values[i]!), 3))),
  };
}
