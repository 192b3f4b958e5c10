import type { BufferPool, Scratch } from './buffers.js';
import { type ConvolutionDescriptor, isGpuTensor, resolveDescriptor } from './descriptor.js';
import { checked } from './device.js';
import { SepconvError, show, ValueError } from './errors.js';
import { checkTensor, operation, outputShape, type Shape4D, type Tensor4D } from './geometry.js';
import { kernels, type Operand } from './kernels.js';
import type { PipelineCache } from './pipelines.js';
import { type Choice, type Dispatch, type Plan, plan } from './plan.js';
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
  /** Dense float32 `[N, H, W, C]`; usage STORAGE. */
  readonly input: GPUBuffer | GPUBufferBinding;
  /** Dense float32 `[N, OH, OW, O]`, overwritten; usage STORAGE. */
  readonly output: GPUBuffer | GPUBufferBinding;
  /**
   * Where to leave the depthwise result for `Gradients.encode`, with strategy `'two-pass'` only: float32
   * `[N, OH, OW, C*M]`, each pixel's channels filled up to a multiple of 4 with zeros; usage STORAGE.
   */
  readonly intermediate?: GPUBuffer | GPUBufferBinding;
}

export type Binding = Required<GPUBufferBinding>;
type Operands = Readonly<Record<Operand, Binding>>;

const WEIGHTS = ['depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias'] as const;
type Weight = (typeof WEIGHTS)[number];

/** A dispatch with all that it needs but the caller's buffers. */
interface Stage {
  readonly dispatch: Dispatch;
  readonly pipeline: GPUComputePipeline;
  readonly uniforms: GPUBuffer;
}

interface Parts {
  readonly stages: readonly Stage[];
  /** Filters, biases and the intermediate. */
  readonly bindings: Omit<Operands, 'input' | 'output'>;
  /** Buffers to destroy with the convolution. */
  readonly owned: readonly GPUBuffer[];
  readonly scratch: GPUBuffer | undefined;
}

interface BoundStages {
  readonly targets: readonly Binding[];
  readonly groups: readonly GPUBindGroup[];
}

/** Pairs of caller's buffers whose bind groups a convolution keeps, for callers that alternate between a few. */
const MOST_BOUND = 4;

/** Makes a convolution ready to run: checks, compiles, uploads. @throws ValueError, UnsupportedError, DeviceLostError */
export async function prepareConvolution(
  shared: Shared, descriptor: ConvolutionDescriptor, choice?: Choice,
): Promise<Convolution> {
  const geometry = resolveDescriptor(descriptor);
  const op = operation(descriptor.name);
  shared.checkUsable(op);
  const planned = plan(geometry, shared.profile, choice?.strategy ?? descriptor.strategy, descriptor.name, choice?.preset);
  const { device, pipelines } = shared;
  const borrowed = new Map<Weight, Binding>();
  for (const weight of WEIGHTS) {
    const tensor = descriptor[weight];
    if (isGpuTensor(tensor)) {
      borrowed.set(weight, resolveBinding(device, `${op}: ${weight}`, { offset: 0, ...tensor }, planned.byteLengths[weight]));
    }
  }
  const owned: GPUBuffer[] = [];
  let scratch: GPUBuffer | undefined;
  try {
    const compiled = await Promise.all(planned.dispatches.map((dispatch) => pipelines.pipeline(dispatch)));
    shared.checkUsable(op);
    const parts = await checked(device, op, (): Parts => {
      const upload = (what: string, byteLength: number, data: ArrayBuffer | Float32Array | undefined, usage: number): GPUBuffer => {
        const size = Math.max(16, Math.ceil(byteLength / 16) * 16);
        const buffer = device.createBuffer({ label: `${op} ${what}`, size, usage: usage | GPUBufferUsage.COPY_DST });
        owned.push(buffer);
        if (data) device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
        return buffer;
      };
      /** Absent biases are zeros. */
      const bind = (weight: Weight): Binding => {
        const given = borrowed.get(weight);
        if (given) return given;
        const tensor = descriptor[weight];
        const size = planned.byteLengths[weight];
        const data = tensor && 'data' in tensor ? tensor.data : tensor as Float32Array | undefined;
        return { buffer: upload(weight, size, data, GPUBufferUsage.STORAGE), offset: 0, size };
      };
      const stages = planned.dispatches.map((dispatch, index) => ({
        dispatch, pipeline: compiled[index]!,
        uniforms: upload(`${dispatch.kernel} uniforms`, dispatch.uniforms.byteLength, dispatch.uniforms, GPUBufferUsage.UNIFORM),
      }));
      const weights = {
        depthwiseFilter: bind('depthwiseFilter'), depthwiseBias: bind('depthwiseBias'),
        pointwiseFilter: bind('pointwiseFilter'), bias: bind('bias'),
      };
      const size = planned.byteLengths.intermediate;
      scratch = stages.length > 1 ? shared.scratch.acquire(size) : undefined;
      const intermediate = scratch ? { buffer: scratch, offset: 0, size } : weights.bias; // Unused by a fused kernel.
      return { stages, owned, scratch, bindings: { ...weights, intermediate } };
    });
    return new Convolution(shared, descriptor, planned, outputShape(geometry), parts);
  } catch (error) {
    for (const buffer of owned) buffer.destroy();
    if (scratch) shared.scratch.release(scratch);
    throw await shared.explain(op, error);
  }
}

