/// <reference lib="esnext.disposable" preserve="true" />
import type { BufferPool, Scratch } from './buffers.js';
import type { ConvolutionDescriptor } from './descriptor.js';
import { checked } from './device.js';
import { SepconvError, show, UnsupportedError, ValueError } from './errors.js';
import { fromFloat16, toFloat16 } from './float16.js';
import {
  checkTensor, type Dtype, elementBytes, elements, type Geometry, operation, outputShape, type ResultArray,
  type ResultTensor, type Shape4D, type TensorArgument,
} from './geometry.js';
import { type BufferOperand, kernels, type TextureOperand } from './kernels.js';
import { given, readTensor } from './options.js';
import type { PipelineCache } from './pipelines.js';
import type { BandDispatch, Plan, Range } from './plan.js';
import type { DeviceProfile } from './presets.js';

/** What the convolutions of one manager share. */
export interface Shared {
  readonly device: GPUDevice;
  readonly profile: DeviceProfile;
  readonly pipelines: PipelineCache;
  readonly buffers: BufferPool;
  readonly scratch: Scratch;
  /** @throws DeviceLostError or SepconvError when the manager can work no more */
  readonly checkUsable: (where: string) => void;
  /** The error to throw for one that the loss of the device may have caused. */
  readonly explain: (where: string, error: unknown) => Promise<unknown>;
  /** Called once when a convolution, or what computes its gradients, is destroyed. */
  readonly forget: (prepared: { destroy(): void }) => void;
}

/** Where `encode` reads and writes: whole buffers, or ranges of them. */
export interface EncodeTargets {
  /** Dense `[N, H, W, C]` of the `dtype`; usage STORAGE. */
  readonly input: GPUBuffer | GPUBufferBinding;
  /** Dense `[N, OH, OW, O]` of the `dtype`, overwritten; usage STORAGE. */
  readonly output: GPUBuffer | GPUBufferBinding;
  /**
   * Where to leave the depthwise result for `Gradients.encode`, with strategy `'two-pass'` only: float32
   * `[N, OH, OW, C*M]`, each pixel's channels filled up to a multiple of 4 with zeros; usage STORAGE.
   */
  readonly intermediate?: GPUBuffer | GPUBufferBinding | undefined;
}

export type Binding = Required<GPUBufferBinding>;
/** What dispatches bind; textures only where their kernels take any. */
type Operands = Readonly<Record<BufferOperand, Binding>> & Partial<Readonly<Record<TextureOperand, GPUTextureView | GPUSampler>>>;

/** A dispatch with all that it needs but the caller's buffers. */
export interface Stage {
  readonly dispatch: BandDispatch;
  readonly pipeline: GPUComputePipeline;
  readonly uniforms: GPUBuffer;
  /** Filters, biases and the intermediate. */
  readonly operands: Omit<Operands, 'input' | 'output'>;
}

/** What is computed between one upload and one readback: all of it, unless a tensor is larger than a buffer can be. */
export interface Portion {
  readonly plan: Plan;
  readonly stages: readonly Stage[];
  /** First element and count, in the whole input and output. */
  readonly input: Range;
  readonly output: Range;
}

export interface Parts {
  readonly portions: readonly [Portion, ...Portion[]];
  /** What to destroy with the convolution. */
  readonly owned: readonly (GPUBuffer | GPUTexture)[];
  readonly scratch: GPUBuffer | undefined;
}

interface BoundStages {
  readonly stages: readonly Stage[];
  readonly targets: readonly Binding[];
  readonly groups: readonly GPUBindGroup[];
}

/** Pairs of caller's buffers whose bind groups a convolution keeps, for callers that alternate between a few. */
const MOST_BOUND = 4;

