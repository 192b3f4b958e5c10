import { checked } from './device.js';
import { SepconvError } from './errors.js';
import type { Variant } from './kernels.js';
import { Recent } from './recent.js';

/** Pipelines that a cache keeps. One that goes keeps working for the convolutions that have it. */
const MOST_PIPELINES = 256;

/** The pipelines of one device that were used last, by variant name. Callers that ask at the same time share one compile. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<number, GPUBindGroupLayout>();
  readonly #pipelines: Recent<Promise<GPUComputePipeline>>;

  constructor(device: GPUDevice, most = MOST_PIPELINES) {
    this.#device = device;
    this.#pipelines = new Recent(most);
  }

  /** Params at binding 0, then so many operands; the last is written. */
  layout(operands: number): GPUBindGroupLayout {
    const known = this.#layouts.get(operands);
    if (known) return known;
    const types = Array.from({ length: operands + 1 }, (_, binding): GPUBufferBindingType =>
      (binding === 0 ? 'uniform' : binding < operands ? 'read-only-storage' : 'storage'));
    const layout = this.#device.createBindGroupLayout({
      label: `sepconv-webgpu ${operands} operands`,
      entries: types.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
    });
    this.#layouts.set(operands, layout);
    return layout;
  }

  pipeline(variant: Variant<string>): Promise<GPUComputePipeline> {
    const known = this.#pipelines.get(variant.name);
    if (known) return known;
    const pipeline = this.#compile(variant);
    this.#pipelines.set(variant.name, pipeline);
    pipeline.catch(() => this.#pipelines.delete(variant.name, pipeline));
    return pipeline;
  }

  async #compile({ kernel, name, source, operands }: Variant<string>): Promise<GPUComputePipeline> {
    // An invalid module would make createComputePipelineAsync reject without saying why.
    let module: GPUShaderModule | undefined;
    try {
      const label = `sepconv-webgpu ${name}`;
      const layout = await checked(this.#device, name, () => {
        module = this.#device.createShaderModule({ label, code: source });
        return this.#device.createPipelineLayout({ label, bindGroupLayouts: [this.layout(operands)] });
      });
      return await this.#device.createComputePipelineAsync({ label, layout, compute: { module: module! } });
    } catch (error) {
      const messages = (await module?.getCompilationInfo().catch(() => undefined))?.messages ?? [];
      const details = messages.filter(({ type }) => type === 'error')
        .map(({ lineNum, message }) => `${kernel}.wgsl:${lineNum}: ${message}`).join('\n');
      throw details ? new SepconvError(`${name}: the shader did not compile: ${details}`, { cause: error }) : error;
    }
  }
}
