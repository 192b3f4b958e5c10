import { checked } from '../src/gpu/device.js';
import { toFloat16 } from '../src/gpu/float16.js';
import type { Dtype } from '../src/arguments/geometry.js';
import { FILTER_FORMAT, uniformsOf } from '../src/kernels/kernel.js';
import type { PipelineCache } from '../src/gpu/pipelines.js';
import { byteLengthOf, type Place, type Plan, type Step, type Use } from '../src/plan/steps.js';
import { GUARD_BYTES, guarded, unguarded } from './guard.js';

/** Runs the steps of plans one by one, with guard words around all that they write. */

export interface Job {
  readonly plan: Plan;
  /** What the caller gives, filters and biases included, by value or weight. */
  readonly given: Readonly<Record<string, Float32Array>>;
  /** How what is given is stored. */
  readonly dtype: Dtype;
  /** The values that are stored so when they are written, with their exact bytes; others are float32. */
  readonly stored: ReadonlyMap<string, number>;
}

/** A value that steps wrote, and what is wrong with its surroundings. */
export interface Result { readonly data: Float32Array; readonly failure?: string }

interface Written { readonly buffer: GPUBuffer; readonly byteLength: number; readonly dtype: Dtype }

/** What the steps of each job write, by value; all jobs go in one compute pass. */
export async function runSteps(
  device: GPUDevice, pipelines: PipelineCache, jobs: readonly Job[],
): Promise<readonly ReadonlyMap<string, Result>[]> {
  const compiled = new Map(await Promise.all(jobs.flatMap(({ plan }) => plan.steps).map(async ({ dispatch }) =>
    [dispatch.name, await pipelines.pipeline(dispatch)] as const)));
  const uniforms = new Map(await Promise.all(jobs.flatMap(({ plan }) => plan.steps).map(async (step) =>
    [step, await uniformsOf(step.dispatch)] as const)));
  const made: (GPUBuffer | GPUTexture)[] = [];
  const { written, readable } = await checked(device, 'test batch', () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    const all = jobs.map((job) => encodeSteps(device, pipelines, compiled, uniforms, job, pass, made));
    pass.end();
    const targets = all.flatMap((values) => [...values.values()]);
    const size = targets.reduce((sum, { buffer }) => sum + buffer.size, 0);
    const readback = device.createBuffer({
      size: Math.max(size, 16), usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    made.push(readback);
    let offset = 0;
    for (const { buffer } of targets) {
      encoder.copyBufferToBuffer(buffer, 0, readback, offset, buffer.size);
      offset += buffer.size;
    }
    device.queue.submit([encoder.finish()]);
    return { written: all, readable: readback };
  });
  await readable.mapAsync(GPUMapMode.READ);
  const bytes = readable.getMappedRange();
  let offset = 0;
  const results = written.map((values) => new Map([...values].map(([value, { buffer, byteLength, dtype }]) => {
    const words = new Uint32Array(bytes, offset, buffer.size / 4);
    offset += buffer.size;
    return [value, unguarded(words, byteLength, dtype)] as const;
  })));
  for (const resource of made) resource.destroy();
  return results;
}

/** Records all steps, those that run once first. All that is made goes into `made`. */
function encodeSteps(
  device: GPUDevice, pipelines: PipelineCache, compiled: ReadonlyMap<string, GPUComputePipeline>,
  uniforms: ReadonlyMap<Step, ArrayBuffer>, { plan, given, dtype, stored }: Job,
  pass: GPUComputePassEncoder, made: (GPUBuffer | GPUTexture)[],
): ReadonlyMap<string, Written> {
  const { steps, places } = plan;
  const written = new Map<string, Written>();
  const buffer = (content: AllowSharedBufferSource, usage: GPUBufferUsageFlags): GPUBuffer => {
    const size = Math.max(16, Math.ceil(content.byteLength / 4) * 4);
    const target = device.createBuffer({ size, usage: usage | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
    // Deno 2.9 panics at empty data.
    if (content.byteLength > 0) device.queue.writeBuffer(target, 0, content as ArrayBuffer);
    made.push(target);
    return target;
  };
  const upload = (data: Float32Array): GPUBufferBinding =>
    ({ buffer: buffer(dtype === 'f16' ? toFloat16(data) : data as Float32Array<ArrayBuffer>, GPUBufferUsage.STORAGE) });
  const targets = new Set(steps.map(({ writes }) => writes.value));
  const place = (value: string, where: Place): GPUBindingResource => {
    switch (where.kind) {
      case 'sampler': return pipelines.nearest;
      case 'texture': {
        const texture = device.createTexture({
          size: [Math.ceil(where.columns / 4), where.rows], format: FILTER_FORMAT,
          usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.TEXTURE_BINDING,
        });
        made.push(texture);
        return texture.createView();
      }
      case 'zeros': return upload(new Float32Array(where.byteLength / 4));
      case 'ones': return upload(new Float32Array(where.byteLength / 4).fill(1));
      case 'weight': {
        const { weight, columns } = where;
        const inSlice = (_: number, i: number): boolean => !columns
          || (i % columns.total >= columns.offset && i % columns.total < columns.offset + columns.size);
        return upload(given[weight]!.filter(inSlice));
      }
      case 'caller': case 'scratch': {
        if (!targets.has(value)) return upload(given[value]!);
        const storage = stored.has(value) ? dtype : 'f32';
        const byteLength = stored.get(value) ?? where.byteLength;
        const target = buffer(guarded(byteLength, storage), GPUBufferUsage.STORAGE);
        written.set(value, { buffer: target, byteLength, dtype: storage });
        return { buffer: target, offset: GUARD_BYTES, size: where.byteLength };
      }
    }
  };
  const bindings = new Map<string, GPUBindingResource>();
  for (const { value } of steps.flatMap(({ reads, writes }) => [...reads, writes])) {
    if (!bindings.has(value)) bindings.set(value, place(value, places.get(value)!));
  }
  const bind = ({ value, range }: Use): GPUBindingResource => {
    const whole = bindings.get(value)!;
    if (!range || byteLengthOf(places.get(value)) === 0) return whole;
    const { buffer: target, offset = 0 } = whole as GPUBufferBinding;
    return { buffer: target, offset: offset + range.offset, size: range.size };
  };
  for (const step of [...steps.filter(({ once }) => once), ...steps.filter(({ once }) => !once)]) {
    const { dispatch, reads, writes } = step;
    const resources = [
      { buffer: buffer(uniforms.get(step)!, GPUBufferUsage.UNIFORM) }, ...[...reads, writes].map(bind),
    ];
    pass.setPipeline(compiled.get(dispatch.name)!);
    pass.setBindGroup(0, device.createBindGroup({
      layout: pipelines.layout(dispatch.bindings),
      entries: resources.map((resource, binding) => ({ binding, resource })),
    }));
    pass.dispatchWorkgroups(...dispatch.grid);
  }
  return written;
}