/** A convolution ready to run on inputs of one shape. Made by `PipelineManager.prepare`. */
export class Convolution {
  /** The caller's name, or `'separableConv2d'`. */
  readonly label: string;
  /** `[N, H, W, C]` */
  readonly inputShape: Shape4D;
  /** `[N, OH, OW, O]` */
  readonly outputShape: Shape4D;
  readonly outputByteLength: number;
  readonly strategy: 'fused' | 'two-pass';
  /** Names of the kernel variants in the order of their dispatches; none for an empty output. */
  readonly kernels: readonly string[];
  readonly #op: string;
  readonly #shared: Shared;
  readonly #plan: Plan;
  readonly #parts: Parts;
  #recent: readonly BoundStages[] = [];
  #destroyed = false;

  /** @internal */
  constructor(shared: Shared, descriptor: ConvolutionDescriptor, planned: Plan, output: Shape4D, parts: Parts) {
    this.label = descriptor.name ?? 'separableConv2d';
    this.inputShape = [...descriptor.inputShape];
    this.outputShape = output;
    this.outputByteLength = planned.byteLengths.output;
    this.strategy = planned.strategy;
    this.kernels = planned.dispatches.map(({ name }) => name);
    this.#op = operation(descriptor.name);
    this.#shared = shared;
    this.#plan = planned;
    this.#parts = parts;
  }