/** A convolution ready to run on inputs of one shape. Made by `PipelineManager.prepare`. */
export class Convolution {
  /** The caller's name, or `'separableConv2d'`. */
  readonly label: string;
  /** `[N, H, W, C]` */
  readonly inputShape: Shape4D;
  /** `[N, OH, OW, O]` */
  readonly outputShape: Shape4D;
  /** Bytes that `encode` reads of its input, a multiple of 4. */
  readonly inputByteLength: number;
  /** Bytes that `encode` writes to its output, a multiple of 4. */
  readonly outputByteLength: number;
  /** What was asked for, or what `'auto'` came to. */
  readonly strategy: 'fused' | 'two-pass';
  /** Names of the kernel variants in the order of their dispatches; none for an empty output. */
  readonly kernels: readonly string[];
  readonly #op: string;
  readonly #dtype: Dtype;
  readonly #shared: Shared;
  readonly #parts: Parts;
  #recent: readonly BoundStages[] = [];
  #destroyed = false;

  /** @internal */
  constructor(shared: Shared, descriptor: ConvolutionDescriptor, geometry: Geometry, parts: Parts) {
    const storedBytes = (shape: Shape4D) => Math.ceil(elements(shape) * elementBytes(geometry.dtype) / 4) * 4;
    this.label = descriptor.name ?? 'separableConv2d';
    this.inputShape = [...(descriptor.inputShape as Shape4D)];
    this.outputShape = outputShape(geometry);
    this.inputByteLength = storedBytes(this.inputShape);
    this.outputByteLength = storedBytes(this.outputShape);
    this.strategy = parts.portions[0].plan.strategy;
    this.kernels = parts.portions.flatMap(({ stages }) => stages.map(({ dispatch }) => dispatch.name));
    this.#op = operation(descriptor.name);
    this.#dtype = geometry.dtype;
    this.#shared = shared;
    this.#parts = parts;
  }

  /**
   * Records the convolution into the caller's compute pass; the pass's pipeline and bind group 0 change. Never submits,
   * allocates buffers or waits. The recorded work needs this convolution to stay undestroyed until it is submitted.
   * @throws ValueError for buffers that are too small, misaligned or of the wrong usage; UnsupportedError where a tensor is
   * larger than a buffer of this device can be, so that only `run` can compute it
   */
  encode(pass: GPUComputePassEncoder, targets: EncodeTargets): void {
    this.#checkUsable();
    const { portions: [portion, ...others] } = this.#parts;
    if (others.length > 0) {
      throw new UnsupportedError(`${this.#op}: encode needs input and output of at most ${this.#shared.device.limits.maxBufferSize} `
        + `bytes, which is what a buffer of this device can have, got ${this.inputByteLength} and ${this.outputByteLength}: use run`);
    }
    this.#encode(pass, targets, portion);
  }

