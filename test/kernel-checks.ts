import { elementBytes, elements, outputShape } from '../src/arguments/geometry.js';
import type { PipelineCache } from '../src/gpu/pipelines.js';
import type { DeviceProfile } from '../src/kernels/profile.js';
import type { PresetName } from '../src/plan/presets.js';
import { byteLengthOf, type Plan } from '../src/plan/steps.js';
import { boundedDepthwise, boundedPointwise, boundedSeparable } from './bounds.js';
import { type Case, type Problem, problem } from './cases.js';
import { compare, type Report } from './compare.js';
import { planOf } from './plans.js';
import { type Result, runSteps } from './steps.js';

/** Every kernel of the forward pass against its stage of the reference. */

interface Job { readonly title: string; readonly problem: Problem; readonly plan: Plan }

/** The plans of a case by one preset: fused and in two passes, or of its only pass. */
export function plansOfCase(one: Case, profile: DeviceProfile, preset: PresetName): readonly Plan[] {
  const strategies = one.passes === undefined || one.passes === 'both' ? ['fused', 'two-pass'] as const
    : ['auto'] as const;
  return strategies.map((strategy) => planOf(one, profile, strategy, preset));
}

/** Runs each case with each preset's kernels, in one submit, and compares every stage with its reference. */
export async function checkKernelSteps(
  device: GPUDevice, pipelines: PipelineCache, profile: DeviceProfile, cases: readonly Case[],
  presets: readonly PresetName[], seed: number,
): Promise<Report[]> {
  const jobs = cases.flatMap((one, index) => {
    const shared = problem(one, one.seed ?? seed + index);
    return presets.flatMap((preset) => plansOfCase(one, profile, preset).map((plan): Job => ({
      title: `${one.name} [${preset}: ${plan.steps.map(({ dispatch }) => dispatch.name).join(' + ')}]`,
      problem: shared, plan,
    })));
  });
  const results = await runSteps(device, pipelines, jobs.map(({ problem: data, plan }) => {
    const { geometry: { K, O, dtype }, geometry } = data;
    return {
      plan, dtype, stored: new Map([['output', elements(outputShape(geometry)) * elementBytes(dtype)]]),
      given: {
        input: data.input,
        depthwiseFilter: data.depthwiseFilter, depthwiseBias: data.depthwiseBias ?? new Float32Array(K),
        pointwiseFilter: data.pointwiseFilter, bias: data.bias ?? new Float32Array(O),
        ...(data.residual && { residual: data.residual }), ...(data.inputScale && { inputScale: data.inputScale }),
      },
    };
  }));
  return jobs.flatMap((job, index) => {
    const failures = [...results[index]!].flatMap(([value, { failure }]) => (failure ? [`${value}: ${failure}`] : []));
    return failures.length > 0
      ? [{ title: job.title, failure: failures.join(', ') }]
      : compareStages(job, results[index]!);
  });
}

/**
 * Two passes: each against its own stage, the pointwise one from what the depthwise one really gave. As a whole: a
 * fused kernel, and passes in bands, of which the intermediate holds the last only.
 */
function compareStages(
  { title, problem: data, plan: { steps, places } }: Job, results: ReadonlyMap<string, Result>,
): Report[] {
  const { N, OH, OW, K, O } = data.geometry;
  const intermediate = results.get('intermediate')?.data;
  const output = results.get('output')?.data ?? new Float32Array(0);
  const shape = [N, OH, OW, O] as const;
  if (!intermediate || steps.filter(({ writes }) => writes.value === 'output').length > 1) {
    return [{ title, ...compare(output, boundedSeparable(data), shape, O) }];
  }
  const stride = byteLengthOf(places.get('intermediate')) / 4 / Math.max(1, N * OH * OW);
  const expected = boundedDepthwise(data);
  const dense = expected.values.map((_, i) => intermediate[Math.floor(i / K) * stride + (i % K)]!);
  const padding = intermediate.findIndex((value, i) => i % stride >= K && value !== 0);
  return [
    { title: `${title} depthwise`, ...compare(intermediate, expected, [N, OH, OW, K], stride),
      ...(padding >= 0 ? { failure: `padding at ${padding} is ${intermediate[padding]}, not 0` } : {}) },
    { title: `${title} pointwise`, ...compare(output, boundedPointwise(data, dense), shape, O) },
  ];
}
