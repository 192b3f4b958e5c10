import type { ConvolutionDescriptor, PipelineManager, Strategy } from 'sepconv-webgpu';
import type { Problem } from '../cases.js';
import { type Contender, type Prepared, wallTime } from './contender.js';
import type { Tensors } from './workloads.js';

/** The library and WGSL of the benchmark's own, on any WebGPU: a browser's or Dawn for Node. */

/** A device with the features and limits that the library asks for. @throws Error without an adapter */
export async function requestDevice(gpu: GPU): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('WebGPU found no adapter');
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  return adapter.requestDevice({
    requiredFeatures: (['shader-f16', 'subgroups', 'timestamp-query'] as const).filter((feature) =>
      adapter.features.has(feature)),
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
  });
}

export function ours(manager: PipelineManager, strategy: Strategy): Contender {
  return layers(manager, (data) => [both(data, strategy)]);
}

/** Either pass alone, one after the other, as `two-pass` has them in one layer. */
export function passesAlone(manager: PipelineManager): Contender {
  return layers(manager, (data) => {
    const { geometry: { OH, OW, K } } = data;
    const { depthwiseFilter, pointwiseFilter, inputShape, strides, padding, ...rest } = both(data, 'auto');
    const { depthwiseBias, depthwiseActivation, bias, activation, residual, inputScale } = rest;
    return [
      { inputShape, depthwiseFilter, strides, padding, bias: depthwiseBias, activation: depthwiseActivation },
      { inputShape: [1, OH, OW, K], padding, pointwiseFilter, bias, activation, residual, inputScale },
    ];
  });
}

function both({ geometry: g, ...data }: Tensors, strategy: Strategy): ConvolutionDescriptor {
  const { N, H, W, C, KH, KW, K, M, O, SH, SW, RH, RW } = g;
  return {
    inputShape: [N, H, W, C], strategy, padding: 'SAME', strides: [SH, SW], rate: [RH, RW],
    allowOverparameterized: true,
    depthwiseFilter: { shape: [KH, KW, C, M], data: data.depthwiseFilter },
    pointwiseFilter: { shape: [1, 1, K, O], data: data.pointwiseFilter },
    depthwiseBias: data.depthwiseBias, bias: data.bias, residual: g.residual, inputScale: g.inputScale,
    depthwiseActivation: g.depthwiseActivation.kind, activation: g.activation.kind,
  };
}

/** A block's 1x1 layer, which expands the input of the next. */
function expanding({ geometry: { N, H, W, C, O, activation }, pointwiseFilter, bias }: Problem): ConvolutionDescriptor {
  return {
    inputShape: [N, H, W, C], padding: 'SAME', pointwiseFilter: { shape: [1, 1, C, O], data: pointwiseFilter }, bias,
    activation: activation.kind,
  };
}

/** Layers one after the other, in one compute pass; the last has the residual and the factors. */
function layers(manager: PipelineManager, of: (data: Tensors) => readonly ConvolutionDescriptor[]): Contender {
  const { device } = manager;
  return {
    async prepare(data: Tensors): Promise<Prepared> {
      const descriptors = [...(data.expand ? [expanding(data.expand)] : []), ...of(data)];
      await manager.warmUp(descriptors); // Tells if one of the kernels that tuning tries does not compile.
      const convolutions = await Promise.all(descriptors.map((one) => manager.prepare(one)));
      const input = storage(device, (data.expand ?? data).input);
      const outputs = convolutions.map(({ outputByteLength }) => storage(device, outputByteLength));
      const scale = data.inputScale && storage(device, data.inputScale);
      const encodings = convolutions.map((conv, i) => {
        const targets = {
          input: i === 0 ? input : outputs[i - 1]!, output: outputs[i]!,
          ...(i === convolutions.length - 1 && {
            ...(data.residual && { residual: input }), ...(scale && { inputScale: scale }),
          }),
        };
        return (pass: GPUComputePassEncoder) => conv.encode(pass, targets);
      });
      return {
        detail: convolutions.flatMap(({ kernels }) => kernels).join(' + '),
        run: (repetitions) => repeat(device, repetitions, (pass) => {
          for (const encode of encodings) encode(pass);
        }),
        read: () => read(device, outputs.at(-1)!),
        release() {
          for (const conv of convolutions) conv.destroy();
          destroy(input, ...outputs, ...(scale ? [scale] : []));
        },
      };
    },
  };
}

