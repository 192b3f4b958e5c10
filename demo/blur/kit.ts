/** What records a step of the effect into a pass. */
export type Step = (pass: GPUComputePassEncoder) => void;

/**
 * Makes work take turns: at once where none is going on, else after it. What failed does not keep the next from its
 * turn.
 */
export function takingTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> | undefined;
  return (work) => {
    const result = last === undefined ? work() : last.then(work);
    const ended = result.catch(() => undefined).then(() => {
      if (last === ended) last = undefined;
    });
    last = ended;
    return result;
  };
}

/** Makes GPU objects and destroys them all at the end. */
export class Kit {
  readonly device: GPUDevice;
  readonly #made: { destroy(): void }[] = [];

  constructor(device: GPUDevice) {
    this.device = device;
  }

  keep<R extends { destroy(): void }>(resource: R): R {
    this.#made.push(resource);
    return resource;
  }

  buffer(label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    return this.keep(this.device.createBuffer({ label: `blur ${label}`, size, usage }));
  }

  pipeline(label: string, code: string): Promise<GPUComputePipeline> {
    const module = this.device.createShaderModule({ label, code });
    return this.device.createComputePipelineAsync({ label, layout: 'auto', compute: { module } });
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
  ): Step {
    const group = this.group(pipeline, resources);
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
