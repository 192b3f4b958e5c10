/// <reference lib="esnext.disposable" preserve="true" />
import type { Call } from './arguments/call.js';
import type { PlannedStrategy } from './arguments/descriptor.js';
import { SepconvError, UnsupportedError, ValueError } from './arguments/errors.js';
import { additionsOf, type AdditionTensors, readAdditions } from './arguments/additions.js';
import {
  checkTensorOf, elementBytes, elements, type Geometry, outputShape, type ResultArray, type ResultTensor, type Shape4D,
  type TensorArgument,
} from './arguments/geometry.js';
import { readTensor } from './arguments/reading.js';
import { type Binding, checkTargets, resolveBinding } from './gpu/bindings.js';
import { bindMethods } from './bind-methods.js';
import { Program, type Shared } from './gpu/program.js';
import type { Choice } from './plan/choice.js';
import { type ForwardPlan, planForward } from './plan/forward.js';
import { byteLengthOf, type Step } from './plan/steps.js';

/** Where `encode` reads and writes: whole buffers, or ranges of them. */
export interface EncodeTargets {
  /** Dense `[N, H, W, C]` of the `dtype`; usage STORAGE. */
  readonly input: GPUBuffer | GPUBufferBinding;
  /** Dense `[N, OH, OW, O]` of the `dtype`, overwritten; without a pointwise pass `O` is `C*M`. Usage STORAGE. */
  readonly output: GPUBuffer | GPUBufferBinding;
  /**
   * Where to leave the depthwise result for `Gradients.encode`, with strategy `'two-pass'` only: float32
   * `[N, OH, OW, C*M]`, each pixel's channels filled up to a multiple of 4 with zeros; usage STORAGE.
   */
  readonly intermediate?: GPUBuffer | GPUBufferBinding | undefined;
  /**
   * With `residual: true`: laid out as the output is. It may be the input's buffer, but never the output's, because
   * WebGPU lets no dispatch read and write one buffer.
   */
  readonly residual?: GPUBuffer | GPUBufferBinding | undefined;
  /** With `inputScale: true`: dense `[N, C*M]` of the `dtype`, in a multiple of 4 bytes; usage STORAGE. */
  readonly inputScale?: GPUBuffer | GPUBufferBinding | undefined;
}

/** Plans a convolution and puts it on the device. @throws ValueError, UnsupportedError, DeviceLostError */
export async function prepareConvolution(shared: Shared, call: Call, choice?: Choice): Promise<Convolution> {
  const plan = planForward(call, shared.profile, choice);
  return new Convolution(shared, call, plan, await Program.create(shared, call, call.label, plan.portions));
}

/** A convolution ready to run on inputs of one shape. Made by `PipelineManager.prepare`. */
export class Convolution {
  /** The caller's name, or the operation's, as `'separableConv2d'`. */
  readonly label: string;
  /** `[N, H, W, C]` */
  readonly inputShape: Shape4D;
  /** `[N, OH, OW, O]` */
  readonly outputShape: Shape4D;
  /** Bytes that `encode` reads of its input, a multiple of 4. */
  readonly inputByteLength: number;
  /** Bytes that `encode` writes to its output, a multiple of 4. */
  readonly outputByteLength: number;
  /** Bytes that `encode` reads and writes of each of its targets, a multiple of 4. @internal */
  readonly byteLengths: Readonly<Record<string, number>>;
  /** What was asked for, or what `'auto'` came to; where there is only one pass, its name. */
  readonly strategy: PlannedStrategy;
  /** Names of the kernel variants in the order of their dispatches; none for an empty output. */
  readonly kernels: readonly string[];
  readonly #op: string;
  readonly #geometry: Geometry;
  readonly #shared: Shared;
  readonly #plan: ForwardPlan;
  readonly #program: Program;
  #destroyed = false;

  /** @internal */
  constructor(shared: Shared, { op, label, geometry }: Call, plan: ForwardPlan, program: Program) {
    const { N, H, W, C } = geometry;
    const storedBytes = (shape: Shape4D) => Math.ceil(elements(shape) * elementBytes(geometry.dtype) / 4) * 4;
    this.label = label;
    this.inputShape = [N, H, W, C];
    this.outputShape = outputShape(geometry);
    this.inputByteLength = storedBytes(this.inputShape);
    this.outputByteLength = storedBytes(this.outputShape);
    this.byteLengths = Object.fromEntries([...plan.portions[0].places].flatMap(([name, place]) =>
      (place.kind === 'caller' && place.byteLength > 0 ? [[name, place.byteLength]] : [])));
    this.strategy = plan.strategy;
    this.kernels = plan.portions.flatMap((portion) => stepsOf(portion).map(({ dispatch }) => dispatch.name));
    this.#op = op;
    this.#geometry = geometry;
    this.#shared = shared;
    this.#plan = plan;
    this.#program = program;
    bindMethods(this, 'encode', 'run', 'destroy');
  }

