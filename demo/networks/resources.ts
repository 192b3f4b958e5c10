import type { Shape4D } from 'sepconv-webgpu';
import type { Dispatch, Shaders } from './shaders.js';

interface Resource { destroy(): void }

/** Records what one dispatch, or several, do. */
export type Encode = (pass: GPUComputePassEncoder) => void;

/** What is made on a device for one purpose, and destroyed together. */
export class Resources {
  readonly #device: GPUDevice;
  readonly #label: string;
  readonly #made: Resource[] = [];

  constructor(device: GPUDevice, label: string) {
    this.#device = device;
    this.#label = label;
  }

  keep<R extends Resource>(resource: R): R {
    this.#made.push(resource);
    return resource;
  }

  buffer(name: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    return this.keep(this.#device.createBuffer({ label: `${this.#label} ${name}`, size, usage }));
  }

  /** A tensor that shaders write and read, and that may be read back or written. */
  tensor(name: string, shape: Shape4D): GPUBuffer {
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    return this.buffer(name, byteLength(shape), STORAGE | COPY_SRC | COPY_DST);
  }

  upload(name: string, data: ArrayBuffer | Float32Array<ArrayBuffer>, usage: GPUBufferUsageFlags): GPUBuffer {
    const buffer = this.buffer(name, data.byteLength, usage | GPUBufferUsage.COPY_DST);
    this.#device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  /** Puts a dispatch's weights on the device and binds its tensors. */
  bind(
    name: string, shaders: Shaders, { shader, params, weights, grid }: Dispatch,
    inputs: readonly GPUBindingResource[], output: GPUBuffer,
  ): Encode {
    const pipeline = shaders[shader]!;
    const bound = [
      this.upload(`${name} uniforms`, params, GPUBufferUsage.UNIFORM), ...inputs,
      ...weights.map((data) => this.upload(`${name} weights`, data, GPUBufferUsage.STORAGE)), output,
    ];
    const group = this.#device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0), entries: bound.map((resource, binding) => ({ binding, resource })),
    });
    return (pass) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...grid);
    };
  }

  destroy(): void {
    for (const resource of this.#made) resource.destroy();
  }
}

const byteLength = (shape: Shape4D): number =>
  shape.reduce((product, extent) => product * extent, Float32Array.BYTES_PER_ELEMENT);
