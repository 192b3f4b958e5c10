/// <reference lib="esnext.disposable" preserve="true" />
import { BufferPool, Scratch } from './gpu/buffers.js';
import { type Call, readCall, readShapes } from './arguments/call.js';
import type { ConvolutionDescriptor, Pointwise, WarmUpDescriptor } from './arguments/descriptor.js';
import { adapterKindOf, adapterName, measuredOn, requestDevice } from './gpu/device.js';
import {
  DeviceLostError, isObject, loaded, mustBe, SepconvError, show, UnsupportedError, ValueError,
} from './arguments/errors.js';
import type { Gradients } from './gradients.js';
import { asIs, reading, readNames } from './arguments/reading.js';
import { type Convolution, prepareConvolution } from './convolution.js';
import type { Shared } from './gpu/program.js';
import { bindMethods } from './bind-methods.js';
import type { Dispatch } from './plan/dispatch.js';
import type { Choice } from './plan/choice.js';
import { type ForwardPlan, planForward } from './plan/forward.js';
import { PipelineCache } from './gpu/pipelines.js';
import { type AdapterKind, type DeviceProfile, sizeOf } from './kernels/profile.js';
import type { SavedTuning, Tuning, TuningEntry, TuningTable } from './tuning.js';

/** What `PipelineManager.create` takes. */
export interface PipelineManagerOptions {
  /** The device to work on; it stays the caller's. Absent: the manager requests one, and destroys it at its end. */
  readonly device?: GPUDevice | undefined;
  /**
   * `'measure'` times a few kernels for each new geometry in `prepare` or `warmUp` and takes the fastest; a table from
   * `exportTuning` takes what was measured before, and with `measure: true` measures what is new. A table of another
   * version or device is ignored.
   */
  readonly tuning?: 'measure' | (string & {}) | TuningTable | undefined;
  /** Which kernels suit the device; default: what its adapter says of itself. */
  readonly adapterKind?: AdapterKind | (string & {}) | undefined;
  /**
   * Bytes that one binding may have, at least 1024, where that is less than the device allows; larger tensors go in
   * bands.
   */
  readonly maxBindingBytes?: number | undefined;
}

/** What `PipelineManager.warmUp` takes beside descriptors. */
export interface WarmUpOptions {
  /** Called after each pipeline that is compiled and each geometry that is measured, from 1 to `total`. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Milliseconds that the news of a device's loss may lag behind its effects, on a busy machine. */
const LOSS_NEWS = 2000;

/** Pipelines, pooled buffers and prepared convolutions of one device. */
export class PipelineManager {
  /** The device that all of this lives on. */
  readonly device: GPUDevice;
  /** Which kind of kernels the device gets. */
  readonly adapterKind: AdapterKind;
  /** Resolves when the device is lost, `destroy` of an own device included; never rejects. */
  readonly lost: Promise<GPUDeviceLostInfo>;
  readonly #shared: Shared;
  readonly #tuning: Tuning | undefined;
  readonly #prepared = new Set<{ destroy(): void }>();
  readonly #ownsDevice: boolean;
  /** Why this manager can work no more: what came first. */
  #end: GPUDeviceLostInfo | 'destroyed' | undefined;

  /** @throws ValueError for an unknown option's value; UnsupportedError when no device is given and none can be had */
  static async create(options: PipelineManagerOptions = {}): Promise<PipelineManager> {
    const [device, tuning, adapterKind, maxBindingBytes = Infinity] = readNames(
      'PipelineManager.create: options', options, ['device', 'tuning', 'adapterKind', 'maxBindingBytes'], asIs,
    ) as [GPUDevice | undefined, 'measure' | TuningTable | undefined, AdapterKind | undefined, number | undefined];
    if (device !== undefined && !reading('PipelineManager.create: device', () => isDevice(device))) {
      throw mustBe('PipelineManager.create: device', 'a GPUDevice', device);
    }
    if (tuning !== undefined && tuning !== 'measure' && typeof tuning !== 'object') {
      throw mustBe('PipelineManager.create: tuning', "'measure' or a table of exportTuning", tuning);
    }
    if (adapterKind !== undefined && adapterKind !== 'software' && adapterKind !== 'gpu') {
      throw mustBe('PipelineManager.create: adapterKind', "'software' or 'gpu'", adapterKind);
    }
    if (!(Number.isInteger(maxBindingBytes) || maxBindingBytes === Infinity) || maxBindingBytes < 1024) {
      throw mustBe('PipelineManager.create: maxBindingBytes', 'an integer of at least 1024', maxBindingBytes);
    }
    const code = tuning === undefined ? undefined : await loadOnDemand();
    const used = device ?? (await requestDevice());
    const profile = profileOf(used, adapterKind ?? adapterKindOf(used), maxBindingBytes);
    const measured = code && new code.Tuning(used, profile, tuning!);
    return new PipelineManager(used, device === undefined, profile, measured);
  }

