import type { Convolution, PipelineManager, Shape4D, Strategy, Tensor4D } from 'sepconv-webgpu';
import { type Encode, Resources } from '../resources.js';
import { layerShapes, type Network } from './network.js';
import { bindDispatch, compileShaders, dispatchesOf } from './shaders.js';

/** A layer on the GPU. */
export interface PreparedLayer {
  readonly name: string;
  readonly label: string;
  readonly inputShape: Shape4D;
  readonly outputShape: Shape4D;
  /** `undefined` for a layer that is none of the library's. */
  readonly strategy: Convolution['strategy'] | 'naive' | undefined;
  readonly kernels: readonly string[];
}

export interface Step extends PreparedLayer {
  readonly output: GPUBuffer;
  readonly encode: Encode;
}

/**
 * A network's layers on the GPU. Activations stay in buffers that are made once, one for each layer, so that any of
 * them can be read after a run.
 */
export class GpuNetwork {
  readonly device: GPUDevice;
  /** The picture as float32 `[1, inputSize, inputSize, 3]`, for whoever fills it. */
  readonly input: GPUBuffer;
  readonly inputShape: Shape4D;
  readonly steps: readonly Step[];
  readonly #resources: Resources;

  /**
   * Compiles and uploads. With `naive`, every separable layer runs the demo's naive shader instead of the library, to
   * compare with. `onProgress` gets the share of layers that are ready, 0 to 1.
   */
  static async create(
    manager: PipelineManager, network: Network, strategy: Strategy | 'naive' = 'auto',
    onProgress: (share: number) => void = () => {},
  ): Promise<GpuNetwork> {
    const { device } = manager;
    const resources = new Resources(device, network.id);
    const shapes = layerShapes(network);
    const dispatches = network.layers.map((layer, i) => (layer.kind === 'separable' && strategy !== 'naive' ? []
      : dispatchesOf(layer, shapes[i]!.input, shapes[i]!.output)));
    let ready = 0;
    const [shaders, ...convolutions] = await Promise.all([
      compileShaders(resources, dispatches.flat()),
      ...network.layers.map(async (layer, i) => {
        const prepared = layer.kind === 'separable' && strategy !== 'naive'
          ? await manager.prepare({
            ...layer.options, inputShape: shapes[i]!.input,
            depthwiseFilter: layer.depthwiseFilter, pointwiseFilter: layer.pointwiseFilter,
            strategy: layer.depthwiseFilter && layer.pointwiseFilter ? strategy : 'auto',
          })
          : undefined;
        onProgress(++ready / network.layers.length);
        return prepared;
      }),
    ]);

    const inputShape: Shape4D = [1, network.inputSize, network.inputSize, 3];
    const input = resources.tensor('picture', inputShape);
    const outputs = new Map<string, GPUBuffer>();
    let last = input;
    const steps = network.layers.map((layer, i): Step => {
      const { name, label, from } = layer;
      const { input: read, output: written } = shapes[i]!;
      const source = from === undefined ? last : outputs.get(from)!;
      const output = last = resources.tensor(name, written);
      outputs.set(name, output);
      const step = { name, label, inputShape: read, outputShape: written, output };
      const convolution = convolutions[i];
      if (convolution !== undefined && layer.kind === 'separable') {
        resources.keep(convolution);
        const { strategy: planned, kernels } = convolution;
        const { residual, inputScale } = layer;
        const bufferOf = (other: string | undefined) => (other === undefined ? other : outputs.get(other)!);
        const targets = {
          input: source, output, residual: bufferOf(residual), inputScale: bufferOf(inputScale),
        };
        return { ...step, strategy: planned, kernels, encode: (pass) => convolution.encode(pass, targets) };
      }
      const own = dispatches[i]!;
      let before = source;
      const encodes = own.map((dispatch, at) => {
        const target = at === own.length - 1 ? output : resources.tensor(`${name}, part ${at + 1}`, dispatch.output!);
        const others = dispatch.others?.map((other) => ({ buffer: outputs.get(other)! })) ?? [];
        const encode = bindDispatch(resources, name, shaders, dispatch, [{ buffer: before }, ...others], target);
        before = target;
        return encode;
      });
      return {
        ...step, strategy: layer.kind === 'separable' ? 'naive' : undefined,
        kernels: [...new Set(own.map(({ shader }) => `${shader.replace(/^(naive|patches)-.*/, '$1')}.wgsl`))],
        encode: (pass) => encodes.forEach((encode) => encode(pass)),
      };
    });
    return new GpuNetwork(device, input, inputShape, steps, resources);
  }

  private constructor(
    device: GPUDevice, input: GPUBuffer, inputShape: Shape4D, steps: readonly Step[], resources: Resources,
  ) {
    this.device = device;
    this.input = input;
    this.inputShape = inputShape;
    this.steps = steps;
    this.#resources = resources;
  }

  /** Records all layers. */
  encode(pass: GPUComputePassEncoder): void {
    for (const { encode } of this.steps) encode(pass);
  }

  stepOf(layer: string): Step {
    return this.steps.find(({ name }) => name === layer)!;
  }

  /** What each layer made at the last run, after the tensor that the first one read. */
  readLayers(): Promise<Tensor4D[]> {
    return readTensors(this.device, [{ outputShape: this.inputShape, output: this.input }, ...this.steps]);
  }

  destroy(): void {
    this.#resources.destroy();
  }
}

type Readable = Pick<Step, 'outputShape' | 'output'>;

async function readTensors(device: GPUDevice, tensors: readonly Readable[]): Promise<Tensor4D[]> {
  const size = tensors.reduce((sum, { output }) => sum + output.size, 0);
  const readback = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  try {
    const encoder = device.createCommandEncoder();
    copyTensors(encoder, tensors, readback);
    device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    return tensorsIn(tensors, readback.getMappedRange());
  } finally {
    readback.destroy();
  }
}

/** Copies tensors behind each other. */
export function copyTensors(encoder: GPUCommandEncoder, tensors: readonly Readable[], target: GPUBuffer): void {
  let offset = 0;
  for (const { output } of tensors) {
    encoder.copyBufferToBuffer(output, 0, target, offset, output.size);
    offset += output.size;
  }
}

/** Tensors as `copyTensors` laid them out. */
export function tensorsIn(tensors: readonly Readable[], bytes: ArrayBuffer): Tensor4D[] {
  let offset = 0;
  return tensors.map(({ outputShape: shape, output: { size } }) => {
    offset += size;
    return { shape, data: new Float32Array(bytes.slice(offset - size, offset)) };
  });
}
