/// <reference lib="esnext.disposable" preserve="true" />
import { type Binding, resolveBinding, type Shared } from './convolution.js';
import { type ConvolutionDescriptor, resolveDescriptor, WEIGHTS } from './descriptor.js';
import { checked } from './device.js';
import { SepconvError, UnsupportedError, ValueError } from './errors.js';
import {
  checkTensorOf, operation, outputShape, type ResultArray, type SeparableConv2dGradients, type Shape4D, type Tensor4D,
  type TensorArgument,
} from './geometry.js';
import {
  GIVEN, type GivenName, type GradientName, type GradientPlan, GRADIENTS, planGradients, type Step, stepsFor, TEMPORARIES, type Value,
} from './gradient-plan.js';
import { readTensor } from './options.js';
import { borrowedWeights, filterTexture, uploader, weightData } from './weights.js';

/**
 * What `Gradients.encode` reads, and where it writes the gradients that are asked for: buffers or ranges of usage STORAGE, dense
 * float32.
 */
export interface GradientTargets {
  /** The loss's gradient with respect to the output, `[N, OH, OW, O]`. */
  readonly outputGradient: GPUBuffer | GPUBufferBinding;
  /** `[N, H, W, C]` */
  readonly input: GPUBuffer | GPUBufferBinding;
  /** The depthwise result `[N, OH, OW, C*M]`, each pixel's channels filled up to a multiple of 4 with zeros; else it is computed again. */
  readonly intermediate?: GPUBuffer | GPUBufferBinding | undefined;
  /** The output `[N, OH, OW, O]`; else it is computed again where an activation's derivative needs it. */
  readonly output?: GPUBuffer | GPUBufferBinding | undefined;
  /** Written: `[N, H, W, C]`. */
  readonly inputGradient?: GPUBuffer | GPUBufferBinding | undefined;
  /** Written: `[KH, KW, C, M]`. */
  readonly depthwiseFilterGradient?: GPUBuffer | GPUBufferBinding | undefined;
  /** Written: `[1, 1, C*M, O]`. */
  readonly pointwiseFilterGradient?: GPUBuffer | GPUBufferBinding | undefined;
  /** Written: `[C*M]`. */
  readonly depthwiseBiasGradient?: GPUBuffer | GPUBufferBinding | undefined;
  /** Written: `[O]`. */
  readonly biasGradient?: GPUBuffer | GPUBufferBinding | undefined;
}

interface Stage extends Step {
  readonly pipeline: GPUComputePipeline;
  readonly uniforms: GPUBuffer;
}

type Resource = Binding | GPUTextureView | GPUSampler;

interface Parts {
  readonly stages: readonly Stage[];
  /** Weights, temporaries and zeros. */
  readonly bindings: ReadonlyMap<Value, Resource>;
  /** What to destroy with the gradients. */
  readonly owned: readonly (GPUBuffer | GPUTexture)[];
  readonly scratch: readonly GPUBuffer[];
}

/** Stages with their bind groups for one set of the caller's buffers. */
interface Bound {
  readonly given: ReadonlyMap<Value, Binding>;
  readonly written: ReadonlyMap<Value, Binding>;
  readonly stages: readonly { readonly stage: Stage; readonly group: GPUBindGroup }[];
}

/** Sets of caller's buffers whose bind groups are kept, for callers that alternate between a few. */
const MOST_BOUND = 4;

