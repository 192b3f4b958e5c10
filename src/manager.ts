import { BufferPool, Scratch } from './buffers.js';
import { type Convolution, prepareConvolution, type Shared } from './convolution.js';
import type { ConvolutionDescriptor } from './descriptor.js';
import { adapterKindOf, requestDevice } from './device.js';
import { DeviceLostError, SepconvError } from './errors.js';
import { operation } from './geometry.js';
import { PipelineCache } from './pipelines.js';
import type { AdapterKind } from './presets.js';

export interface PipelineManagerOptions {
  /** The device to work on; it stays the caller's. Absent: the manager requests one, and destroys it at its end. */
  readonly device?: GPUDevice;
}

/** Pipelines, pooled buffers and prepared convolutions of one device. */
export class PipelineManager {
  readonly device: GPUDevice;
  /** Which preset of tiles the device gets. */
  readonly adapterKind: AdapterKind;
  /** Resolves when the device is lost, `destroy` of an own device included. */
  readonly lost: Promise<GPUDeviceLostInfo>;
  readonly #shared: Shared;
  readonly #convolutions = new Set<Convolution>();
  readonly #ownsDevice: boolean;
  #loss: GPUDeviceLostInfo | undefined;
  #destroyed = false;

  /** @throws UnsupportedError when no device is given and none can be had */
  static async create({ device }: PipelineManagerOptions = {}): Promise<PipelineManager> {
    return new PipelineManager(device ?? (await requestDevice()), device === undefined);
  }

  private constructor(device: GPUDevice, ownsDevice: boolean) {
    this.device = device;
    this.adapterKind = adapterKindOf(device);
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
      forget: (convolution) => this.#convolutions.delete(convolution),
    };
  }

  /**
   * Compiles the pipelines of one convolution and uploads its weights.
   * @throws ValueError, UnsupportedError, DeviceLostError
   */
  async prepare(descriptor: ConvolutionDescriptor): Promise<Convolution> {
    const convolution = await prepareConvolution(this.#shared, descriptor);
    this.#convolutions.add(convolution);
    if (this.#destroyed) convolution.destroy();
    this.#checkUsable(operation(descriptor.name));
    return convolution;
  }

  /** Frees all that this manager made, its convolutions too; a device that was passed in stays. Twice is harmless. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const convolution of this.#convolutions) convolution.destroy();
    this.#shared.buffers.destroy();
    if (this.#ownsDevice) this.device.destroy();
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