  /**
   * Records the convolution into the caller's compute pass; the pass's pipeline and bind group 0 change. Never submits,
   * allocates buffers or waits. The recorded work needs this convolution to stay undestroyed until it is submitted.
   * @throws ValueError for what is no compute pass, for buffers that are too small, misaligned or of the wrong usage,
   * and for an output that would overwrite what is still read; UnsupportedError where a tensor is larger than a buffer
   * of this device can be, so that only `run` can compute it
   */
  encode(pass: GPUComputePassEncoder, targets: EncodeTargets): void {
    this.#checkUsable();
    const additions = additionsOf(this.#geometry);
    checkTargets(this.#op, targets, ['input', 'output', 'intermediate', ...additions]);
    const { portions: [portion, ...others] } = this.#plan;
    const { device } = this.#shared;
    if (others.length > 0) {
      throw new UnsupportedError(`${this.#op}: encode needs input and output of at most ${device.limits.maxBufferSize} `
        + `bytes, which is what a buffer of this device can have, got ${this.inputByteLength} and `
        + `${this.outputByteLength}: use run`);
    }
    const steps = stepsOf(portion);
    if (steps.length === 0) return;
    const { intermediate } = targets;
    if (intermediate !== undefined && (this.strategy !== 'two-pass' || isBanded(steps))) {
      const where = this.strategy === 'two-pass' ? 'where tensors are computed in bands, which share it'
        : `for strategy '${this.strategy}', which never stores it`;
      throw new ValueError(`${this.#op}: intermediate must be absent ${where}, got a buffer`);
    }
    const bindings = new Map<string, Binding>();
    for (const name of ['input', 'output', 'intermediate', ...additions] as const) {
      const byteLength = byteLengthOf(portion.places.get(name));
      // An empty input is never read.
      if (name === 'intermediate' ? intermediate === undefined : byteLength === 0) continue;
      bindings.set(name, resolveBinding(device, `${this.#op}: ${name}`, targets[name], byteLength));
    }
    this.#program.encode(pass, bindings, 0, () => steps);
  }

  /**
   * Uploads `input`, runs, and reads back `[N, OH, OW, O]`. Calls may overlap. Leave all data unchanged until then.
   * @throws ValueError unless `input` has this convolution's shape, and `additions` are those that it has;
   * DeviceLostError
   */
  async run(input: TensorArgument, additions: AdditionTensors = {}): Promise<ResultTensor> {
    this.#checkUsable();
    const others = readAdditions(this.#op, this.#geometry, additions);
    const x = readTensor(`${this.#op}: input`, input);
    checkTensorOf(`${this.#op}: input`, this.inputShape, x, ' as prepared');
    const shape = this.outputShape;
    const { length } = x.data;
    const { portions } = this.#plan;
    if (this.outputByteLength === 0) return { shape, data: new Float32Array(0) };
    if (portions.length === 1) return { shape, data: await this.#runPortion(x.data, others, 0) };
    const data = new Float32Array(elements(shape));
    for (const [index, portion] of portions.entries()) {
      const { offset, size } = portion.input;
      if (x.data.length !== length) {
        throw new ValueError(`${this.#op}: input must keep its data until run resolves, got ${x.data.length} elements `
          + `of ${length}`);
      }
      const ofPortion = new Map([...others].map(([name, whole]) => {
        const part = name === 'residual' ? portion.output : portion.inputScale;
        return [name, whole.subarray(part.offset, part.offset + part.size)] as const;
      }));
      const result = await this.#runPortion(x.data.subarray(offset, offset + size), ofPortion, index);
      data.set(result, portion.output.offset);
      this.#checkUsable();
    }
    return { shape, data };
  }

  async #runPortion(
    input: Float32Array, others: ReadonlyMap<string, Float32Array>, index: number,
  ): Promise<ResultArray> {
    const portion = this.#plan.portions[index]!;
    const outputs = new Map([['output', portion.output.size]]);
    const inputs = new Map([['input', input], ...others]);
    const results = await this.#program.run(inputs, outputs, index, () => stepsOf(portion));
    return results.get('output')!;
  }

  /** Frees what `prepare` made; buffers that the caller passed in stay. Twice is harmless. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#program.destroy();
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
}

/** What runs each time. */
const stepsOf = ({ steps }: { readonly steps: readonly Step[] }): readonly Step[] => steps.filter(({ once }) => !once);

const isBanded = (steps: readonly Step[]): boolean =>
  steps.filter(({ writes }) => writes.value === 'output').length > 1;