/** Makes gradients ready to run: checks, compiles, uploads. @throws ValueError, UnsupportedError, DeviceLostError */
export async function prepareGradients(shared: Shared, descriptor: ConvolutionDescriptor): Promise<Gradients> {
  const geometry = resolveDescriptor(descriptor);
  const op = operation(descriptor.name);
  shared.checkUsable(op);
  if (descriptor.dtype === 'f16') throw new UnsupportedError(`${op}: gradients need dtype 'f32', got 'f16'`);
  const plan = planGradients(geometry, shared.profile, descriptor.name);
  const { steps, byteLengths, textures } = plan;
  const { device, pipelines } = shared;
  const bindings = new Map<Value, Resource>(borrowedWeights(device, op, descriptor, byteLengths));
  const owned: (GPUBuffer | GPUTexture)[] = [];
  const scratch: GPUBuffer[] = [];
  try {
    const compiled = await Promise.all(steps.map(({ dispatch }) => pipelines.pipeline(dispatch)));
    shared.checkUsable(op);
    const stages = await checked(device, op, () => {
      const upload = uploader(device, op, owned);
      for (const value of [...WEIGHTS, 'zeros'] as const) {
        if (bindings.has(value)) continue;
        const data = value === 'zeros' ? undefined : weightData(op, descriptor, value);
        bindings.set(value, { buffer: upload(value, byteLengths[value], data, GPUBufferUsage.STORAGE), offset: 0, size: byteLengths[value] });
      }
      for (const value of [...TEMPORARIES, 'intermediate', 'output'] as const) {
        if (!steps.some(({ writes }) => writes === value)) continue;
        const buffer = shared.scratch.acquire(byteLengths[value], value);
        scratch.push(buffer);
        bindings.set(value, { buffer, offset: 0, size: byteLengths[value] });
      }
      for (const [value, [rows, columns]] of textures) {
        bindings.set(value, filterTexture(device, op, owned, rows, columns));
        bindings.set('nearest', pipelines.nearest);
      }
      return steps.map((step, index): Stage => ({
        ...step, pipeline: compiled[index]!,
        uniforms: upload(`${step.dispatch.kernel} uniforms`, step.dispatch.uniforms.byteLength, step.dispatch.uniforms, GPUBufferUsage.UNIFORM),
      }));
    });
    return new Gradients(shared, descriptor, plan, outputShape(geometry), { stages, bindings, owned, scratch });
  } catch (error) {
    for (const resource of owned) resource.destroy();
    for (const buffer of scratch) shared.scratch.release(buffer);
    throw await shared.explain(op, error);
  }
}

/** The backward pass of a convolution, ready to run. Made by `PipelineManager.prepareGradients`. */
export class Gradients {
  /** The caller's name, or `'separableConv2d'`. */
  readonly label: string;
  /** `[N, H, W, C]` */
  readonly inputShape: Shape4D;
  /** `[N, OH, OW, O]`, also of the gradient that comes in. */
  readonly outputShape: Shape4D;
  /** Bytes of each gradient. */
  readonly byteLengths: Readonly<Record<GradientName, number>>;
  readonly #op: string;
  readonly #shared: Shared;
  readonly #descriptor: ConvolutionDescriptor;
  readonly #plan: GradientPlan;
  readonly #parts: Parts;
  #recent: readonly Bound[] = [];
  #destroyed = false;

  /** @internal */
  constructor(shared: Shared, descriptor: ConvolutionDescriptor, plan: GradientPlan, output: Shape4D, parts: Parts) {
    this.label = descriptor.name ?? 'separableConv2d';
    this.inputShape = [...(descriptor.inputShape as Shape4D)];
    this.outputShape = output;
    this.byteLengths = Object.fromEntries(GRADIENTS.map((name) => [name, plan.byteLengths[name]])) as Record<GradientName, number>;
    this.#op = operation(descriptor.name);
    this.#shared = shared;
    this.#descriptor = descriptor;
    this.#plan = plan;
    this.#parts = parts;
  }

