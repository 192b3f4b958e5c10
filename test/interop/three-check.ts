import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { device, draw, filter, filtered, rendered, renderer } from '../../demo/examples/three/three.js';

/** Runs in the page of the example. */

export interface Comparison {
  /**
   * Largest differences in levels of 255: of the filtered texture from the
   * reference, and of the canvas from that texture.
   */
  readonly filtered: number;
  readonly shown: number;
  /** What a filter that does nothing would have, and a canvas that shows the texture upside down. */
  readonly unfiltered: number;
  readonly flipped: number;
}

export async function checkFrame(time: number): Promise<Comparison> {
  await renderer.setAnimationLoop(null);
  draw(time);
  const canvas = canvasLevels();
  const [{ width, height }, channels] = [filtered, 4];
  const before = await renderer.readRenderTargetPixelsAsync(rendered, 0, 0, width, height) as Uint8Array;
  const after = await textureLevels();
  const colours = (levels: ArrayLike<number>): Float32Array =>
    Float32Array.from({ length: width * height * 3 }, (_, i) => levels[Math.floor(i / 3) * channels + (i % 3)]! / 255);
  const { data } = separableConv2dReference(
    { shape: [1, height, width, 3], data: colours(before) }, filter.depthwiseFilter, filter.pointwiseFilter, filter);
  const shown = colours(after).map(toSrgb);
  const flipped = shown.map((_, i) => shown[(height - 1 - Math.floor(i / 3 / width)) * width * 3 + (i % (3 * width))]!);
  return {
    filtered: difference(colours(after), data), unfiltered: difference(colours(after), colours(before)),
    shown: difference(colours(canvas), shown), flipped: difference(colours(canvas), flipped),
  };
}

const difference = (actual: Float32Array, expected: Float32Array): number => actual.reduce((most, value, i) =>
  Math.max(most, Math.abs(value - Math.min(Math.max(expected[i]!, 0), 1)) * 255), 0);

/** What three.js does to linear colours on their way to the canvas. */
const toSrgb = (linear: number): number => (linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055);

function canvasLevels(): Uint8ClampedArray {
  const { width, height } = filtered;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
  context.drawImage(renderer.domElement, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

async function textureLevels(): Promise<Uint8Array> {
  const { width, height } = filtered;
  const bytesPerRow = Math.ceil((4 * width) / 256) * 256;
  const readable = device.createBuffer({
    size: bytesPerRow * height, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const encoder = device.createCommandEncoder();
  encoder.copyTextureToBuffer({ texture: filtered }, { buffer: readable, bytesPerRow }, [width, height]);
  device.queue.submit([encoder.finish()]);
  await readable.mapAsync(GPUMapMode.READ);
  const padded = new Uint8Array(readable.getMappedRange());
  return Uint8Array.from({ length: 4 * width * height }, (_, i) =>
    padded[Math.floor(i / 4 / width) * bytesPerRow + (i % (4 * width))]!);
}
