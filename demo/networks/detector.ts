import type { PipelineManager, Strategy, Tensor4D } from 'sepconv-webgpu';
import { Resources } from '../resources.js';
import { takingTurns } from '../turns.js';
import type { PictureSize } from './faces.js';
import { copyTensors, GpuNetwork, type PreparedLayer, type Step, tensorsIn } from './gpu-network.js';
import type { FaceNetwork } from './network.js';
import { bindDispatch, compileShaders, pictureDispatch, type Shaders } from './shaders.js';
import { type LayerTimes, stepTimer } from './timing.js';

export type Picture = ImageBitmap | HTMLCanvasElement | OffscreenCanvas | HTMLVideoElement;

/** Finds faces with a network on the GPU. A run is one command buffer and one readback, of the heads. */
export class Detector {
  readonly network: FaceNetwork;
  readonly device: GPUDevice;
  /** The first takes the picture into the first tensor. */
  readonly layers: readonly PreparedLayer[];
  readonly #gpu: GpuNetwork;
  readonly #steps: readonly Step[];
  readonly #heads: readonly Step[];
  readonly #resources: Resources;
  readonly #square: OffscreenCanvasRenderingContext2D;
  readonly #texture: GPUTexture;
  readonly #readback: GPUBuffer;
  readonly #time: ReturnType<typeof stepTimer>;
  readonly #inTurn = takingTurns();

  /** As `GpuNetwork.create`. */
  static async create(
    manager: PipelineManager, network: FaceNetwork, strategy?: Strategy | 'naive', onProgress?: (share: number) => void,
  ): Promise<Detector> {
    const gpu = await GpuNetwork.create(manager, network, strategy, onProgress);
    const resources = new Resources(manager.device, network.id);
    return new Detector(network, gpu, resources, await compileShaders(resources, [pictureDispatch(network)]));
  }

  private constructor(network: FaceNetwork, gpu: GpuNetwork, resources: Resources, shaders: Shaders) {
    const { device, input, inputShape } = gpu;
    const { id, inputSize: side } = network;
    this.network = network;
    this.device = device;
    this.#gpu = gpu;
    this.#resources = resources;
    const context = new OffscreenCanvas(side, side).getContext('2d');
    if (context === null) throw new Error('This browser gave no 2D canvas to scale the picture with.');
    this.#square = context;
    this.#texture = resources.keep(device.createTexture({
      label: `${id} picture`, size: [side, side], format: 'rgba8unorm',
      usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.RENDER_ATTACHMENT,
    }));
    this.#steps = [{
      name: 'picture', label: 'scale, subtract mean', inputShape, outputShape: inputShape,
      strategy: undefined, kernels: ['picture.wgsl'], output: input,
      encode: bindDispatch(
        resources, 'picture', shaders, pictureDispatch(network), [this.#texture.createView()], input),
    }, ...gpu.steps];
    this.layers = this.#steps;
    this.#heads = network.heads.map((head) => gpu.stepOf(head));
    const headsSize = this.#heads.reduce((sum, { output }) => sum + output.size, 0);
    this.#readback = resources.buffer('heads', headsSize, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    this.#time = stepTimer(device, this.#steps, resources);
  }

  /** The heads, in the network's order. Calls wait for each other. */
  run(picture: Picture): Promise<Tensor4D[]> {
    return this.#inTurn(() => {
      this.#upload(picture);
      const encoder = this.device.createCommandEncoder();
      const pass = encoder.beginComputePass({ label: this.network.id });
      for (const { encode } of this.#steps) encode(pass);
      pass.end();
      copyTensors(encoder, this.#heads, this.#readback);
      this.device.queue.submit([encoder.finish()]);
      return this.#mapHeads();
    });
  }

  /** Runs like `run`, slower, to see how long each layer takes. `onLayer` as in `stepTimer`. */
  measure(picture: Picture, onLayer?: (share: number) => void): Promise<LayerTimes> {
    return this.#inTurn(() => {
      this.#upload(picture);
      return this.#time(onLayer);
    });
  }

  /** The heads that the last run or measurement left. */
  readHeads(): Promise<Tensor4D[]> {
    return this.#inTurn(() => {
      const encoder = this.device.createCommandEncoder();
      copyTensors(encoder, this.#heads, this.#readback);
      this.device.queue.submit([encoder.finish()]);
      return this.#mapHeads();
    });
  }

  /** What each layer made at the last run, after the tensor that the first one read. */
  readLayers(): Promise<Tensor4D[]> {
    return this.#gpu.readLayers();
  }

  destroy(): void {
    this.#resources.destroy();
    this.#gpu.destroy();
  }

  /** Scales by a 2D canvas, which browsers keep on the GPU, as is the copy to the texture. */
  #upload(picture: Picture): void {
    const side = this.network.inputSize;
    const { width, height } = sizeOf(picture);
    const scale = side / Math.max(width, height);
    this.#square.clearRect(0, 0, side, side);
    this.#square.drawImage(picture, 0, 0, width * scale, height * scale);
    const source = this.#square.canvas;
    this.device.queue.copyExternalImageToTexture({ source }, { texture: this.#texture }, [side, side]);
  }

  async #mapHeads(): Promise<Tensor4D[]> {
    await this.#readback.mapAsync(GPUMapMode.READ);
    const heads = tensorsIn(this.#heads, this.#readback.getMappedRange());
    this.#readback.unmap();
    return heads;
  }
}

export function sizeOf(picture: Picture): PictureSize {
  return picture instanceof HTMLVideoElement ? { width: picture.videoWidth, height: picture.videoHeight } : picture;
}
