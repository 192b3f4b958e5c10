import { pictureTexture } from './frame.js';

/** Where frames are shown. */
export interface Screen {
  readonly format: GPUTextureFormat;
  /** What the next frame of that size is drawn on. */
  target(width: number, height: number): GPUTextureView;
  /** Records what follows the drawing. */
  record(encoder: GPUCommandEncoder): void;
  /** Shows the frame, once it was submitted. */
  show(): Promise<void>;
  destroy(): void;
}

export type Canvas = HTMLCanvasElement | OffscreenCanvas;

/** A canvas that the GPU draws on: nothing leaves it. */
export function gpuScreen(device: GPUDevice, canvas: Canvas): Screen {
  const context = canvas.getContext('webgpu') as GPUCanvasContext | null;
  if (context === null) throw new Error('This browser gave no canvas that WebGPU can draw on.');
  const format = navigator.gpu.getPreferredCanvasFormat();
  context.configure({ device, format, alphaMode: 'opaque' });
  return {
    format,
    target(width, height) {
      resize(canvas, width, height);
      return context.getCurrentTexture().createView();
    },
    record: () => {},
    show: () => device.queue.onSubmittedWorkDone(),
    destroy: () => context.unconfigure(),
  };
}

/**
 * A canvas that frames are copied to, through memory. For software adapters, whose memory is the CPU's anyway: browsers
 * draw a page by other means than such an adapter, and some lose the GPU at the first frame of a WebGPU canvas.
 */
export function copiedScreen(device: GPUDevice, canvas: Canvas): Screen {
  const context = canvas.getContext('2d', { alpha: false }) as CanvasRenderingContext2D | null;
  if (context === null) throw new Error('This browser gave no canvas to draw on.');
  let copy: { texture: GPUTexture; view: GPUTextureView; pixels: TexturePixels; image: ImageData } | undefined;
  const free = (): void => {
    copy?.texture.destroy();
    copy?.pixels.destroy();
  };
  return {
    format: PIXEL_FORMAT,
    target(width, height) {
      if (copy?.texture.width !== width || copy.texture.height !== height) {
        free();
        const texture = readableTexture(device, width, height);
        const pixels = new TexturePixels(device, texture);
        copy = { texture, view: texture.createView(), pixels, image: new ImageData(width, height) };
      }
      return copy.view;
    },
    record: (encoder) => copy!.pixels.record(encoder),
    async show() {
      const { pixels, image } = copy!;
      await pixels.read(image);
      resize(canvas, image.width, image.height);
      context.putImageData(image, 0, 0);
    },
    destroy: free,
  };
}

/** Of textures whose pixels are read as an ImageData has them. */
export const PIXEL_FORMAT = 'rgba8unorm';

export const readableTexture = (device: GPUDevice, width: number, height: number): GPUTexture =>
  pictureTexture(device, 'picture', width, height, GPUTextureUsage.COPY_SRC);

/** Reads a texture of PIXEL_FORMAT, any number of times. */
export class TexturePixels {
  readonly #texture: GPUTexture;
  readonly #buffer: GPUBuffer;
  readonly #bytesPerRow: number;

  constructor(device: GPUDevice, texture: GPUTexture) {
    this.#texture = texture;
    this.#bytesPerRow = Math.ceil(texture.width / 64) * 256;
    this.#buffer = device.createBuffer({
      label: 'blur pixels', size: this.#bytesPerRow * texture.height,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }

  record(encoder: GPUCommandEncoder): void {
    const { width, height } = this.#texture;
    const target = { buffer: this.#buffer, bytesPerRow: this.#bytesPerRow };
    encoder.copyTextureToBuffer({ texture: this.#texture }, target, [width, height]);
  }

  /** Fills an image of the texture's size. */
  async read({ width, height, data }: ImageData): Promise<void> {
    await this.#buffer.mapAsync(GPUMapMode.READ);
    const bytes = new Uint8Array(this.#buffer.getMappedRange());
    for (let y = 0; y < height; y++) {
      const start = y * this.#bytesPerRow;
      data.set(bytes.subarray(start, start + 4 * width), 4 * width * y);
    }
    this.#buffer.unmap();
  }

  destroy(): void {
    this.#buffer.destroy();
  }
}

/** Setting a canvas's size clears it, even where it stays the same. */
function resize(canvas: Canvas, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}