  /**
   * Records the convolution into the caller's compute pass; the pass's pipeline and bind group 0 change. Never submits,
   * allocates buffers or waits. The recorded work needs this convolution to stay undestroyed until it is submitted.
   * @throws ValueError for buffers that are too small, misaligned or of the wrong usage
   */
  encode(pass: GPUComputePassEncoder, { input, output, intermediate }: EncodeTargets): void {
    this.#checkUsable();
    if (this.#parts.stages.length === 0) return;
    const { device } = this.#shared;
    const { byteLengths } = this.#plan;
    const from = byteLengths.input === 0
      ? this.#parts.bindings.bias // An empty input is never read, but something must be bound.
      : resolveBinding(device, `${this.#op}: input`, input, byteLengths.input);
    const to = resolveBinding(device, `${this.#op}: output`, output, byteLengths.output);
    if (this.strategy === 'fused' && from.buffer === to.buffer) {
      throw new ValueError(`${this.#op}: output must be another buffer than input for strategy 'fused', because WebGPU lets no `
        + "dispatch read and write one buffer, got the same (strategy 'two-pass' can share it)");
    }
    if (this.strategy === 'fused' && intermediate) {
      throw new ValueError(`${this.#op}: intermediate must be absent for strategy 'fused', which never stores it, got a buffer`);
    }
    const between = intermediate && resolveBinding(device, `${this.#op}: intermediate`, intermediate, byteLengths.intermediate);
    const groups = this.#bind(from, to, between);
    pass.pushDebugGroup(this.label);
    for (const [index, { pipeline, dispatch }] of this.#parts.stages.entries()) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, groups[index]!);
      pass.dispatchWorkgroups(...dispatch.grid);
    }
    pass.popDebugGroup();
  }

  /**
   * Uploads `input`, runs, and reads back `[N, OH, OW, O]`. Calls may overlap.
   * @throws ValueError unless `input` has this convolution's shape; DeviceLostError
   */
  async run(input: Tensor4D): Promise<Tensor4D> {
    this.#checkUsable();
    checkTensor(`${this.#op}: input`, input);
    if (input.shape.some((extent, axis) => extent !== this.inputShape[axis])) {
      throw new ValueError(`${this.#op}: input must be ${show(this.inputShape)} as prepared, got ${show(input.shape)}`);
    }
    const shape = this.outputShape;
    if (this.outputByteLength === 0) return { shape, data: new Float32Array(0) };
    const { device, buffers } = this.#shared;
    const held: GPUBuffer[] = [];
    const hold = (what: string, byteLength: number, usage: number): GPUBuffer => {
      const buffer = buffers.acquire(byteLength, usage, `${this.#op} ${what}`);
      held.push(buffer);
      return buffer;
    };
    const size = this.outputByteLength;
    try {
      let mapped: Promise<undefined> | undefined;
      const readback = await checked(device, this.#op, () => {
        const source = hold('input', this.#plan.byteLengths.input, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
        const result = hold('output', size, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC);
        const readable = hold('readback', size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
        device.queue.writeBuffer(source, 0, input.data as Float32Array<ArrayBuffer>);
        const encoder = device.createCommandEncoder({ label: this.#op });
        const pass = encoder.beginComputePass({ label: this.#op });
        this.encode(pass, { input: source, output: result });
        pass.end();
        encoder.copyBufferToBuffer(result, 0, readable, 0, size);
        device.queue.submit([encoder.finish({ label: this.#op })]);
        mapped = readable.mapAsync(GPUMapMode.READ, 0, size);
        mapped.catch(() => undefined); // Reported below, after the scopes, whose errors say more.
        return readable;
      });
      await mapped;
      const data = new Float32Array(readback.getMappedRange(0, size).slice(0));
      readback.unmap();
      for (const buffer of held) buffers.release(buffer);
      return { shape, data };
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
    for (const buffer of this.#parts.owned) buffer.destroy();
    if (this.#parts.scratch) this.#shared.scratch.release(this.#parts.scratch);
    this.#shared.forget(this);
  }

  #checkUsable(): void {
    if (this.#destroyed) throw new SepconvError(`${this.#op}: this convolution was destroyed`);
    this.#shared.checkUsable(this.#op);
  }

  #bind(input: Binding, output: Binding, intermediate = this.#parts.bindings.intermediate): readonly GPUBindGroup[] {
    const targets = [input, output, intermediate];
    const known = this.#recent.find((bound) => bound.targets.every(({ buffer, offset }, index) =>
      buffer === targets[index]!.buffer && offset === targets[index]!.offset));
    if (known) return known.groups;
    const operands: Operands = { ...this.#parts.bindings, input, output, intermediate };
    const groups = this.#parts.stages.map(({ dispatch: { kernel, name }, uniforms }) => {
      const resources = [{ buffer: uniforms }, ...kernels[kernel].operands.map((operand) => operands[operand])];
      return this.#shared.device.createBindGroup({
        label: `${this.#op} ${name}`,
        layout: this.#shared.pipelines.layout(kernel),
        entries: resources.map((resource, binding) => ({ binding, resource })),
      });
    });
    this.#recent = [{ targets, groups }, ...this.#recent].slice(0, MOST_BOUND);
    return groups;
  }
}

/** Checks a caller's buffer or range. @throws ValueError */
export function resolveBinding(
  device: GPUDevice, where: string, target: GPUBuffer | GPUBufferBinding | undefined, byteLength: number,
): Binding {
  const { buffer, offset = 0, size } = target && 'buffer' in target ? target : { buffer: target, offset: 0, size: target?.size };
  if (!buffer || !(buffer.usage & GPUBufferUsage.STORAGE)) {
    throw new ValueError(`${where} must be a GPUBuffer with usage STORAGE, got ${show(buffer?.usage ?? target)}`);
  }
  const alignment = device.limits.minStorageBufferOffsetAlignment;
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % alignment !== 0) {
    throw new ValueError(`${where} offset must be a multiple of ${alignment}, got ${show(offset)}`);
  }
  const room = Math.min(size ?? Infinity, buffer.size - offset);
  if (room < byteLength) throw new ValueError(`${where} must have ${byteLength} bytes from its offset, got ${room}`);
  return { buffer, offset, size: byteLength };
}
