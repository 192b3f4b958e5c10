import { adapterName, checked } from '../src/gpu/device.js';
import { toFloat16 } from '../src/gpu/float16.js';
import { type Dtype, elementBytes, elements, outputShape } from '../src/arguments/geometry.js';
import { type BufferOperand, kernels, type Operand } from '../src/kernels/kernels.js';
import { PipelineManager } from '../src/manager.js';
import { PipelineCache } from '../src/gpu/pipelines.js';
import { type Plan, plan } from '../src/plan/plan.js';
import type { AdapterKind, DeviceProfile, PresetName } from '../src/plan/presets.js';
import { filterTexture } from '../src/gpu/weights.js';
import { checkArguments } from './arguments.js';
import { boundedDepthwise, boundedPointwise, boundedSeparable } from './bounds.js';
import { type Case, type Problem, problem } from './cases.js';
import { type Comparison, compareWithin } from './compare.js';
import { checkGradientSteps } from './gradient-checks.js';
import { gradientScenarios } from './gradient-scenarios.js';
import { GUARD_BYTES, guarded, unguarded } from './guard.js';
import { reportNonFinite } from './nonfinite.js';
import { runScenario } from './scenarios.js';

/** What the tests ask of a GPU, many cases a call: runs in a browser's page, or in a process that has `navigator.gpu`. */

export interface Report extends Partial<Comparison> {
  /** Case, preset and kernel variants. */
  readonly title: string;
}

interface Target { readonly buffer: GPUBuffer; readonly byteLength: number; readonly dtype: Dtype }
interface Job { readonly title: string; readonly problem: Problem; readonly plan: Plan; readonly written: Map<Operand, Target> }

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
    const jobs = await Promise.all(cases.slice(start, start + 50).flatMap((one, index) => {
      const shared = problem(one, one.seed ?? seed + start + index);
      return runnable.flatMap((preset) => (['fused', 'two-pass'] as const).map(async (strategy): Promise<Job> => {
        const planned = plan(shared.geometry, profile, strategy, one.name, preset);
        await Promise.all(planned.dispatches.map((dispatch) => pipelines.pipeline(dispatch)));
        const title = `${one.name} [${preset}: ${planned.dispatches.map(({ name }) => name).join(' + ')}]`;
        return { title, problem: shared, plan: planned, written: new Map() };
      }));
    }));
    reports.push(...(await runJobs(jobs)));
  }
  return [...reports, ...uncaptured.splice(0).map((failure) => ({ title: 'uncaptured GPU error', failure }))];
}

function profileWith(limits: Partial<GPUSupportedLimits>, kind: AdapterKind = 'software'): DeviceProfile {
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupsPerDimension, maxComputeInvocationsPerWorkgroup } = device.limits;
  return {
    kind, subgroups: device.features.has('subgroups'), shaderF16: device.features.has('shader-f16'),
    limits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupsPerDimension, maxComputeInvocationsPerWorkgroup, ...limits },
  };
}

/** Runs all steps of each case's backward pass, and compares every one with its reference. */
export async function checkGradients(
  cases: readonly Case[], presets: readonly PresetName[], seed: number, limits: Partial<GPUSupportedLimits> = {}, kind: AdapterKind = 'software',
): Promise<Report[]> {
  const reports: Report[] = [];
  for (let start = 0; start < cases.length; start += 50) {
    reports.push(...(await checkGradientSteps(device, pipelines, profileWith(limits, kind), cases.slice(start, start + 50), presets, seed + start)));
  }
  return [...reports, ...uncaptured.splice(0).map((failure) => ({ title: 'uncaptured GPU error', failure }))];
}

async function runJobs(jobs: readonly Job[]): Promise<Report[]> {
  const made: (GPUBuffer | GPUTexture)[] = [];
  const pipelinesByName = new Map<string, GPUComputePipeline>();
  for (const { plan: { dispatches } } of jobs) {
    for (const dispatch of dispatches) pipelinesByName.set(dispatch.name, await pipelines.pipeline(dispatch));
  }
  const readback = await checked(device, 'test batch', () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const job of jobs) encodeJob(job, pass, pipelinesByName, made);
    pass.end();
    const targets = jobs.flatMap(({ written }) => [...written.values()]);
    const size = targets.reduce((sum, { buffer }) => sum + buffer.size, 0);
    const readable = device.createBuffer({ size: Math.max(size, 16), usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    let offset = 0;
    for (const { buffer } of targets) {
      encoder.copyBufferToBuffer(buffer, 0, readable, offset, buffer.size);
      offset += buffer.size;
    }
    device.queue.submit([encoder.finish()]);
    return readable;
  });
  await readback.mapAsync(GPUMapMode.READ);
  const bytes = readback.getMappedRange();
  let offset = 0;
  const reports = jobs.flatMap((job) => {
    const results = new Map<Operand, Float32Array>();
    let failure: string | undefined;
    for (const [operand, { buffer, byteLength, dtype }] of job.written) {
      const { data, failure: wrong } = unguarded(new Uint32Array(bytes, offset, buffer.size / 4), byteLength, dtype);
      if (wrong !== undefined) failure = `${operand}: ${wrong}`;
      results.set(operand, data);
      offset += buffer.size;
    }
    return failure ? [{ title: job.title, failure }] : compareStages(job, results);
  });
  for (const resource of [...made, readback]) resource.destroy();
  return reports;
}

