import type { PipelineManager, Tensor4D } from 'sepconv-webgpu';
import { GpuNetwork, type PreparedLayer } from './gpu-network.js';
import type { Network } from './network.js';
import { selfieSegmentation } from './segmentation.js';
import { readModel } from './tflite.js';
import { LAYER_TOLERANCE } from './verify.js';
import { fetchFile } from './weights.js';

// Written out, because the bundler finds a file by this literal form only.
const FILE = new URL('../../node_modules/@mediapipe/selfie_segmentation/selfie_segmentation.tflite', import.meta.url);

/**
 * What a probability may differ by from the reference. The sums that they are the sigmoid of are large, so that their
 * small errors count more than in other layers: 5e-5 is the largest difference on the sample photos.
 */
export const MASK_TOLERANCE = 1e-3;

/** What a layer may differ by from the reference, relative to its largest value. */
export const toleranceOf = (layer: string): number => (layer === 'mask' ? MASK_TOLERANCE : LAYER_TOLERANCE);

/** Tells people from the background, on the GPU, in the caller's own pass. */
export class Segmenter {
  readonly device: GPUDevice;
  readonly network: Network;
  /** The picture, stretched to a square: float32 `[1, 256, 256, 3]`, red, green, blue from 0 to 1. */
  readonly input: GPUBuffer;
  /**
   * Probabilities of a person, float32 `[1, 128, 128, 4]`: channel `2*dy + dx` of pixel (y, x) is that of the picture's
   * (2y + dy, 2x + dx).
   */
  readonly mask: GPUBuffer;
  readonly layers: readonly PreparedLayer[];
  readonly #gpu: GpuNetwork;

  /** Loads the network and compiles it. `onProgress` gets what is going on, and how much of it is done, 0 to 1. */
  static async create(
    manager: PipelineManager, onProgress: (what: string, share: number) => void = () => {},
  ): Promise<Segmenter> {
    onProgress('Loading the network', 0);
    const file = new Uint8Array(await (await fetchFile(FILE.href)).arrayBuffer());
    const network = selfieSegmentation(readModel(file));
    const gpu = await GpuNetwork.create(manager, network, 'auto', (share) =>
      onProgress('Compiling the kernels', share));
    return new Segmenter(network, gpu);
  }

  private constructor(network: Network, gpu: GpuNetwork) {
    this.device = gpu.device;
    this.network = network;
    this.input = gpu.input;
    this.mask = gpu.stepOf('mask').output;
    this.layers = gpu.steps;
    this.#gpu = gpu;
  }

  /** Records the whole network. */
  encode(pass: GPUComputePassEncoder): void {
    this.#gpu.encode(pass);
  }

  /** What each layer made at the last run, after the tensor that the first one read. */
  readLayers(): Promise<Tensor4D[]> {
    return this.#gpu.readLayers();
  }

  destroy(): void {
    this.#gpu.destroy();
  }
}

/** A mask as the network gives it, `[1, 128, 128, 4]`, row by row: `[256 * 256]`. */
export function maskRows({ shape: [,, W], data }: Tensor4D): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(data.length);
  for (const [i, probability] of data.entries()) {
    const [pixel, tap] = [Math.floor(i / 4), i % 4];
    const [y, x] = [2 * Math.floor(pixel / W) + Math.floor(tap / 2), 2 * (pixel % W) + (tap % 2)];
    rows[y * 2 * W + x] = probability;
  }
  return rows;
}
