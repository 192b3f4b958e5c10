/// <reference lib="esnext.disposable" preserve="true" />
import type { Call } from './arguments/call.js';
import { type AdditionTensors, readAdditions } from './arguments/additions.js';
import { SepconvError, UnsupportedError, ValueError } from './arguments/errors.js';
import {
  checkTensorOf, type ConvolutionGradients, type Geometry, outputShape, type ResultArray, type Shape4D,
  type TensorArgument,
} from './arguments/geometry.js';
import { readTensor } from './arguments/reading.js';
import { type Binding, checkTargets, resolveBinding } from './gpu/bindings.js';
import { Program, type Shared } from './gpu/program.js';
import { bindMethods } from './bind-methods.js';
import { type GradientPlan, planBackward } from './plan/backward.js';
import { GIVEN, type GivenName, type GradientName, GRADIENTS, gradientsOf } from './plan/backward-values.js';
import { byteLengthOf, type Step } from './plan/steps.js';

/**
 * What `Gradients.encode` reads, and where it writes the gradients that are asked for: buffers or ranges of usage
 * STORAGE, dense float32. A pass alone has no `intermediate`, and no gradients of what it does not have.
 */
export interface GradientTargets {
  /** The loss's gradient with respect to the output, `[N, OH, OW, O]`. */
  readonly outputGradient: GPUBuffer | GPUBufferBinding;
  /** `[N, H, W, C]` */
  readonly input: GPUBuffer | GPUBufferBinding;
  /**
   * The depthwise result `[N, OH, OW, C*M]`, each pixel's channels filled up to a multiple of 4 with zeros; else it is
   * computed again.
   */
  readonly intermediate?: GPUBuffer | GPUBufferBinding | undefined;
  /** The output `[N, OH, OW, O]`; else it is computed again where an activation's derivative needs it. */
  readonly output?: GPUBuffer | GPUBufferBinding | undefined;
  /** With `residual: true`, where an activation's derivative needs it: `[N, OH, OW, O]`. */
  readonly residual?: GPUBuffer | GPUBufferBinding | undefined;
  /** With `inputScale: true`: `[N, C*M]`. */
  readonly inputScale?: GPUBuffer | GPUBufferBinding | undefined;
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
  /** Written: `[N, OH, OW, O]`. */
  readonly residualGradient?: GPUBuffer | GPUBufferBinding | undefined;
  /** Written: `[N, C*M]`. */
  readonly inputScaleGradient?: GPUBuffer | GPUBufferBinding | undefined;
}

/**
 * Plans the gradients of a convolution and puts them on the device.
 * @throws ValueError, UnsupportedError, DeviceLostError
 */
export async function prepareGradients(shared: Shared, call: Call): Promise<Gradients> {
  const { op, label, geometry } = call;
  shared.checkUsable(op);
  if (geometry.dtype === 'f16') throw new UnsupportedError(`${op}: gradients need dtype 'f32', got 'f16'`);
  const plan = planBackward(call, shared.profile);
  return new Gradients(shared, call, plan, await Program.create(shared, call, `${label} gradients`, [plan]));
}

/** What `encode` cannot be given for a geometry. */
const absentGivens = ({ passes, residual, inputScale }: Geometry): readonly GivenName[] => [
  ...(passes === 'both' ? [] : ['intermediate'] as const), ...(residual ? [] : ['residual'] as const),
  ...(inputScale ? [] : ['inputScale'] as const),
];

/** The backward pass of a convolution, ready to run. Made by `PipelineManager.prepareGradients`. */
export class Gradients {
  /** The caller's name, or the operation's, as `'separableConv2d'`. */
  readonly label: string;
  /** `[N, H, W, C]` */
  readonly inputShape: Shape4D;
  /** `[N, OH, OW, O]`, also of the gradient that comes in. */
  readonly outputShape: Shape4D;
  /** Bytes of each gradient; 0 for one that there is not. */
  readonly byteLengths: Readonly<Record<GradientName, number>>;
  readonly #op: string;
  readonly #shared: Shared;
  readonly #geometry: Geometry;
  /** Whether the convolution has the biases. The gradient of one that it lacks is not read back. */
  readonly #hasBias: Readonly<Partial<Record<GradientName, boolean>>>;
  readonly #plan: GradientPlan;
  readonly #program: Program;
  #destroyed = false;

  /** @internal */
  constructor(shared: Shared, { op, label, geometry, weights }: Call, plan: GradientPlan, program: Program) {
    const { N, H, W, C } = geometry;
    this.label = label;
    this.inputShape = [N, H, W, C];
    this.outputShape = outputShape(geometry);
    const byteLengths = GRADIENTS.map((name) => [name, byteLengthOf(plan.places.get(name))] as const);
    this.byteLengths = Object.fromEntries(byteLengths) as Record<GradientName, number>;
    this.#op = op;
    this.#shared = shared;
    this.#geometry = geometry;
    this.#hasBias = { depthwiseBiasGradient: weights.has('depthwiseBias'), biasGradient: weights.has('bias') };
    this.#plan = plan;
    this.#program = program;
    bindMethods(this, 'encode', 'run', 'destroy');
  }