  private constructor(device: GPUDevice, ownsDevice: boolean, profile: DeviceProfile, tuning?: Tuning) {
    this.device = device;
    this.adapterKind = profile.kind;
    this.#ownsDevice = ownsDevice;
    this.lost = device.lost.then((info) => {
      this.#end ??= info;
      return info;
    });
    this.#shared = {
      device,
      profile,
      pipelines: new PipelineCache(device),
      buffers: new BufferPool(device),
      scratch: new Scratch(device),
      checkUsable: (where) => this.#checkUsable(where),
      explain: (where, error) => this.#explain(where, error),
      forget: (prepared) => this.#prepared.delete(prepared),
    };
    this.#tuning = tuning;
    bindMethods(
      this, 'prepare', 'prepareCall', 'prepareGradients', 'prepareGradientsCall', 'warmUp', 'exportTuning',
      'tuningReport', 'destroy',
    );
  }

  /**
   * Compiles the pipelines of one convolution and uploads its weights.
   * @throws ValueError, UnsupportedError, DeviceLostError
   */
  async prepare(descriptor: ConvolutionDescriptor | Pointwise<ConvolutionDescriptor>): Promise<Convolution> {
    return this.prepareCall(readCall(descriptor));
  }

  /** @internal */
  async prepareCall(call: Call): Promise<Convolution> {
    this.#checkUsable(call.op);
    return this.#keep(await prepareConvolution(this.#shared, call, await this.#choose(call)), call.op);
  }

  /**
   * Compiles what the gradients of one convolution need, and uploads its weights. The descriptor is the convolution's;
   * `strategy` makes no difference.
   * @throws ValueError, UnsupportedError, DeviceLostError
   */
  async prepareGradients(descriptor: ConvolutionDescriptor | Pointwise<ConvolutionDescriptor>): Promise<Gradients> {
    return this.prepareGradientsCall(readCall(descriptor));
  }

  /** @internal */
  async prepareGradientsCall(call: Call): Promise<Gradients> {
    const { prepareGradients } = await loadOnDemand();
    return this.#keep(await prepareGradients(this.#shared, call), call.op);
  }

