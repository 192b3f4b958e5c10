import type { PictureSize } from '../networks/faces.js';
import { type Picture, sizeOf } from '../networks/detector.js';

/** Copies frames to textures. Browsers that cannot copy a video can draw it, and copy the canvas. */
export class FrameCopier {
  readonly #device: GPUDevice;
  #detour: OffscreenCanvasRenderingContext2D | undefined;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** `texture` has the frame's size, or what the frame is scaled to. */
  copy(frame: Picture, texture: GPUTexture): void {
    const { width, height } = sizeOf(frame);
    const scaled = width !== texture.width || height !== texture.height;
    if (this.#detour === undefined && !scaled) {
      try {
        this.#put(frame, texture);
        return;
      } catch (error) {
        if (!(frame instanceof HTMLVideoElement)) throw error;
      }
    }
    this.#detour ??= new OffscreenCanvas(1, 1).getContext('2d', { alpha: false })!;
    const { canvas } = this.#detour;
    if (canvas.width !== texture.width) canvas.width = texture.width;
    if (canvas.height !== texture.height) canvas.height = texture.height;
    this.#detour.drawImage(frame, 0, 0, canvas.width, canvas.height);
    this.#put(canvas, texture);
  }

  #put(source: Picture, texture: GPUTexture): void {
    this.#device.queue.copyExternalImageToTexture({ source }, { texture }, [texture.width, texture.height]);
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
