import type { Convolution, Gradients, PipelineManager, Tensor4D } from 'sepconv-webgpu';
import type { FilterWeights } from './filters.js';
import adamSource from './shaders/adam.wgsl?raw';
import differenceSource from './shaders/difference.wgsl?raw';

/** What a learner is shown, and of which shape the filter is that it looks for. */
export interface Lesson {
  readonly photo: Tensor4D;
  /** The filtered photo, of the photo's shape. */
  readonly wanted: Tensor4D;
  /** Its shapes, activations and whether there is a bias are known to the learner; its values are not. */
  readonly teacher: FilterWeights;
  /** Numbers from -1 to 1, for where learning starts. */
  readonly random: () => number;
  /** The learning rate at a step. */
  readonly rate: (step: number) => number;
}

/** As in difference.wgsl. */
const PARTS = 256;

/** Weights on the GPU, with what training them takes. */
interface Trained {
  readonly count: number;
  readonly weights: GPUBuffer;
  readonly gradient: GPUBuffer;
  readonly update: GPUBindGroup;
}

/** Learns a depthwise and a pointwise filter from a photo and its filtered version, by gradient descent on the GPU. */
export class Learner {
  steps = 0;
  readonly #manager: PipelineManager;
  readonly #lesson: Lesson;
  readonly #made: { destroy(): void }[] = [];
  #record!: (pass: GPUComputePassEncoder) => void;
  #rate!: GPUBuffer;
  #output!: GPUBuffer;
  #losses!: GPUBuffer;
  #filters!: { depthwise: Trained; pointwise: Trained; bias: Trained | undefined };

  static async create(manager: PipelineManager, lesson: Lesson): Promise<Learner> {
    const learner = new Learner(manager, lesson);
    try {
      await learner.#prepare();
    } catch (error) {
      learner.destroy();
      throw error;
    }
    return learner;
  }

  private constructor(manager: PipelineManager, lesson: Lesson) {
    this.#manager = manager;
    this.#lesson = lesson;
  }

