import pictureSource from '../shaders/picture.wgsl?raw';
import showSource from '../shaders/show.wgsl?raw';

/** What a browser can put into a texture. A cross-origin picture needs CORS, a VideoFrame must not be closed yet. */
export type Picture = HTMLVideoElement | VideoFrame | ImageBitmap | HTMLCanvasElement | OffscreenCanvas;

/**
 * Between pictures and NHWC buffers `[1, H, W, 3]` of float32 red, green, blue, on one device. Nothing passes through
 * the CPU.
 */
export interface Pictures {
  /** Copies a picture into a texture of its size, as made by `pictureTexture`: colours from 0 to 1 as stored (sRGB). */
  copy(from: Picture, to: GPUTexture): void;
  /**
   * Any 2D texture of float samples, such as a renderer's target; its colours are taken as they are. Usage
   * TEXTURE_BINDING.
   */
  toTensor(pass: GPUComputePassEncoder, from: GPUTexture, to: GPUBuffer): void;
  /** A texture of format rgba8unorm, such as a canvas's. Usage STORAGE_BINDING. */
  toTexture(pass: GPUComputePassEncoder, from: GPUBuffer, to: GPUTexture): void;
}

export async function createPictures(device: GPUDevice): Promise<Pictures> {
  const compile = (label: string, code: string): Promise<GPUComputePipeline> => device.createComputePipelineAsync({
    label, layout: 'auto', compute: { module: device.createShaderModule({ label, code }) },
  });
  const [toTensor, toTexture] = await Promise.all([compile('picture', pictureSource), compile('show', showSource)]);
  const params = device.createBuffer({
    label: 'picture', size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(params, 0, Float32Array.of(0, 0, 0, 1)); // offset and scale

  const dispatch = (
    pass: GPUComputePassEncoder, pipeline: GPUComputePipeline, resources: GPUBindingResource[],
    { width, height }: GPUTexture,
  ): void => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0), entries: resources.map((resource, binding) => ({ binding, resource })),
    }));
    pass.dispatchWorkgroups(Math.ceil(width / 8), Math.ceil(height / 8));
  };
  return {
    copy(source, texture) {
      const { width, height } = texture;
      try {
        device.queue.copyExternalImageToTexture({ source }, { texture }, [width, height]);
      } catch { // Not every browser copies videos, but all draw them.
        const canvas = new OffscreenCanvas(width, height);
        canvas.getContext('2d')!.drawImage(source, 0, 0);
        device.queue.copyExternalImageToTexture({ source: canvas }, { texture }, [width, height]);
      }
    },
    toTensor: (pass, from, to) =>
      dispatch(pass, toTensor, [{ buffer: params }, from.createView(), { buffer: to }], from),
    toTexture: (pass, from, to) => dispatch(pass, toTexture, [{ buffer: from }, to.createView()], to),
  };
}

/** A texture to copy pictures into. */
export const pictureTexture = (device: GPUDevice, width: number, height: number): GPUTexture => device.createTexture({
  label: 'picture', size: [width, height], format: 'rgba8unorm',
  usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.RENDER_ATTACHMENT,
});

/** A buffer for `[1, height, width, 3]`. */
export const pictureBuffer = (device: GPUDevice, width: number, height: number): GPUBuffer => device.createBuffer({
  label: 'picture', size: 4 * width * height * 3, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
});
