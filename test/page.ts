import { adapterName } from '../src/gpu/device.js';
import { elementBytes, elements, outputShape } from '../src/arguments/geometry.js';
import { PipelineManager, profileOf } from '../src/manager.js';
import { PipelineCache } from '../src/gpu/pipelines.js';
import type { AdapterKind, DeviceProfile } from '../src/kernels/profile.js';
import type { PresetName } from '../src/plan/presets.js';
import { byteLengthOf, type Plan } from '../src/plan/steps.js';
import { checkArguments } from './arguments.js';
import { boundedDepthwise, boundedPointwise, boundedSeparable } from './bounds.js';
import { type Case, type Problem, problem } from './cases.js';
import { type Comparison, compare } from './compare.js';
import { checkGradientSteps } from './gradient-checks.js';
import { gradientScenarios } from './gradient-scenarios.js';
import { reportNonFinite } from './nonfinite.js';
import { planOf } from './plans.js';
import { runScenario } from './scenarios.js';
import { type Result, runSteps } from './steps.js';

/**
 * What the tests ask of a GPU, many cases a call: runs in a browser's page, or in a process that has `navigator.gpu`.
 */

export interface Report extends Partial<Comparison> {
  /** Case, preset and kernel variants. */
  readonly title: string;
}

interface Job { readonly title: string; readonly problem: Problem; readonly plan: Plan }

const manager = await PipelineManager.create();
const { device } = manager;
const pipelines = new PipelineCache(device);
const uncaptured: string[] = [];
device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));

/**
 * Runs each case with each preset's kernels, fused and in two passes, and compares every stage with its reference. Left
 * out are the presets whose kernels need a feature that the device lacks.
 */
export async function checkKernels(
  cases: readonly Case[], presets: readonly PresetName[], seed: number, limits: Partial<GPUSupportedLimits> = {},
): Promise<Report[]> {
  const profile = profileWith(limits, manager.adapterKind);
  const runnable = presets.filter((name) => profile.subgroups || !/quad/i.test(name));
  const reports: Report[] = [];
  for (let start = 0; start < cases.length; start += 50) {
    const jobs = cases.slice(start, start + 50).flatMap((one, index) => {
      const shared = problem(one, one.seed ?? seed + start + index);
      const strategies = shared.geometry.passes === 'both' ? ['fused', 'two-pass'] as const : ['auto'] as const;
      return runnable.flatMap((preset) => strategies.map((strategy): Job => {
        const planned = planOf(one, profile, strategy, preset);
        const title = `${one.name} [${preset}: ${planned.steps.map(({ dispatch }) => dispatch.name).join(' + ')}]`;
        return { title, problem: shared, plan: planned };
      }));
    });
    reports.push(...(await runJobs(jobs)));
  }
  return [...reports, ...uncaptured.splice(0).map((failure) => ({ title: 'uncaptured GPU error', failure }))];
}

function profileWith(limits: Partial<GPUSupportedLimits>, kind: AdapterKind): DeviceProfile {
  const own = profileOf(device, kind);
  return { ...own, limits: { ...own.limits, ...limits } };
}

/** Runs all steps of each case's backward pass, and compares every one with its reference. */
export async function checkGradients(
  cases: readonly Case[], presets: readonly PresetName[], seed: number, limits: Partial<GPUSupportedLimits> = {},
): Promise<Report[]> {
  const reports: Report[] = [];
  for (let start = 0; start < cases.length; start += 50) {
    const batch = cases.slice(start, start + 50);
    const profile = profileWith(limits, manager.adapterKind);
    reports.push(...(await checkGradientSteps(device, pipelines, profile, batch, presets, seed + start)));
  }
  return [...reports, ...uncaptured.splice(0).map((failure) => ({ title: 'uncaptured GPU error', failure }))];
}

async function runJobs(jobs: readonly Job[]): Promise<Report[]> {
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

/** Which presets the library itself would take, and what there is to know of the device. */
export interface Environment {
  readonly adapter: string;
  readonly adapterKind: string;
  readonly features: readonly string[];
}

export function environment(): Environment {
  return { adapter: adapterName(device), adapterKind: manager.adapterKind, features: [...device.features].sort() };
}

export const tests = {
  checkArguments, checkKernels, checkGradients, environment, reportNonFinite,
  runScenario: (name: string, seed: number): Promise<void> => runScenario(name, seed, gradientScenarios),
};
export type Tests = typeof tests;

declare global {
  interface Window { tests: Tests }
}
Object.assign(globalThis, { tests });