  /**
   * Records what the gradients asked for need, and no more, into the caller's compute pass; the pass's pipeline and
   * bind group 0 change. Never submits, allocates buffers or waits. The recorded work needs these gradients to stay
   * undestroyed until it is submitted. The same values give the same gradients bit for bit.
   * @throws ValueError for buffers that are too small, misaligned, of the wrong usage, or both read and written
   */
  encode(pass: GPUComputePassEncoder, targets: GradientTargets): void {
    this.#checkUsable();
    const absent = absentGivens(this.#geometry);
    const given: readonly GivenName[] = GIVEN.filter((name) => !absent.includes(name));
    const names = [...given, ...gradientsOf(this.#geometry)];
    checkTargets(this.#op, targets, names);
    const bindings = new Map<string, Binding>();
    for (const name of names) {
      const byteLength = byteLengthOf(this.#plan.places.get(name));
      const needed = name === 'outputGradient' || name === 'input' || name === 'inputScale';
      // What has no elements needs no buffer.
      if (byteLength === 0 || (targets[name] === undefined && !needed)) continue;
      bindings.set(name, resolveBinding(this.#shared.device, `${this.#op}: ${name}`, targets[name], byteLength));
    }
    const steps = this.#stepsFor(bindings);
    if (!bindings.has('residual') && steps.some(({ reads }) => reads.some(({ value }) => value === 'residual'))) {
      throw new ValueError(`${this.#op}: residual must be a GPUBuffer with usage STORAGE, got undefined`);
    }
    this.#program.encode(pass, bindings, 0, () => steps, GIVEN);
  }

  /** The steps that compute the gradients that are asked for, from what is given. */
  #stepsFor(targets: { has(value: string): boolean }): readonly Step[] {
    const given = new Set<string>(GIVEN.filter((name) => targets.has(name)));
    return stepsFor(this.#plan.steps.filter(({ once }) => !once), GRADIENTS.filter((name) => targets.has(name)), given);
  }

  /**
   * Uploads, runs, and reads back all gradients: each of its argument's shape, those of biases only where there are
   * any. `additions` are those of the convolution. Calls may overlap.
   * @throws ValueError unless the tensors have this convolution's shapes; DeviceLostError
   */
  async run(
    outputGradient: TensorArgument, input: TensorArgument, additions: AdditionTensors = {},
  ): Promise<ConvolutionGradients> {
    this.#checkUsable();
    const others = readAdditions(this.#op, this.#geometry, additions);
    const dy = readTensor(`${this.#op}: outputGradient`, outputGradient);
    const x = readTensor(`${this.#op}: input`, input);
    checkTensorOf(`${this.#op}: outputGradient`, this.outputShape, dy);
    checkTensorOf(`${this.#op}: input`, this.inputShape, x);
    const wanted = GRADIENTS.filter((name) => this.#hasBias[name] !== false && this.byteLengths[name] > 0);
    const inputs = new Map([['outputGradient', dy.data], ['input', x.data], ...others]);
    const outputs = new Map(wanted.map((name) => [name, this.byteLengths[name] / 4]));
    const targets = new Set<string>([...inputs.keys(), ...outputs.keys()]);
    const results = await this.#program.run(inputs, outputs, 0, () => this.#stepsFor(targets));
    const data = (name: GradientName): ResultArray => results.get(name) ?? new Float32Array(0);
    const { passes, KH, KW, C, M, K, O } = this.#geometry;
    return {
      input: { shape: this.inputShape, data: data('inputGradient') },
      ...(passes !== 'pointwise' && {
        depthwiseFilter: { shape: [KH, KW, C, M], data: data('depthwiseFilterGradient') },
      }),
      ...(passes !== 'depthwise' && {
        pointwiseFilter: { shape: [1, 1, K, O], data: data('pointwiseFilterGradient') },
      }),
      ...(this.#hasBias.depthwiseBiasGradient && { depthwiseBias: data('depthwiseBiasGradient') }),
      ...(this.#hasBias.biasGradient && { bias: data('biasGradient') }),
      ...(this.#geometry.residual && { residual: { shape: this.outputShape, data: data('residualGradient') } }),
      ...(this.#geometry.inputScale && { inputScale: data('inputScaleGradient') }),
    };
  }

  /** Frees what `prepareGradients` made; buffers that the caller passed in stay. Twice is harmless. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#program.destroy();
    this.#shared.forget(this);
  }

  /** The same as `destroy`, for `using`; where the environment has `Symbol.dispose`. */
  declare [Symbol.dispose]: () => void;
  static {
    if (Symbol.dispose) this.prototype[Symbol.dispose] = function dispose(this: Gradients) { this.destroy(); };
  }

  #checkUsable(): void {
    if (this.#destroyed) throw new SepconvError(`${this.#op}: these gradients were destroyed`);
    this.#shared.checkUsable(this.#op);
  }
}

/** The steps that compute what is wanted, but not what is given. */
function stepsFor(
  steps: readonly Step[], wanted: Iterable<string>, given: ReadonlySet<string>,
): readonly Step[] {
  const needed = new Set(wanted);
  return steps.toReversed().filter(({ reads, writes: { value } }) => {
    if (!needed.has(value) || given.has(value)) return false;
    for (const read of reads) needed.add(read.value);
    return true;
  }).reverse();
}