  #encode(pass: GPUComputePassEncoder, { input, output, intermediate }: EncodeTargets, { plan: { byteLengths }, stages }: Portion): void {
    if (stages.length === 0) return;
    const { device } = this.#shared;
    const from = byteLengths.input === 0
      ? stages[0]!.operands.bias // An empty input is never read, but something must be bound.
      : resolveBinding(device, `${this.#op}: input`, input, byteLengths.input);
    const to = resolveBinding(device, `${this.#op}: output`, output, byteLengths.output);
    if (this.strategy === 'fused' && from.buffer === to.buffer) {
      throw new ValueError(`${this.#op}: output must be another buffer than input for strategy 'fused', because WebGPU lets no `
        + "dispatch read and write one buffer, got the same (strategy 'two-pass' can share it)");
    }
    if (intermediate && (this.strategy === 'fused' || isBanded(stages))) {
      throw new ValueError(`${this.#op}: intermediate must be absent ${this.strategy === 'fused'
        ? "for strategy 'fused', which never stores it" : 'where tensors are computed in bands, which share it'}, got a buffer`);
    }
    const between = intermediate && resolveBinding(device, `${this.#op}: intermediate`, intermediate, byteLengths.intermediate);
    const groups = this.#bind(stages, between ? [from, to, between] : [from, to]);
    pass.pushDebugGroup(this.label);
    record(pass, stages, groups);
    pass.popDebugGroup();
  }

  /**
   * Uploads `input`, runs, and reads back `[N, OH, OW, O]`. Calls may overlap. Leave the input unchanged until then.
   * @throws ValueError unless `input` has this convolution's shape; DeviceLostError
   */
  async run(input: TensorArgument): Promise<ResultTensor> {
    this.#checkUsable();
    const x = readTensor(`${this.#op}: input`, input);
    checkTensor(`${this.#op}: input`, x);
    if (x.shape.some((extent, axis) => extent !== this.inputShape[axis])) {
      throw new ValueError(`${this.#op}: input must be ${show(this.inputShape)} as prepared, got ${show(x.shape)}`);
    }
    const shape = this.outputShape;
    if (this.outputByteLength === 0) return { shape, data: new Float32Array(0) };
    const [first, ...others] = this.#parts.portions;
    if (others.length === 0) return { shape, data: await this.#runPortion(x.data, first) };
    const data = new Float32Array(elements(shape));
    for (const portion of this.#parts.portions) {
      const { offset, size } = portion.input;
      if (x.data.length === 0) throw new ValueError(`${this.#op}: input must keep its data until run resolves, got a detached buffer`);
      data.set(await this.#runPortion(x.data.subarray(offset, offset + size), portion), portion.output.offset);
      this.#checkUsable();
    }
    return { shape, data };
  }

  async #runPortion(input: Float32Array, portion: Portion): Promise<ResultArray> {
    const { device, buffers } = this.#shared;
    const held: GPUBuffer[] = [];
    const hold = (what: string, byteLength: number, usage: number): GPUBuffer => {
      const buffer = buffers.acquire(byteLength, usage, `${this.#op} ${what}`);
      held.push(buffer);
      return buffer;
    };
    const { input: inputSize, output: size } = portion.plan.byteLengths;
    try {
      let mapped: Promise<undefined> | undefined;
      const readback = await checked(device, this.#op, () => {
        const source = hold('input', inputSize, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
        const result = hold('output', size, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC);
        const readable = hold('readback', size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
        if (input.length > 0) device.queue.writeBuffer(source, 0, stored(input, this.#dtype) as ArrayBufferView<ArrayBuffer>); // Deno panics at none.
        const encoder = device.createCommandEncoder({ label: this.#op });
        const pass = encoder.beginComputePass({ label: this.#op });
        this.#encode(pass, { input: source, output: result }, portion);
        pass.end();
        encoder.copyBufferToBuffer(result, 0, readable, 0, size);
        device.queue.submit([encoder.finish({ label: this.#op })]);
        mapped = readable.mapAsync(GPUMapMode.READ, 0, size);
        mapped.catch(() => undefined); // Reported below, after the scopes, whose errors say more.
        return readable;
      });
      await mapped;
      const bytes = readback.getMappedRange(0, size);
      const data = this.#dtype === 'f16' ? fromFloat16(bytes, portion.output.size) : new Float32Array(bytes.slice(0));
      readback.unmap();
      for (const buffer of held) buffers.release(buffer);
      return data;
    } catch (error) {
      for (const buffer of held) buffer.destroy();
      throw await this.#shared.explain(this.#op, error);
    }
  }

  /** Frees what `prepare` made; buffers that the caller passed in stay. Twice is harmless. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#recent = [];
    for (const resource of this.#parts.owned) resource.destroy();
    if (this.#parts.scratch) this.#shared.scratch.release(this.#parts.scratch);
    this.#shared.forget(this);
  }

  /** The same as `destroy`, for `using`; where the environment has `Symbol.dispose`. */
  declare [Symbol.dispose]: () => void;
  static {
    if (Symbol.dispose) this.prototype[Symbol.dispose] = function dispose(this: Convolution) { this.destroy(); };
  }

  #checkUsable(): void {
    if (this.#destroyed) throw new SepconvError(`${this.#op}: this convolution was destroyed`);
    this.#shared.checkUsable(this.#op);
  }

  #bind(stages: readonly Stage[], targets: readonly [input: Binding, output: Binding] | readonly [input: Binding, output: Binding, intermediate: Binding]): readonly GPUBindGroup[] {
    const known = this.#recent.find((bound) => bound.stages === stages && bound.targets.length === targets.length
      && bound.targets.every(({ buffer, offset }, index) => buffer === targets[index]!.buffer && offset === targets[index]!.offset));
    if (known) {
      if (known !== this.#recent[0]) this.#recent = [known, ...this.#recent.filter((bound) => bound !== known)];
      return known.groups;
    }
    const [input, output, intermediate] = targets;
    const groups = stages.map((stage) => bindGroup(this.#shared, this.#op, stage, {
      ...stage.operands, ...(intermediate && { intermediate }),
      input: within(input, stage.dispatch.input), output: within(output, stage.dispatch.output),
    }));
    this.#recent = [{ stages, targets, groups }, ...this.#recent].slice(0, MOST_BOUND);
    return groups;
  }
}

/** What a stage binds, where `operands` has all that its kernel takes. */
export function bindGroup(
  { device, pipelines }: Pick<Shared, 'device' | 'pipelines'>, op: string, { dispatch, uniforms }: Stage, operands: Partial<Operands>,
): GPUBindGroup {
  const resources = [{ buffer: uniforms, offset: 0, size: uniforms.size }, ...kernels[dispatch.kernel].operands.map((operand) => operands[operand]!)];
  return device.createBindGroup({
    label: `${op} ${dispatch.name}`,
    layout: pipelines.layout(dispatch.bindings),
    entries: resources.map((resource, binding) => ({ binding, resource })),
  });
}

export function record(pass: GPUComputePassEncoder, stages: readonly Stage[], groups: readonly GPUBindGroup[]): void {
  for (const [index, { pipeline, dispatch }] of stages.entries()) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, groups[index]!);
    pass.dispatchWorkgroups(...dispatch.grid);
  }
}

const isBanded = (stages: readonly Stage[]): boolean =>
  stages.filter(({ dispatch: { kernel } }) => kernels[kernel].operands.includes('output')).length > 1;

/** Numbers as the GPU stores them. */
export const stored = (data: Float32Array, dtype: Dtype): ArrayBufferView => (dtype === 'f16' ? toFloat16(data) : data);

/** What a dispatch binds of a caller's tensor; an empty range stands for all of it. */
const within = (whole: Binding, { offset, size }: Range): Binding =>
  (size === 0 ? whole : { buffer: whole.buffer, offset: whole.offset + offset, size });

/** Checks a caller's buffer or range. @throws ValueError */
export function resolveBinding(
  device: GPUDevice, where: string, target: GPUBuffer | GPUBufferBinding | undefined, byteLength: number,
): Binding {
  const own = (name: string): unknown => (typeof target === 'object' && target !== null ? given(target, name) : undefined);
  const part = own('buffer') as GPUBuffer | undefined;
  const buffer = part ?? target as GPUBuffer | undefined;
  const [offset, size] = part ? [own('offset') as number ?? 0, own('size') as number | undefined] : [0, undefined];
  if (!buffer || !(buffer.usage & GPUBufferUsage.STORAGE)) {
    throw new ValueError(`${where} must be a GPUBuffer with usage STORAGE, got ${show(buffer?.usage ?? target)}`);
  }
  const alignment = device.limits.minStorageBufferOffsetAlignment;
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % alignment !== 0) {
    throw new ValueError(`${where} offset must be a multiple of ${alignment}, got ${show(offset)}`);
  }
  if (size !== undefined && (!Number.isSafeInteger(size) || size < 0)) {
    throw new ValueError(`${where} size must be a non-negative integer, got ${show(size)}`);
  }
  const room = Math.min(size ?? Infinity, buffer.size - offset);
  if (room < byteLength) throw new ValueError(`${where} must have ${byteLength} bytes from its offset, got ${room}`);
  return { buffer, offset, size: byteLength };
}