function encodeJob({ problem: data, plan: { dispatches, byteLengths }, written }: Job, pass: GPUComputePassEncoder,
  compiled: Map<string, GPUComputePipeline>, made: (GPUBuffer | GPUTexture)[]): void {
  const buffer = (content: AllowSharedBufferSource, usage: GPUBufferUsageFlags, size = content.byteLength): GPUBuffer => {
    const target = device.createBuffer({ size: Math.max(16, size), usage: usage | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
    if (content.byteLength > 0) device.queue.writeBuffer(target, 0, content as ArrayBuffer); // Deno 2.9 panics at empty data.
    made.push(target);
    return target;
  };
  const bindings = new Map<BufferOperand, GPUBufferBinding>();
  const textures = new Map<number, GPUTextureView>(); // By the first channel of what they hold.
  const { K, O, dtype } = data.geometry;
  const contents = {
    input: data.input, depthwiseFilter: data.depthwiseFilter, depthwiseBias: data.depthwiseBias ?? new Float32Array(K),
    pointwiseFilter: data.pointwiseFilter, bias: data.bias ?? new Float32Array(O),
  };
  for (const [operand, content] of Object.entries(contents)) {
    bindings.set(operand as BufferOperand, { buffer: buffer(dtype === 'f16' ? toFloat16(content) : content, GPUBufferUsage.STORAGE) });
  }
  for (const operand of ['intermediate', 'output'] as const) {
    const storage = operand === 'output' ? dtype : 'f32';
    const byteLength = operand === 'output' ? elements(outputShape(data.geometry)) * elementBytes(dtype) : byteLengths.intermediate;
    if (!dispatches.some(({ kernel }) => kernels[kernel].operands.includes(operand))) continue;
    const target = { buffer: buffer(guarded(byteLength, storage), GPUBufferUsage.STORAGE), byteLength, dtype: storage };
    written.set(operand, target);
    bindings.set(operand, { buffer: target.buffer, offset: GUARD_BYTES, size: byteLengths[operand] });
  }
  for (const { kernel, name, bindings: kinds, uniforms, grid, ...ranges } of dispatches) {
    const bind = (operand: Operand): GPUBindingResource => {
      const { offset: first, size: count } = ranges.channels;
      if (operand === 'nearest') return pipelines.nearest;
      if (operand === 'filterTexture') {
        if (kernel === 'filter-texture') textures.set(first, filterTexture(device, name, made, K, count));
        return textures.get(first)!;
      }
      const whole = bindings.get(operand)!;
      if ((operand === 'pointwiseFilter' || operand === 'bias') && count < O) {
        const part = contents[operand].filter((_, i) => i % O >= first && i % O < first + count);
        return { buffer: buffer(dtype === 'f16' ? toFloat16(part) : part, GPUBufferUsage.STORAGE) };
      }
      const range = operand === 'input' || operand === 'output' ? ranges[operand] : undefined;
      return range && range.size > 0 ? { ...whole, offset: (whole.offset ?? 0) + range.offset, size: range.size } : whole;
    };
    const resources = [{ buffer: buffer(uniforms, GPUBufferUsage.UNIFORM) }, ...kernels[kernel].operands.map(bind)];
    pass.setPipeline(compiled.get(name)!);
    pass.setBindGroup(0, device.createBindGroup({
      layout: pipelines.layout(kinds), entries: resources.map((resource, binding) => ({ binding, resource })),
    }));
    pass.dispatchWorkgroups(...grid);
  }
}

/**
 * Two passes: each against its own stage, the pointwise one from what the depthwise one really gave. As a whole: a fused
 * kernel, and passes in bands, of which the intermediate holds the last only.
 */
function compareStages({ title, problem: data, plan: { byteLengths, dispatches } }: Job, results: Map<Operand, Float32Array>): Report[] {
  const { N, OH, OW, K, O } = data.geometry;
  const intermediate = results.get('intermediate');
  const output = results.get('output') ?? new Float32Array(0);
  const shape = [N, OH, OW, O] as const;
  if (!intermediate || dispatches.filter(({ kernel }) => kernels[kernel].operands.includes('output')).length > 1) {
    return [{ title, ...compareWithin(output, boundedSeparable(data), shape, O) }];
  }
  const stride = byteLengths.intermediate / 4 / Math.max(1, N * OH * OW);
  const expected = boundedDepthwise(data);
  const dense = expected.values.map((_, i) => intermediate[Math.floor(i / K) * stride + (i % K)]!);
  const padding = intermediate.findIndex((value, i) => i % stride >= K && value !== 0);
  return [
    { title: `${title} depthwise`, ...compareWithin(intermediate, expected, [N, OH, OW, K], stride),
      ...(padding >= 0 ? { failure: `padding at ${padding} is ${intermediate[padding]}, not 0` } : {}) },
    { title: `${title} pointwise`, ...compareWithin(output, boundedPointwise(data, dense), shape, O) },
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
