import { checked } from '../src/device.js';
import { kernels, type Operand } from '../src/kernels.js';
import { PipelineManager } from '../src/manager.js';
import { PipelineCache } from '../src/pipelines.js';
import { type Plan, plan } from '../src/plan.js';
import type { AdapterKind, DeviceProfile, PresetName } from '../src/presets.js';
import {
  type Case, expectedDepthwise, expectedPointwise, expectedSeparable, isTranscendental, type Problem, problem,
} from './cases.js';
import { type Comparison, compare } from './compare.js';
import { checkGradientSteps } from './gradient-checks.js';
import { gradientScenarios } from './gradient-scenarios.js';
import { GUARD_BYTES, POISON } from './guard.js';
import { runScenario, scenarios } from './scenarios.js';

/** Runs in a real browser: what the tests in Node ask of the GPU, many cases a call. */

export interface Report extends Partial<Comparison> {
  /** Case, preset and kernel variants. */
  readonly title: string;
}

interface Target { readonly buffer: GPUBuffer; readonly offset: number; readonly byteLength: number }
interface Job { readonly title: string; readonly problem: Problem; readonly plan: Plan; readonly written: Map<Operand, Target> }

const manager = await PipelineManager.create();
const { device } = manager;
const pipelines = new PipelineCache(device);
const uncaptured: string[] = [];
device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));

/** Runs each case with each preset's kernels, fused and in two passes, and compares every stage with its reference. */
export async function checkKernels(
  cases: readonly Case[], presets: readonly PresetName[], seed: number, limits: Partial<GPUSupportedLimits> = {},
): Promise<Report[]> {
  const profile = profileWith(limits);
  const reports: Report[] = [];
  for (let start = 0; start < cases.length; start += 50) {
    const jobs = await Promise.all(cases.slice(start, start + 50).flatMap((one, index) => {
      const shared = problem(one, seed + start + index);
      return presets.flatMap((preset) => (['fused', 'two-pass'] as const).map(async (strategy): Promise<Job> => {
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
    kind, subgroups: true,
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
  const buffers: GPUBuffer[] = [];
  const pipelinesByName = new Map<string, GPUComputePipeline>();
  for (const { plan: { dispatches } } of jobs) {
    for (const dispatch of dispatches) pipelinesByName.set(dispatch.name, await pipelines.pipeline(dispatch));
  }
  const readback = await checked(device, 'test batch', () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const job of jobs) encodeJob(job, pass, pipelinesByName, buffers);
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
    for (const [operand, { buffer, byteLength }] of job.written) {
      const words = new Uint32Array(bytes, offset, buffer.size / 4);
      const inside = words.subarray(GUARD_BYTES / 4, GUARD_BYTES / 4 + byteLength / 4);
      const outside = [...words.subarray(0, GUARD_BYTES / 4), ...words.subarray(GUARD_BYTES / 4 + byteLength / 4)];
      if (inside.includes(POISON)) failure = `${operand}: element ${inside.indexOf(POISON)} was not written`;
      if (outside.some((word) => word !== POISON)) failure = `${operand}: words beside it were overwritten`;
      results.set(operand, new Float32Array(inside.slice().buffer));
      offset += buffer.size;
    }
    return failure ? [{ title: job.title, failure }] : compareStages(job, results);
  });
  for (const buffer of [...buffers, readback]) buffer.destroy();
  return reports;
}

function encodeJob({ problem: data, plan: { dispatches, byteLengths }, written }: Job, pass: GPUComputePassEncoder,
  compiled: Map<string, GPUComputePipeline>, buffers: GPUBuffer[]): void {
  const buffer = (content: AllowSharedBufferSource, usage: GPUBufferUsageFlags, size = content.byteLength): GPUBuffer => {
    const made = device.createBuffer({ size: Math.max(16, size), usage: usage | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
    device.queue.writeBuffer(made, 0, content as ArrayBuffer);
    buffers.push(made);
    return made;
  };
  const bindings = new Map<Operand, GPUBufferBinding>();
  const { K, O } = data.geometry;
  const contents = {
    input: data.input, depthwiseFilter: data.depthwiseFilter, depthwiseBias: data.depthwiseBias ?? new Float32Array(K),
    pointwiseFilter: data.pointwiseFilter, bias: data.bias ?? new Float32Array(O),
  };
  for (const [operand, content] of Object.entries(contents)) {
    bindings.set(operand as Operand, { buffer: buffer(content, GPUBufferUsage.STORAGE) });
  }
  for (const operand of ['intermediate', 'output'] as const) {
    const byteLength = byteLengths[operand];
    if (!dispatches.some(({ kernel }) => kernels[kernel].operands.includes(operand))) continue;
    const poison = new Uint32Array(byteLength / 4 + (2 * GUARD_BYTES) / 4).fill(POISON);
    const target = { buffer: buffer(poison, GPUBufferUsage.STORAGE), offset: GUARD_BYTES, byteLength };
    written.set(operand, target);
    bindings.set(operand, { buffer: target.buffer, offset: GUARD_BYTES, size: byteLength });
  }
  for (const { kernel, name, uniforms, grid } of dispatches) {
    const resources = [
      { buffer: buffer(uniforms, GPUBufferUsage.UNIFORM) }, ...kernels[kernel].operands.map((operand) => bindings.get(operand)!),
    ];
    pass.setPipeline(compiled.get(name)!);
    pass.setBindGroup(0, device.createBindGroup({
      layout: pipelines.layout(kernel), entries: resources.map((resource, binding) => ({ binding, resource })),
    }));
    pass.dispatchWorkgroups(...grid);
  }
}

/** Two passes: each against its own stage, the pointwise one from what the depthwise one really gave. Fused: as a whole. */
function compareStages({ title, problem: data, plan: { byteLengths } }: Job, results: Map<Operand, Float32Array>): Report[] {
  const { N, OH, OW, KH, KW, K, O } = data.geometry;
  const transcendental = isTranscendental(data);
  const intermediate = results.get('intermediate');
  const output = results.get('output') ?? new Float32Array(0);
  const shape = [N, OH, OW, O] as const;
  if (!intermediate) {
    return [{ title, ...compare(output, expectedSeparable(data), KH * KW + K, transcendental, shape, O) }];
  }
  const stride = byteLengths.intermediate / 4 / Math.max(1, N * OH * OW);
  const expected = expectedDepthwise(data);
  const dense = expected.values.map((_, i) => intermediate[Math.floor(i / K) * stride + (i % K)]!);
  const padding = intermediate.findIndex((value, i) => i % stride >= K && value !== 0);
  return [
    { title: `${title} depthwise`, ...compare(intermediate, expected, KH * KW, transcendental, [N, OH, OW, K], stride),
      ...(padding >= 0 ? { failure: `padding at ${padding} is ${intermediate[padding]}, not 0` } : {}) },
    { title: `${title} pointwise`, ...compare(output, expectedPointwise(data, dense), K, transcendental, shape, O) },
  ];
}

declare global {
  interface Window { tests: { checkKernels: typeof checkKernels; checkGradients: typeof checkGradients; runScenario(name: string, seed: number): Promise<void> } }
}
window.tests = { checkKernels, checkGradients, runScenario: (name, seed) => runScenario(name, seed, { ...scenarios, ...gradientScenarios }) };
