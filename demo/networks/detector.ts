import type { Convolution, PipelineManager, Shape4D, Strategy, Tensor4D } from 'sepconv-webgpu';
import type { PictureSize } from './faces.js';
import { layerShapes, type Network } from './network.js';
import {
  compileShaders, convolutionDispatch, type Dispatch, maxPoolDispatch, naiveDispatches, pictureDispatch, type Shaders,
} from './shaders.js';

export type Picture = ImageBitmap | HTMLCanvasElement | OffscreenCanvas | HTMLVideoElement;

/** A layer on the GPU. */
export interface PreparedLayer {
  readonly name: string;
  readonly label: string;
  readonly inputShape: Shape4D;
  readonly outputShape: Shape4D;
  /** `undefined` for a layer that is no convolution. */
  readonly strategy: Convolution['strategy'] | 'naive' | undefined;
  readonly kernels: readonly string[];
}

interface Step extends PreparedLayer {
  readonly output: GPUBuffer;
  readonly encode: (pass: GPUComputePassEncoder) => void;
}

interface Timing {
  readonly set: GPUQuerySet;
  readonly resolved: GPUBuffer;
  readonly readback: GPUBuffer;
}

export interface LayerTimes {
  /** Of each layer, in milliseconds; the first is the picture's way into the first tensor. */
  readonly milliseconds: readonly number[];
  /** `gpu`: the GPU's own timestamps, one pass per layer. `wall`: until the queue was done, one submit per layer. */
  readonly clock: 'gpu' | 'wall';
}

/**
 * A network on the GPU. A run is one command buffer and one readback, of the heads; activations stay in buffers that
 * are made once, one for each layer, so that any of them can be read after a run.
 */
export class Detector {
  readonly network: Network;
  readonly device: GPUDevice;
  readonly layers: readonly PreparedLayer[];
  readonly #steps: readonly Step[];
  readonly #heads: readonly Step[];
  readonly #resources: readonly { destroy(): void }[];
  readonly #convolutions: readonly Convolution[];
  readonly #square: OffscreenCanvasRenderingContext2D;
  readonly #texture: GPUTexture;
  readonly #readback: GPUBuffer;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #timing: Timing | undefined;

  /**
   * Compiles and uploads. With `naive`, every separable layer runs the demo's naive shader instead of the library, to
   * compare with. `onProgress` gets the share of layers that are ready, 0 to 1.
   */
  static async create(
    manager: PipelineManager, network: Network, strategy: Strategy | 'naive' = 'auto',
    onProgress: (share: number) => void = () => {},
  ): Promise<Detector> {
    const shapes = layerShapes(network);
    let ready = 0;
    const prepared = await Promise.all(network.layers.map(async (layer, i) => {
      const convolution = layer.kind === 'separable' && strategy !== 'naive'
        ? await manager.prepare({
          ...layer.options, inputShape: shapes[i]!.input, depthwiseFilter: layer.depthwiseFilter,
          pointwiseFilter: layer.pointwiseFilter, strategy,
        })
        : undefined;
      onProgress(++ready / network.layers.length);
      return convolution;
    }));
    return new Detector(manager.device, network, prepared, await compileShaders(manager.device, strategy === 'naive'));
  }

