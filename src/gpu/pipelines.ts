import { checked } from './device.js';
import { COMPUTE } from './flags.js';
import { SepconvError } from '../arguments/errors.js';
import { type BindingKind, codeOf, FILTER_FORMAT, type Variant } from '../kernels/kernel.js';
import { LruMap } from './lru-map.js';

/** Most pipelines that a cache keeps. A dropped one still works for the convolutions that have it. */
const MOST_PIPELINES = 256;

/** How kernels bind what they read and write. */
export const ENTRIES: Readonly<Record<BindingKind, Omit<GPUBindGroupLayoutEntry, 'binding' | 'visibility'>>> = {
  'uniform': { buffer: { type: 'uniform' } },
  'read': { buffer: { type: 'read-only-storage' } },
  'write': { buffer: { type: 'storage' } },
  'texture': { texture: { sampleType: 'unfilterable-float' } },
  'write-texture': { storageTexture: { format: FILTER_FORMAT } },
  'sampler': { sampler: { type: 'non-filtering' } },
};

/** Own members only, so that none of `Object.prototype` counts. */
const ABSENT: object = { buffer: undefined, sampler: undefined, texture: undefined, storageTexture: undefined };

/**
 * The pipelines of one device that were used last, by variant name. Callers that ask at the same time share one
 * compile.
 */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelines: LruMap<Promise<GPUComputePipeline>>;
  #nearest: GPUSampler | undefined;

  constructor(device: GPUDevice, most = MOST_PIPELINES) {
    this.#device = device;
    this.#pipelines = new LruMap(most);
  }

  layout(bindings: readonly BindingKind[]): GPUBindGroupLayout {
    const key = bindings.join(' ');
    const known = this.#layouts.get(key);
    if (known) return known;
    const layout = this.#device.createBindGroupLayout({
      label: `sepconv-webgpu ${key}`,
      entries: bindings.map((kind, binding) => ({ binding, visibility: COMPUTE, ...ABSENT, ...ENTRIES[kind] })),
    });
    this.#layouts.set(key, layout);
    return layout;
  }

  /** The sampler, which reads single texels of textures. */
  get nearest(): GPUSampler {
    return this.#nearest ??= this.#device.createSampler({ label: 'sepconv-webgpu nearest' });
  }

  pipeline(variant: Variant): Promise<GPUComputePipeline> {
    const known = this.#pipelines.get(variant.name);
    if (known) return known;
    const pipeline = this.#compile(variant);
    this.#pipelines.set(variant.name, pipeline);
    pipeline.catch(() => this.#pipelines.delete(variant.name, pipeline));
    return pipeline;
  }

  async #compile(variant: Variant): Promise<GPUComputePipeline> {
    const { kernel, name, bindings } = variant;
    const code = await codeOf(variant);
    // An invalid module would make createComputePipelineAsync reject without saying why.
    let module: GPUShaderModule | undefined;
    try {
      const label = `sepconv-webgpu ${name}`;
      const layout = await checked(this.#device, name, () => {
        module = this.#device.createShaderModule({ label, code });
        return this.#device.createPipelineLayout({ label, bindGroupLayouts: [this.layout(bindings)] });
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