  /**
   * Compiles what convolutions will need, in parallel, so that `prepare` finds it ready. With `tuning: 'measure'` it
   * measures them too, one after the other. Layers that differ only in extents share pipelines. Filters may lack their
   * data: `{ shape }` is enough.
   * @throws ValueError, UnsupportedError, DeviceLostError
   */
  async warmUp(
    descriptors: readonly (WarmUpDescriptor | Pointwise<WarmUpDescriptor>)[], options: WarmUpOptions = {},
  ): Promise<void> {
    if (!Array.isArray(descriptors)) {
      throw mustBe('warmUp: descriptors', 'an array', descriptors);
    }
    const onProgress = readProgress(options);
    const variants = new Map<string, Dispatch>();
    const calls = (descriptors as readonly WarmUpDescriptor[]).map(readShapes);
    for (const call of calls) {
      this.#checkUsable(call.op);
      for (const { portions } of this.#plansOf(call)) {
        for (const { dispatch } of portions.flatMap(({ steps }) => steps)) variants.set(dispatch.name, dispatch);
      }
    }
    const unknown = this.#tuning?.unknown(calls) ?? [];
    const total = variants.size + unknown.length;
    let done = 0;
    await Promise.all([...variants.values()].map(async (variant) => {
      await this.#shared.pipelines.pipeline(variant).catch(async (error: unknown) => {
        throw await this.#explain('warmUp', error);
      });
      onProgress?.(++done, total);
    }));
    for (const call of unknown) {
      await this.#choose(call);
      onProgress?.(++done, total);
    }
    this.#checkUsable('warmUp');
  }

  /** What measuring says of a geometry; undefined: the plan's own choice. */
  async #choose(call: Call): Promise<Choice | undefined> {
    try {
      return await this.#tuning?.choose(call, (candidate) => prepareConvolution(this.#shared, call, candidate));
    } catch (error) {
      throw await this.#explain(call.op, error);
    }
  }

  /** What `prepare` may come to: one plan, or those that it will measure. */
  #plansOf(call: Call): readonly ForwardPlan[] {
    return this.#tuning?.plansOf(call) ?? [planForward(call, this.#shared.profile)];
  }

  /** What was measured so far, as plain JSON for `create({ tuning })`. */
  exportTuning(): SavedTuning {
    return this.#tuning?.export() ?? { ...measuredOn(this.device, this.#shared.profile), choices: {} };
  }

  /**
   * What measuring came to: for each geometry what was tried, how long a run took, and what was chosen. Empty without
   * `tuning: 'measure'`.
   */
  tuningReport(): readonly TuningEntry[] {
    return this.#tuning?.report() ?? [];
  }

  /** Frees all that this manager made, its convolutions too; a device that was passed in stays. Twice is harmless. */
  destroy(): void {
    this.#end ??= 'destroyed';
    for (const prepared of this.#prepared) prepared.destroy();
    this.#shared.buffers.destroy();
    if (this.#ownsDevice) this.device.destroy();
  }

  /** The same as `destroy`, for `using`; where the environment has `Symbol.dispose`. */
  declare [Symbol.dispose]: () => void;
  static {
    if (Symbol.dispose) this.prototype[Symbol.dispose] = function dispose(this: PipelineManager) { this.destroy(); };
  }

  #keep<T extends { destroy(): void }>(prepared: T, where: string): T {
    this.#prepared.add(prepared);
    if (this.#end) prepared.destroy();
    this.#checkUsable(where);
    return prepared;
  }

  #checkUsable(where: string): void {
    if (this.#end) throw this.#endError(where);
  }

  /** The typed error for an error of a GPU call: the end of this manager, if that may be the cause. */
  async #explain(where: string, error: unknown): Promise<unknown> {
    if ([ValueError, UnsupportedError, DeviceLostError].some((type) => error instanceof type)) return error;
    // A lost device makes calls fail before its `lost` promise resolves, in Firefox with validation errors too. So the
    // promise gets some time, except after a TypeError or RangeError, which a loss never causes.
    const thrown = error instanceof TypeError || error instanceof RangeError;
    if (!this.#end && !thrown) {
      await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, LOSS_NEWS))]);
    }
    if (this.#end) return this.#endError(where, error);
    return error instanceof SepconvError ? error : new SepconvError(`${where}: ${show(error)}`, { cause: error });
  }

  #endError(where: string, cause?: unknown): SepconvError {
    if (this.#end === 'destroyed') return new SepconvError(`${where}: the PipelineManager was destroyed`, { cause });
    const { reason, message } = this.#end!;
    return new DeviceLostError(`${where}: the GPU device was lost (${reason}): ${message}`, { cause });
  }
}

const isDevice = (device: unknown): boolean => isObject(device) && 'createComputePipelineAsync' in device;

function readProgress(options: WarmUpOptions): WarmUpOptions['onProgress'] {
  const [onProgress] = readNames('warmUp: options', options, ['onProgress'], asIs);
  if (onProgress === undefined || typeof onProgress === 'function') return onProgress as WarmUpOptions['onProgress'];
  throw mustBe('warmUp: onProgress', 'a function', onProgress);
}

/** What most apps never need, in a file of its own. @throws SepconvError where it is not to be had */
const loadOnDemand = () => loaded('on-demand.js', () => import('./on-demand.js'));

/** What plans need to know of a device. @internal */
export function profileOf(device: GPUDevice, kind: AdapterKind, maxBindingBytes = Infinity): DeviceProfile {
  const { features, limits } = device;
  const {
    maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupsPerDimension, maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupStorageSize, maxComputeWorkgroupSizeX, maxTextureDimension2D,
  } = limits;
  return {
    kind, ...sizeOf(adapterName(device)), subgroups: features.has('subgroups'),
    shaderF16: features.has('shader-f16'),
    limits: {
      maxBufferSize, maxComputeWorkgroupsPerDimension, maxComputeWorkgroupStorageSize, maxTextureDimension2D,
      // Many kernels have workgroups of one dimension.
      maxComputeInvocationsPerWorkgroup: Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX),
      maxStorageBufferBindingSize: Math.min(maxStorageBufferBindingSize, maxBindingBytes),
    },
  };
}