export function naive(device: GPUDevice, code: string): Contender {
  const { layout, pipeline } = program(device, code, true);
  return {
    async prepare({ geometry, ...data }: Problem): Promise<Prepared> {
      const { N, H, W, C, KH, KW, M, K, OH, OW, SH, SW, RH, RW, padTop, padLeft, O } = geometry;
      const [first, second] = await Promise.all([pipeline('depthwise'), pipeline('pointwise')]);
      const uniforms = storage(
        device, new Int32Array([H, W, C, M, KH, KW, OH, OW, SH, SW, RH, RW, padTop, padLeft, O, 0]),
        GPUBufferUsage.UNIFORM);
      const [input, depthwiseFilter, pointwiseFilter] = [data.input, data.depthwiseFilter, data.pointwiseFilter]
        .map((values) => storage(device, values));
      const intermediate = storage(device, 4 * N * OH * OW * K);
      const output = storage(device, 4 * N * OH * OW * O);
      const group = (...buffers: readonly GPUBuffer[]): GPUBindGroup => device.createBindGroup({
        layout, entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
      const depthwise = group(uniforms, input!, depthwiseFilter!, intermediate);
      const pointwise = group(uniforms, intermediate, pointwiseFilter!, output);
      return {
        run: (repetitions) => repeat(device, repetitions, (pass) => {
          pass.setPipeline(first);
          pass.setBindGroup(0, depthwise);
          pass.dispatchWorkgroups(Math.ceil(K / 64), OW, N * OH);
          pass.setPipeline(second);
          pass.setBindGroup(0, pointwise);
          pass.dispatchWorkgroups(Math.ceil(O / 64), OW, N * OH);
        }),
        read: () => read(device, output),
        release: () => destroy(uniforms, input!, depthwiseFilter!, pointwiseFilter!, intermediate, output),
      };
    },
  };
}

export interface Ceilings {
  /** Multiply-adds in registers, 10^9 floating-point operations a second. */
  readonly gflops: number;
  /** Copying storage, 10^9 bytes read and written a second. */
  readonly gbytes: number;
  /** Milliseconds of a dispatch that does nothing. */
  readonly emptyDispatch: number;
}

/** Records one dispatch of so many workgroups of an entry point of `ceilings.wgsl`. */
type Recorder = (pass: GPUComputePassEncoder, workgroups: number) => void;
export interface CeilingKernels extends Readonly<Record<'multiplyAdd' | 'copy' | 'empty', Recorder>> {
  readonly destroy: () => void;
}

/** Floating-point operations of a workgroup of `multiplyAdd`. */
export const OPERATIONS = 64 * (64 * 32 * 3) * 4 * 2;

/** `ceilings.wgsl` on a device, reading and writing two buffers of so many bytes. */
export async function ceilingKernels(device: GPUDevice, code: string, bytes: number): Promise<CeilingKernels> {
  const { layout, pipeline } = program(device, code, false);
  const [input, output] = [storage(device, bytes), storage(device, bytes)];
  const group = device.createBindGroup({
    layout, entries: [input, output].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const recorder = async (entryPoint: string): Promise<Recorder> => {
    const compiled = await pipeline(entryPoint);
    return (pass, workgroups) => {
      pass.setPipeline(compiled);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(workgroups);
    };
  };
  const [multiplyAdd, copy, empty] = [
    await recorder('multiplyAdd'), await recorder('copy'), await recorder('empty'),
  ];
  return { multiplyAdd, copy, empty, destroy: () => destroy(input, output) };
}

/** Measures what the device can do at best: the best of so many samples. */
export async function measureCeilings(
  device: GPUDevice, code: string, samples: number, clock = wallTime, software = isSoftware(device.adapterInfo),
): Promise<Ceilings> {
  // A GPU's caches hold tens of megabytes, and it needs hundreds of thousands of invocations to be busy.
  const bytes = software ? 2 ** 25 : Math.min(2 ** 28, device.limits.maxStorageBufferBindingSize);
  const groups = software ? 64 : 2 ** 14;
  const { multiplyAdd, copy, empty, destroy: release } = await ceilingKernels(device, code, bytes);
  const best = async (record: Recorder, workgroups: number, atLeast = 1): Promise<number> => {
    const run = async (repetitions: number): Promise<number> => {
      const { milliseconds } = await clock(() => repeat(device, repetitions, (pass) => record(pass, workgroups)));
      return milliseconds / repetitions;
    };
    await run(1);
    const repetitions = Math.min(1000, Math.max(atLeast, Math.round(100 / (await run(1)))));
    let least = Infinity;
    for (let sample = 0; sample < samples; sample++) least = Math.min(least, await run(repetitions));
    return least;
  };
  const gflops = groups * OPERATIONS / 1e6 / (await best(multiplyAdd, groups));
  const gbytes = 2 * bytes / 1e6 / (await best(copy, bytes / 16 / 4 / 256));
  const emptyDispatch = await best(empty, 1, 1000); // last, at a high clock
  release();
  return { gflops, gbytes, emptyDispatch };
}

export const isSoftware = (info: GPUAdapterInfo): boolean =>
  /swiftshader|llvmpipe|lavapipe|basic render/i.test(describe(info));

export const describe = ({ vendor, architecture, device, description }: GPUAdapterInfo): string =>
  [vendor, architecture, device, description].filter(Boolean).join(' ');

/** Records `record` so often in one pass, and waits. */
export async function repeat(
  device: GPUDevice, repetitions: number, record: (pass: GPUComputePassEncoder) => void,
): Promise<void> {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (let i = 0; i < repetitions; i++) record(pass);
  pass.end();
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
}

/** The entry points of one WGSL file, with one bind group layout. */
function program(device: GPUDevice, code: string, uniforms: boolean) {
  const module = device.createShaderModule({ code });
  const types: GPUBufferBindingType[] = [
    ...(uniforms ? ['uniform' as const, 'read-only-storage' as const] : []), 'read-only-storage', 'storage',
  ];
  const layout = device.createBindGroupLayout({
    entries: types.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
  });
  const pipelineLayout = device.createPipelineLayout({ bindGroupLayouts: [layout] });
  const pipeline = (entryPoint: string): Promise<GPUComputePipeline> =>
    device.createComputePipelineAsync({ layout: pipelineLayout, compute: { module, entryPoint } });
  return { layout, pipeline };
}

/** A buffer with these contents, or of so many bytes. */
export function storage(
  device: GPUDevice, content: Float32Array | Int32Array | number, usage: GPUBufferUsageFlags = GPUBufferUsage.STORAGE,
): GPUBuffer {
  const size = typeof content === 'number' ? content : content.byteLength;
  const buffer = device.createBuffer({ size, usage: usage | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
  if (typeof content !== 'number') device.queue.writeBuffer(buffer, 0, content as Float32Array<ArrayBuffer>);
  return buffer;
}

/** A buffer's contents, also of a peer's. */
export async function read(device: GPUDevice, buffer: GPUBuffer): Promise<Float32Array> {
  const readable = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, readable, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await readable.mapAsync(GPUMapMode.READ);
  const data = new Float32Array(readable.getMappedRange().slice(0));
  readable.destroy();
  return data;
}

export function destroy(...buffers: readonly GPUBuffer[]): void {
  for (const buffer of buffers) buffer.destroy();
}
