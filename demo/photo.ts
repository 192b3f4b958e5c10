import type { Tensor4D } from 'sepconv-webgpu';

/**
 * Decodes a photo as the viewer would see it, turned as its EXIF orientation says, on white where it is transparent.
 * @throws Error in plain words
 */
export async function decodePhoto(file: Blob, name: string): Promise<ImageBitmap> {
  let photo: ImageBitmap;
  try {
    photo = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch (cause) {
    throw new Error(`${name} is not a picture that this browser can decode.`, { cause });
  }
  if (file.type === 'image/jpeg') return photo; // These are never transparent.
  const canvas = new OffscreenCanvas(photo.width, photo.height);
  const context = canvas.getContext('2d', { alpha: false })!;
  context.fillStyle = 'white';
  context.fillRect(0, 0, photo.width, photo.height);
  context.drawImage(photo, 0, 0);
  photo.close();
  return canvas.transferToImageBitmap();
}

/**
 * `[1, H, W, 3]`, red, green and blue from 0 to 1 as stored (sRGB), scaled down so that no side exceeds `longestSide`.
 */
export function photoToTensor(photo: ImageBitmap, longestSide: number): Tensor4D {
  const scale = Math.min(1, longestSide / Math.max(photo.width, photo.height));
  const W = Math.max(1, Math.round(photo.width * scale));
  const H = Math.max(1, Math.round(photo.height * scale));
  const context = new OffscreenCanvas(W, H).getContext('2d', { alpha: false, willReadFrequently: true });
  if (context === null) throw new Error('This browser gave no 2D canvas to read the photo with.');
  context.imageSmoothingQuality = 'high';
  context.drawImage(photo, 0, 0, W, H);
  const rgba = context.getImageData(0, 0, W, H).data;
  const data = new Float32Array(H * W * 3);
  for (let pixel = 0; pixel < H * W; pixel++) {
    for (let c = 0; c < 3; c++) data[pixel * 3 + c] = (rgba[pixel * 4 + c] ?? 0) / 255;
  }
  return { shape: [1, H, W, 3], data };
}

/** Draws the first picture of `[N, H, W, 3]`. Only what is drawn is clamped to 0..1; the tensor stays as it is. */
export function drawTensor(canvas: HTMLCanvasElement, { shape: [, H, W], data }: Tensor4D): void {
  canvas.width = W;
  canvas.height = H;
  const image = new ImageData(W, H);
  for (let pixel = 0; pixel < H * W; pixel++) {
    // A Uint8ClampedArray rounds and clamps what it is given.
    for (let c = 0; c < 3; c++) image.data[pixel * 4 + c] = (data[pixel * 3 + c] ?? 0) * 255;
    image.data[pixel * 4 + 3] = 255;
  }
  canvas.getContext('2d')?.putImageData(image, 0, 0);
}