  /** One step: the filtered photo, how it differs, the gradients, and new weights. Nothing leaves the GPU. */
  step(): void {
    const { device } = this.#manager;
    this.steps++;
    const correction = Math.sqrt(1 - 0.999 ** this.steps) / (1 - 0.9 ** this.steps);
    device.queue.writeBuffer(this.#rate, 0, Float32Array.of(this.#lesson.rate(this.steps) * correction));
    const encoder = device.createCommandEncoder({ label: 'learn' });
    const pass = encoder.beginComputePass({ label: 'learn' });
    this.#record(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  /** The loss and the picture of the last step, before its new weights. */
  async read(): Promise<{ loss: number; output: Tensor4D }> {
    const { wanted } = this.#lesson;
    const [parts, data] = await this.#download([[this.#losses, PARTS], [this.#output, wanted.data.length]]);
    return { loss: parts!.reduce((sum, part) => sum + part), output: { shape: wanted.shape, data: data! } };
  }

  /** What was learned so far. */
  async weights(): Promise<FilterWeights> {
    const { depthwise, pointwise, bias } = this.#filters;
    const { teacher } = this.#lesson;
    const trained = [depthwise, pointwise, ...(bias ? [bias] : [])];
    const [d, p, b] = await this.#download(trained.map(({ weights, count }) => [weights, count]));
    return {
      ...teacher, depthwiseFilter: { shape: teacher.depthwiseFilter.shape, data: d! },
      pointwiseFilter: { shape: teacher.pointwiseFilter.shape, data: p! }, ...(b && { bias: b }),
    };
  }

  destroy(): void {
    for (const resource of this.#made) resource.destroy();
  }

  async #prepare(): Promise<void> {
    const { photo, wanted, teacher, random } = this.#lesson;
    const { device } = this.#manager;
    const [adam, difference] = await Promise.all([this.#pipeline(adamSource), this.#pipeline(differenceSource)]);
    this.#rate = this.#buffer(16, GPUBufferUsage.UNIFORM);
    const [K, O] = teacher.pointwiseFilter.shape.slice(2) as [number, number];
    const [KH, KW] = teacher.depthwiseFilter.shape;
    const depthwise = this.#trained(adam, noise(random, teacher.depthwiseFilter.data.length, KH * KW));
    const pointwise = this.#trained(adam, noise(random, teacher.pointwiseFilter.data.length, K));
    const bias = teacher.bias && this.#trained(adam, new Float32Array(O));
    this.#filters = { depthwise, pointwise, bias };
    const trained = [depthwise, pointwise, ...(bias ? [bias] : [])];

    // The layer and its gradients read the weights from the buffers that training writes.
    const descriptor = {
      ...teacher, inputShape: photo.shape, padding: 'SAME', allowOverparameterized: true,
      name: 'learn', strategy: 'two-pass',
      depthwiseFilter: { shape: teacher.depthwiseFilter.shape, buffer: depthwise.weights },
      pointwiseFilter: { shape: teacher.pointwiseFilter.shape, buffer: pointwise.weights },
    } as const;
    const layer = bias ? { ...descriptor, bias: { shape: [O], buffer: bias.weights } as const } : descriptor;
    const [conv, gradients]: [Convolution, Gradients] = await Promise.all([
      this.#manager.prepare(layer), this.#manager.prepareGradients(layer),
    ]);
    this.#made.push(conv, gradients);

    const bytes = wanted.data.byteLength;
    const input = this.#buffer(photo.data);
    const output = this.#buffer(bytes);
    const outputGradient = this.#buffer(bytes);
    const intermediate = this.#buffer((bytes / wanted.shape[3]) * Math.ceil(K / 4) * 4);
    const losses = this.#buffer(PARTS * 4);
    const compare = group(device, difference, [output, this.#buffer(wanted.data), outputGradient, losses]);
    [this.#output, this.#losses] = [output, losses];
    this.#record = (pass) => {
      conv.encode(pass, { input, output, intermediate });
      pass.setPipeline(difference);
      pass.setBindGroup(0, compare);
      pass.dispatchWorkgroups(PARTS / 16);
      gradients.encode(pass, {
        input, output, intermediate, outputGradient,
        depthwiseFilterGradient: depthwise.gradient, pointwiseFilterGradient: pointwise.gradient,
        ...(bias && { biasGradient: bias.gradient }),
      });
      pass.setPipeline(adam);
      for (const { count, update } of trained) {
        pass.setBindGroup(0, update);
        pass.dispatchWorkgroups(Math.ceil(count / 64));
      }
    };
  }

  #trained(adam: GPUComputePipeline, start: Float32Array): Trained {
    const weights = this.#buffer(start);
    const gradient = this.#buffer(start.byteLength);
    const means = this.#buffer(2 * start.byteLength);
    const update = group(this.#manager.device, adam, [this.#rate, gradient, weights, means]);
    return { count: start.length, weights, gradient, update };
  }

  async #pipeline(code: string): Promise<GPUComputePipeline> {
    const { device } = this.#manager;
    const module = device.createShaderModule({ code });
    return device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  }

  /** A buffer with these contents, or of so many bytes, all 0. */
  #buffer(content: Float32Array | number, usage = GPUBufferUsage.STORAGE): GPUBuffer {
    const { device } = this.#manager;
    const size = typeof content === 'number' ? content : content.byteLength;
    const buffer = device.createBuffer({
      label: 'learn', size, usage: usage | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    this.#made.push(buffer);
    if (typeof content !== 'number') device.queue.writeBuffer(buffer, 0, Float32Array.from(content));
    return buffer;
  }

  async #download(sources: readonly (readonly [GPUBuffer, number])[]): Promise<Float32Array[]> {
    const { device } = this.#manager;
    const size = sources.reduce((sum, [, count]) => sum + 4 * count, 0);
    const readback = device.createBuffer({
      label: 'learn readback', size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    const encoder = device.createCommandEncoder({ label: 'learn readback' });
    let offset = 0;
    const starts = sources.map(([buffer, count]) => {
      const start = offset;
      encoder.copyBufferToBuffer(buffer, 0, readback, start, 4 * count);
      offset += 4 * count;
      return start;
    });
    device.queue.submit([encoder.finish()]);
    try {
      await readback.mapAsync(GPUMapMode.READ);
      const bytes = readback.getMappedRange();
      return sources.map(([, count], index) => new Float32Array(bytes, starts[index], count).slice());
    } finally {
      readback.destroy();
    }
  }
}

function group(device: GPUDevice, pipeline: GPUComputePipeline, buffers: readonly GPUBuffer[]): GPUBindGroup {
  return device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
}

/** Where learning starts: random values whose sums of `terms` keep the size of what they are multiplied with. */
const noise = (random: () => number, length: number, terms: number): Float32Array =>
  Float32Array.from({ length }, () => random() * Math.sqrt(3 / terms));