  /**
   * Records what the gradients asked for need, and no more, into the caller's compute pass; the pass's pipeline and bind
   * group 0 change. Never submits, allocates buffers or waits. The recorded work needs these gradients to stay undestroyed
   * until it is submitted. The same values give the same gradients bit for bit.
   * @throws ValueError for buffers that are too small, misaligned, of the wrong usage, or both read and written
   */
  encode(pass: GPUComputePassEncoder, targets: GradientTargets): void {
    this.#checkUsable();
    const { stages } = this.#bound(targets);
    if (stages.length === 0) return;
    pass.pushDebugGroup(`${this.label} gradients`);
    for (const { stage: { pipeline, dispatch }, group } of stages) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...dispatch.grid);
    }
    pass.popDebugGroup();
  }

  /**
   * Uploads, runs, and reads back all gradients: each of its argument's shape, those of biases only where there are any.
   * Calls may overlap.
   * @throws ValueError unless the tensors have this convolution's shapes; DeviceLostError
   */
  async run(outputGradient: TensorArgument, input: TensorArgument): Promise<SeparableConv2dGradients> {
    this.#checkUsable();
    const [dy, x] = [readTensor(`${this.#op}: outputGradient`, outputGradient), readTensor(`${this.#op}: input`, input)];
    checkTensorOf(`${this.#op}: outputGradient`, this.outputShape, dy);
    checkTensorOf(`${this.#op}: input`, this.inputShape, x);
    const { depthwiseFilter, pointwiseFilter, depthwiseBias, bias } = this.#descriptor;
    const wanted = GRADIENTS.filter((name) =>
      (name !== 'depthwiseBiasGradient' || depthwiseBias) && (name !== 'biasGradient' || bias) && this.byteLengths[name] > 0);
    const results = await this.#run(wanted, { outputGradient: dy, input: x });
    const data = (name: GradientName): ResultArray => results.get(name) ?? new Float32Array(0);
    return {
      input: { shape: this.inputShape, data: data('inputGradient') },
      depthwiseFilter: { shape: depthwiseFilter.shape as Shape4D, data: data('depthwiseFilterGradient') },
      pointwiseFilter: { shape: pointwiseFilter.shape as Shape4D, data: data('pointwiseFilterGradient') },
      ...(depthwiseBias && { depthwiseBias: data('depthwiseBiasGradient') }),
      ...(bias && { bias: data('biasGradient') }),
    };
  }

  /** Frees what `prepareGradients` made; buffers that the caller passed in stay. Twice is harmless. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#recent = [];
    for (const resource of this.#parts.owned) resource.destroy();
    for (const buffer of this.#parts.scratch) this.#shared.scratch.release(buffer);
    this.#shared.forget(this);
  }

  /** The same as `destroy`, for `using`; where the environment has `Symbol.dispose`. */
  declare [Symbol.dispose]: () => void;
  static {
    if (Symbol.dispose) this.prototype[Symbol.dispose] = function dispose(this: Gradients) { this.destroy(); };
  }

  async #run(
    wanted: readonly GradientName[], given: Readonly<Record<'outputGradient' | 'input', Tensor4D>>,
  ): Promise<ReadonlyMap<GradientName, ResultArray>> {
    const { device, buffers } = this.#shared;
    const held: GPUBuffer[] = [];
    const hold = (what: string, byteLength: number, usage: number): GPUBuffer => {
      const buffer = buffers.acquire(byteLength, usage, `${this.#op} ${what}`);
      held.push(buffer);
      return buffer;
    };
    const total = wanted.reduce((sum, name) => sum + this.byteLengths[name], 0);
    try {
      let mapped: Promise<undefined> | undefined;
      const readback = await checked(device, this.#op, () => {
        const upload = (name: 'outputGradient' | 'input'): GPUBuffer => {
          const buffer = hold(name, given[name].data.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
          if (given[name].data.length > 0) device.queue.writeBuffer(buffer, 0, given[name].data as Float32Array<ArrayBuffer>);
          return buffer;
        };
        const results = wanted.map((name) =>
          [name, hold(name, this.byteLengths[name], GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC)] as const);
        const readable = hold('readback', total, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
        const encoder = device.createCommandEncoder({ label: this.#op });
        const pass = encoder.beginComputePass({ label: this.#op });
        this.encode(pass, { outputGradient: upload('outputGradient'), input: upload('input'), ...Object.fromEntries(results) });
        pass.end();
        let offset = 0;
        for (const [name, buffer] of results) {
          encoder.copyBufferToBuffer(buffer, 0, readable, offset, this.byteLengths[name]);
          offset += this.byteLengths[name];
        }
        device.queue.submit([encoder.finish({ label: this.#op })]);
        mapped = readable.mapAsync(GPUMapMode.READ, 0, total);
        mapped.catch(() => undefined); // Reported below, after the scopes, whose errors say more.
        return readable;
      });
      await mapped;
      const data = new Float32Array(readback.getMappedRange(0, total).slice(0));
      readback.unmap();
      for (const buffer of held) buffers.release(buffer);
      let offset = 0;
      return new Map(wanted.map((name) => {
        const start = offset / 4;
        offset += this.byteLengths[name];
        return [name, data.slice(start, offset / 4)];
      }));
    } catch (error) {
      for (const buffer of held) buffer.destroy();
      throw await this.#shared.explain(this.#op, error);
    }
  }

  #checkUsable(): void {
    if (this.#destroyed) throw new SepconvError(`${this.#op}: these gradients were destroyed`);
    this.#shared.checkUsable(this.#op);
  }

  #bound(targets: GradientTargets): Bound {
    const given = this.#resolve(targets, GIVEN);
    const written = this.#resolve(targets, GRADIENTS);
    const known = this.#recent.find((bound) => sameBindings(bound.given, given) && sameBindings(bound.written, written));
    if (known) return known;
    const bindings = new Map([...this.#parts.bindings, ...given, ...written]);
    const resolve = (value: Value): Resource => bindings.get(value) ?? bindings.get('zeros')!; // An empty input is never read.
    const steps = stepsFor(this.#parts.stages, written.keys(), given);
    this.#checkApart(steps, written, resolve);
    const stages = steps.map((stage) => {
      const { dispatch: { name, bindings: kinds }, reads, writes, uniforms } = stage;
      const resources = [{ buffer: uniforms }, ...[...reads, writes].map(resolve)];
      const group = this.#shared.device.createBindGroup({
        label: `${this.#op} ${name}`,
        layout: this.#shared.pipelines.layout(kinds),
        entries: resources.map((resource, binding) => ({ binding, resource })),
      });
      return { stage, group };
    });
    const bound = { given, written, stages };
    this.#recent = [bound, ...this.#recent].slice(0, MOST_BOUND);
    return bound;
  }

  /** The caller's buffers, checked; what has no elements needs none. */
  #resolve(targets: GradientTargets, names: readonly (GivenName | GradientName)[]): ReadonlyMap<Value, Binding> {
    const { byteLengths } = this.#plan;
    const wanted = names.filter((name) =>
      byteLengths[name] > 0 && (targets[name] !== undefined || name === 'outputGradient' || name === 'input'));
    return new Map(wanted.map((name) =>
      [name, resolveBinding(this.#shared.device, `${this.#op}: ${name}`, targets[name], byteLengths[name])]));
  }

  /** WebGPU lets no dispatch read and write one buffer, and what later steps read must not be overwritten. */
  #checkApart(steps: readonly Step[], written: ReadonlyMap<Value, Binding>, resolve: (value: Value) => Resource): void {
    for (const { reads, writes } of steps) {
      for (const [target, to] of written) {
        const clash = reads.find((value) => {
          const from = resolve(value);
          if (!('buffer' in from)) return false;
          const overlap = from.offset < to.offset + to.size && to.offset < from.offset + from.size;
          return from.buffer === to.buffer && (writes === target || overlap);
        });
        if (clash) throw new ValueError(`${this.#op}: ${target} must be another buffer than ${clash}, got the same`);
      }
    }
  }
}

function sameBindings(a: ReadonlyMap<Value, Binding>, b: ReadonlyMap<Value, Binding>): boolean {
  return a.size === b.size && [...a].every(([value, { buffer, offset }]) => {
    const other = b.get(value);
    return other?.buffer === buffer && other.offset === offset;
  });
}