  private constructor(
    device: GPUDevice, network: Network, convolutions: readonly (Convolution | undefined)[], shaders: Shaders,
  ) {
    const { inputSize: side, layers, heads } = network;
    const { STORAGE, COPY_SRC, COPY_DST, MAP_READ, UNIFORM, QUERY_RESOLVE } = GPUBufferUsage;
    const resources: { destroy(): void }[] = [];
    const keep = <R extends { destroy(): void }>(resource: R): R => {
      resources.push(resource);
      return resource;
    };
    const buffer = (label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer =>
      keep(device.createBuffer({ label: `${network.id} ${label}`, size, usage }));
    const activation = (name: string, shape: Shape4D): GPUBuffer => buffer(name, byteLength(shape), STORAGE | COPY_SRC);
    const upload = (
      label: string, data: ArrayBuffer | Float32Array<ArrayBuffer>, usage: GPUBufferUsageFlags,
    ): GPUBuffer => {
      const uploaded = buffer(label, data.byteLength, usage | COPY_DST);
      device.queue.writeBuffer(uploaded, 0, data);
      return uploaded;
    };
    const encodeDispatch = (
      name: string, { shader, params, weights, grid }: Dispatch, input: GPUBindingResource, output: GPUBuffer,
    ): Step['encode'] => {
      const pipeline = shaders[shader]!;
      const resources = [
        upload(`${name} uniforms`, params, UNIFORM), input,
        ...weights.map((data) => upload(`${name} weights`, data, STORAGE)), output,
      ];
      const group = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0), entries: resources.map((resource, binding) => ({ binding, resource })),
      });
      return (pass) => {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...grid);
      };
    };

    this.network = network;
    this.device = device;
    this.#convolutions = convolutions.filter((convolution) => convolution !== undefined);
    const context = new OffscreenCanvas(side, side).getContext('2d');
    if (context === null) throw new Error('This browser gave no 2D canvas to scale the picture with.');
    this.#square = context;
    this.#texture = keep(device.createTexture({
      label: `${network.id} picture`, size: [side, side], format: 'rgba8unorm',
      usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.RENDER_ATTACHMENT,
    }));
    const shapes = layerShapes(network);
    const pictureShape: Shape4D = [1, side, side, 3];
    const first = activation('picture', pictureShape);
    const steps: Step[] = [{
      name: 'picture', label: 'scale, subtract mean', inputShape: pictureShape, outputShape: pictureShape,
      strategy: undefined, kernels: ['picture.wgsl'], output: first,
      encode: encodeDispatch('picture', pictureDispatch(network), this.#texture.createView(), first),
    }];
    for (const [i, layer] of layers.entries()) {
      const { name, label, from } = layer;
      const { input: inputShape, output: outputShape } = shapes[i]!;
      const input = (from === undefined ? steps.at(-1) : steps.find((step) => step.name === from))!.output;
      const output = activation(name, outputShape);
      const convolution = convolutions[i];
      if (convolution !== undefined) {
        const { strategy, kernels } = convolution;
        const encode: Step['encode'] = (pass) => convolution.encode(pass, { input, output });
        steps.push({ name, label, inputShape, outputShape, output, strategy, kernels, encode });
      } else if (layer.kind === 'separable') {
        const [N, OH, OW] = outputShape;
        const dispatches = naiveDispatches(layer, inputShape, outputShape);
        const between = dispatches.length === 1 ? input
          : activation(`${name} depthwise`, [N, OH, OW, inputShape[3] * layer.depthwiseFilter.shape[3]]);
        const encodes = dispatches.map((dispatch, at) =>
          encodeDispatch(name, dispatch, at === 0 ? input : between, at === dispatches.length - 1 ? output : between));
        const encode: Step['encode'] = (pass) => encodes.forEach((encodeOne) => encodeOne(pass));
        const kernels = ['naive.wgsl'];
        steps.push({ name, label, inputShape, outputShape, output, strategy: 'naive', kernels, encode });
      } else {
        const dispatch = layer.kind === 'max-pool' ? maxPoolDispatch(layer, inputShape, outputShape)
          : convolutionDispatch(layer, inputShape, outputShape);
        const encode = encodeDispatch(name, dispatch, input, output);
        const kernels = [`${dispatch.shader}.wgsl`];
        steps.push({ name, label, inputShape, outputShape, output, strategy: undefined, kernels, encode });
      }
    }
    this.#steps = steps;
    this.layers = steps;
    this.#heads = heads.map((head) => steps.find(({ name }) => name === head)!);
    const headsSize = this.#heads.reduce((sum, { output }) => sum + output.size, 0);
    this.#readback = buffer('heads', headsSize, MAP_READ | COPY_DST);
    if (device.features.has('timestamp-query')) {
      const count = 2 * steps.length;
      this.#timing = {
        set: keep(device.createQuerySet({ type: 'timestamp', count })),
        resolved: buffer('timestamps', 8 * count, QUERY_RESOLVE | COPY_SRC),
        readback: buffer('timestamps readback', 8 * count, MAP_READ | COPY_DST),
      };
    }
    this.#resources = resources;
  }

  /** The heads, in the network's order. Calls wait for each other. */
  run(picture: Picture): Promise<Tensor4D[]> {
    return this.#inTurn(() => {
      this.#upload(picture);
      const encoder = this.device.createCommandEncoder();
      const pass = encoder.beginComputePass({ label: this.network.id });
      for (const { encode } of this.#steps) encode(pass);
      pass.end();
      copyAll(encoder, this.#heads, this.#readback);
      this.device.queue.submit([encoder.finish()]);
      return this.#mapHeads();
    });
  }

  /**
   * Runs like `run`, slower, to see how long each layer takes. `onLayer` gets the share of layers that are done and
   * makes each wait for the one before, so that a slow network neither holds the GPU for long nor cannot be stopped:
   * it may throw.
   */
  measure(picture: Picture, onLayer?: (share: number) => void): Promise<LayerTimes> {
    return this.#inTurn(() => {
      this.#upload(picture);
      return this.#timing === undefined ? this.#measureWall(onLayer) : this.#measureGpu(this.#timing, onLayer);
    });
  }

  /** The heads that the last run or measurement left. */
  readHeads(): Promise<Tensor4D[]> {
    return this.#inTurn(() => {
      const encoder = this.device.createCommandEncoder();
      copyAll(encoder, this.#heads, this.#readback);
      this.device.queue.submit([encoder.finish()]);
      return this.#mapHeads();
    });
  }

  /** What each layer made at the last run, after the tensor that the first one read. */
  async readLayers(): Promise<Tensor4D[]> {
    const size = this.#steps.reduce((sum, { output }) => sum + output.size, 0);
    const readback = this.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    try {
      const encoder = this.device.createCommandEncoder();
      copyAll(encoder, this.#steps, readback);
      this.device.queue.submit([encoder.finish()]);
      await readback.mapAsync(GPUMapMode.READ);
      return tensors(this.#steps, readback.getMappedRange());
    } finally {
      readback.destroy();
    }
  }

  destroy(): void {
    for (const resource of this.#resources) resource.destroy();
    for (const convolution of this.#convolutions) convolution.destroy();
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
    const heads = tensors(this.#heads, this.#readback.getMappedRange());
    this.#readback.unmap();
    return heads;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #measureGpu({ set, resolved, readback }: Timing, onLayer?: (share: number) => void): Promise<LayerTimes> {
    let encoder = this.device.createCommandEncoder();
    for (const [i, { name, encode }] of this.#steps.entries()) {
      const pass = encoder.beginComputePass({
        label: name,
        timestampWrites: { querySet: set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      });
      encode(pass);
      pass.end();
      if (onLayer === undefined) continue;
      this.device.queue.submit([encoder.finish()]);
      await this.device.queue.onSubmittedWorkDone();
      onLayer((i + 1) / this.#steps.length);
      encoder = this.device.createCommandEncoder();
    }
    encoder.resolveQuerySet(set, 0, set.count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, readback, 0, readback.size);
    this.device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    const ticks = new BigUint64Array(readback.getMappedRange());
    const milliseconds = this.#steps.map((_, i) => Number(ticks[2 * i + 1]! - ticks[2 * i]!) / 1e6);
    readback.unmap();
    return { milliseconds, clock: 'gpu' };
  }

  async #measureWall(onLayer?: (share: number) => void): Promise<LayerTimes> {
    const milliseconds: number[] = [];
    for (const { encode } of this.#steps) {
      await this.device.queue.onSubmittedWorkDone();
      const encoder = this.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      encode(pass);
      pass.end();
      const start = performance.now();
      this.device.queue.submit([encoder.finish()]);
      await this.device.queue.onSubmittedWorkDone();
      milliseconds.push(performance.now() - start);
      onLayer?.(milliseconds.length / this.#steps.length);
    }
    return { milliseconds, clock: 'wall' };
  }
}

export function sizeOf(picture: Picture): PictureSize {
  return picture instanceof HTMLVideoElement ? { width: picture.videoWidth, height: picture.videoHeight } : picture;
}

function copyAll(encoder: GPUCommandEncoder, steps: readonly Step[], target: GPUBuffer): void {
  let offset = 0;
  for (const { output } of steps) {
    encoder.copyBufferToBuffer(output, 0, target, offset, output.size);
    offset += output.size;
  }
}

/** The outputs of steps, as `copyAll` laid them out. */
function tensors(steps: readonly Step[], bytes: ArrayBuffer): Tensor4D[] {
  let offset = 0;
  return steps.map(({ outputShape: shape, output: { size } }) => {
    offset += size;
    return { shape, data: new Float32Array(bytes.slice(offset - size, offset)) };
  });
}

const byteLength = (shape: Shape4D): number =>
  shape.reduce((product, extent) => product * extent, Float32Array.BYTES_PER_ELEMENT);
