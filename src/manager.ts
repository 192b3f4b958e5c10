import { BufferPool, Scratch } from './buffers.js';
import { type Convolution, prepareConvolution, type Shared } from './convolution.js';
import { type ConvolutionDescriptor, resolveDescriptor, resolveShapes, type WarmUpDescriptor } from './descriptor.js';
import { adapterKindOf, requestDevice } from './device.js';
import { DeviceLostError, SepconvError, show, ValueError } from './errors.js';
import { operation } from './geometry.js';
import { type Gradients, prepareGradients } from './gradients.js';
import type { Variant } from './kernels.js';
import { PipelineCache } from './pipelines.js';
import { plan } from './plan.js';
import type { AdapterKind } from './presets.js';
import { type SavedTuning, Tuning } from './tuning.js';

export interface PipelineManagerOptions {
  /** The device to work on; it stays the caller's. Absent: the manager requests one, and destroys it at its end. */
  readonly device?: GPUDevice;
  /**
   * `'measure'` times a few kernels for each new geometry in `prepare` and takes the fastest; a table from `exportTuning`
   * takes what was measured before. A table of another version or adapter is ignored.
   */
  readonly tuning?: 'measure' | SavedTuning;
  /** Which kernels suit the device; default: what its adapter says of itself. */
  readonly adapterKind?: AdapterKind;
}

export interface WarmUpOptions {
  /** Called after each compiled pipeline, from 1 to `total`. */
  readonly onProgress?: (compiled: number, total: number) => void;
}

/** Pipelines, pooled buffers and prepared convolutions of one device. */
export class PipelineManager {
  readonly device: GPUDevice;
  /** Which preset of tiles the device gets. */
  readonly adapterKind: AdapterKind;
  /** Resolves when the device is lost, `destroy` of an own device included. */
  readonly lost: Promise<GPUDeviceLostInfo>;
  readonly #shared: Shared;
  readonly #tuning: Tuning;
  readonly #prepared = new Set<{ destroy(): void }>();
  readonly #ownsDevice: boolean;
  #loss: GPUDeviceLostInfo | undefined;
  #destroyed = false;

  /** @throws ValueError for an unknown option's value; UnsupportedError when no device is given and none can be had */
  static async create({ device, tuning, adapterKind }: PipelineManagerOptions = {}): Promise<PipelineManager> {
    if (typeof tuning === 'string' && tuning !== 'measure') {
      throw new ValueError(`PipelineManager.create: tuning must be 'measure' or a table of exportTuning, got ${show(tuning)}`);
    }
    if (adapterKind !== undefined && adapterKind !== 'software' && adapterKind !== 'gpu') {
      throw new ValueError(`PipelineManager.create: adapterKind must be 'software' or 'gpu', got ${show(adapterKind)}`);
    }
    const used = device ?? (await requestDevice());
    return new PipelineManager(used, device === undefined, adapterKind ?? adapterKindOf(used), tuning);
  }

  private constructor(device: GPUDevice, ownsDevice: boolean, adapterKind: AdapterKind, tuning?: 'measure' | SavedTuning) {
    this.device = device;
    this.adapterKind = adapterKind;
    this.#ownsDevice = ownsDevice;
    this.lost = device.lost.then((info) => (this.#loss = info));
    this.#shared = {
      device,
      profile: { kind: this.adapterKind, subgroups: device.features.has('subgroups'), limits: device.limits },
      pipelines: new PipelineCache(device),
      buffers: new BufferPool(device),
      scratch: new Scratch(device),
      checkUsable: (where) => this.#checkUsable(where),
      explain: (where, error) => this.#explain(where, error),
      forget: (prepared) => this.#prepared.delete(prepared),
    };
    this.#tuning = new Tuning(device, this.#shared.profile, tuning);
  }

  /**
   * Compiles the pipelines of one convolution and uploads its weights.
   * @throws ValueError, UnsupportedError, DeviceLostError
   */
  async prepare(descriptor: ConvolutionDescriptor): Promise<Convolution> {
    const geometry = resolveDescriptor(descriptor);
    this.#checkUsable(operation(descriptor.name));
    const choice = await this.#tuning.choose(geometry, descriptor.strategy ?? 'auto', (candidate) =>
      prepareConvolution(this.#shared, descriptor, candidate));
    const convolution = await prepareConvolution(this.#shared, descriptor, choice);
    return this.#keep(convolution, descriptor);
  }

  /**
   * Compiles what the gradients of one convolution need, and uploads its weights. The descriptor is the convolution's;
   * `strategy` makes no difference.
   * @throws ValueError, UnsupportedError, DeviceLostError
   */
  async prepareGradients(descriptor: ConvolutionDescriptor): Promise<Gradients> {
    return this.#keep(await prepareGradients(this.#shared, descriptor), descriptor);
  }

  /**
   * Compiles what convolutions will need, in parallel, so that `prepare` finds it ready. Layers that differ only in extents
   * share pipelines. Filters may lack their data: `{ shape }` is enough.
   * @throws ValueError, UnsupportedError, DeviceLostError
   */
  async warmUp(descriptors: readonly WarmUpDescriptor[], { onProgress }: WarmUpOptions = {}): Promise<void> {
    const variants = new Map<string, Variant>();
    for (const descriptor of descriptors) {
      const { strategy, name } = descriptor;
      const geometry = resolveShapes(descriptor);
      this.#checkUsable(operation(name));
      for (const dispatch of plan(geometry, this.#shared.profile, strategy, name).dispatches) variants.set(dispatch.name, dispatch);
    }
    let compiled = 0;
    try {
      await Promise.all([...variants.values()].map(async (variant) => {
        await this.#shared.pipelines.pipeline(variant);
        onProgress?.(++compiled, variants.size);
      }));
    } catch (error) {
      throw await this.#explain('warmUp', error);
    }
  }

  /** What was measured so far, as plain JSON for `create({ tuning })`. */
  exportTuning(): SavedTuning {
    return this.#tuning.export();
  }

  /** Frees all that this manager made, its convolutions too; a device that was passed in stays. Twice is harmless. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const prepared of this.#prepared) prepared.destroy();
    this.#shared.buffers.destroy();
    if (this.#ownsDevice) this.device.destroy();
  }

  #keep<T extends { destroy(): void }>(prepared: T, { name }: ConvolutionDescriptor): T {
    this.#prepared.add(prepared);
    if (this.#destroyed) prepared.destroy();
    this.#checkUsable(operation(name));
    return prepared;
  }

  #checkUsable(where: string): void {
    if (this.#destroyed) throw new SepconvError(`${where}: the PipelineManager was destroyed`);
    if (this.#loss) throw this.#lostError(where);
  }

  async #explain(where: string, error: unknown): Promise<unknown> {
    // A lost device rejects calls in flight before its `lost` promise has told us.
    await new Promise((resolve) => setTimeout(resolve));
    return this.#loss && !(error instanceof DeviceLostError) ? this.#lostError(where, error) : error;
  }

  #lostError(where: string, cause?: unknown): DeviceLostError {
    const { reason, message } = this.#loss!;
    return new DeviceLostError(`${where}: the GPU device was lost (${reason}): ${message}`, { cause });
  }
}
