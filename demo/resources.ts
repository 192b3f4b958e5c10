import type { Shape4D } from 'sepconv-webgpu';

interface Resource { destroy(): void }

/** Records what one dispatch, or several, do. */
export type Encode = (pass: GPUComputePassEncoder) => void;

/** What is made on a device for one purpose, and destroyed together. */
export class Resources {
  readonly device: GPUDevice;
  readonly #label: string;
  readonly #made: Resource[] = [];
  #destroyed = false;

  /** `label` comes before the names of all that is made. */
  constructor(device: GPUDevice, label: string) {
    this.device = device;
    this.#label = label;
  }

  /** What comes after the end is destroyed at once. */
  keep<R extends Resource>(resource: R): R {
    if (this.#destroyed) resource.destroy();
    else this.#made.push(resource);
    return resource;
  }

  buffer(name: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    return this.keep(this.device.createBuffer({ label: `${this.#label} ${name}`, size, usage }));
  }

  /** A tensor that shaders write and read, and that may be read back or written. */
  tensor(name: string, shape: Shape4D): GPUBuffer {
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    return this.buffer(name, byteLength(shape), STORAGE | COPY_SRC | COPY_DST);
  }

  upload(
    name: string, data: ArrayBuffer | Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>,
    usage: GPUBufferUsageFlags,
  ): GPUBuffer {
    const buffer = this.buffer(name, data.byteLength, usage | GPUBufferUsage.COPY_DST);
    this.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  pipeline(label: string, code: string, entryPoint = 'main'): Promise<GPUComputePipeline> {
    const module = this.device.createShaderModule({ label, code });
    return this.device.createComputePipelineAsync({ label, layout: 'auto', compute: { module, entryPoint } });
  }

  renderPipeline(label: string, code: string, format: GPUTextureFormat): Promise<GPURenderPipeline> {
    const module = this.device.createShaderModule({ label, code });
    return this.device.createRenderPipelineAsync({
      label, layout: 'auto', vertex: { module }, fragment: { module, targets: [{ format }] },
    });
  }

  group(pipeline: GPUComputePipeline | GPURenderPipeline, resources: readonly GPUBindingResource[]): GPUBindGroup {
    return this.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0), entries: resources.map((resource, binding) => ({ binding, resource })),
    });
  }

  /** A dispatch whose bind group is made now. */
  dispatch(
    pipeline: GPUComputePipeline, resources: readonly GPUBindingResource[], grid: readonly [x: number, y: number],
  ): Encode {
    const group = this.group(pipeline, resources);
    return (pass) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...grid);
    };
  }

  destroy(): void {
    this.#destroyed = true;
    for (const resource of this.#made) resource.destroy();
  }
}

const byteLength = (shape: Shape4D): number =>
  shape.reduce((product, extent) => product * extent, Float32Array.BYTES_PER_ELEMENT);
