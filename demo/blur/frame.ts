import type { PictureSize } from '../networks/faces.js';
import { type Picture, sizeOf } from '../networks/detector.js';

/**
 * Copies frames to textures. Browsers that cannot copy a video can draw it, and copy the canvas. On a software adapter
 * pixels are written: for 1920×1537, SwiftShader takes 21 ms for that and 400 ms to copy a bitmap.
 */
export class FrameCopier {
  readonly #device: GPUDevice;
  readonly #isSoftware: boolean;
  #detour: OffscreenCanvasRenderingContext2D | undefined;
  #copiesVideos = true;

  constructor(device: GPUDevice, isSoftware: boolean) {
    this.#device = device;
    this.#isSoftware = isSoftware;
  }

  /** `texture` has the frame's size, or what the frame is scaled to. */
  copy(frame: Picture, texture: GPUTexture): void {
    const { width, height } = texture;
    const { queue } = this.#device;
    const size = sizeOf(frame);
    const scaled = width !== size.width || height !== size.height;
    const isVideo = frame instanceof HTMLVideoElement;
    if ((this.#copiesVideos || !isVideo) && !scaled && !this.#isSoftware) {
      try {
        queue.copyExternalImageToTexture({ source: frame }, { texture }, [width, height]);
        return;
      } catch (error) {
        if (!isVideo) throw error;
        this.#copiesVideos = false;
      }
    }
    const context = this.#detour ??=
      new OffscreenCanvas(1, 1).getContext('2d', { alpha: false, willReadFrequently: this.#isSoftware })!;
    const { canvas } = context;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    context.imageSmoothingQuality = 'high'; // For what is scaled down; a canvas's new size forgets it.
    context.drawImage(frame, 0, 0, width, height);
    if (!this.#isSoftware) {
      queue.copyExternalImageToTexture({ source: canvas }, { texture }, [width, height]);
      return;
    }
    const { data } = context.getImageData(0, 0, width, height);
    queue.writeTexture({ texture }, data, { bytesPerRow: 4 * width }, [width, height]);
  }
}

/** A size with the same shape whose sides are at most `largest`. */
export function limited({ width, height }: PictureSize, largest: number): [width: number, height: number] {
  const scale = Math.min(1, largest / Math.max(width, height));
  const side = (length: number): number => (length === 0 ? 0 : Math.max(1, Math.round(length * scale)));
  return [side(width), side(height)];
}

/** For a picture that is copied to it, or drawn on it. */
export const pictureTexture = (
  device: GPUDevice, label: string, width: number, height: number, more: GPUTextureUsageFlags = 0,
): GPUTexture => device.createTexture({
  label: `blur ${label}`, size: [width, height], format: 'rgba8unorm',
  usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.RENDER_ATTACHMENT | more,
});
