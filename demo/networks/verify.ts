import type { Tensor4D } from 'sepconv-webgpu';
import type { Difference } from '../compare.js';
import type { Layer, Network } from './network.js';

/**
 * What a layer in float32 may differ by from the reference, relative to the layer's largest value.
 * Errors of early layers travel through the later ones: the largest found on the sample photos is 2e-5.
 */
export const LAYER_TOLERANCE = 5e-5;

export interface VerifyRequest {
  readonly layers: readonly Layer[];
  /** The first layer's input. */
  readonly picture: Tensor4D;
  /** What the GPU made of it, layer by layer. */
  readonly outputs: readonly Tensor4D[];
}

/** A network that has run on the GPU. */
interface Ran {
  readonly network: Network;
  readLayers(): Promise<Tensor4D[]>;
}

/**
 * Runs the last picture through the reference on the CPU, layer by layer, in a worker. `onLayer` gets the difference of
 * each layer as it becomes known, in order; the CPU's results, not the GPU's, are what its next layer reads.
 */
export async function verify(
  ran: Ran, onLayer: (difference: Difference, index: number) => void, signal: AbortSignal,
): Promise<void> {
  const { layers } = ran.network;
  const [picture, ...outputs] = await ran.readLayers();
  const worker = new Worker(new URL('./verify.worker.ts', import.meta.url), {
    type: 'module', name: 'network reference',
  });
  try {
    await new Promise<void>((resolve, reject) => {
      let index = 0;
      worker.addEventListener('message', ({ data }: MessageEvent<Difference>) => {
        onLayer(data, index++);
        if (index === layers.length) resolve();
      });
      worker.addEventListener('error', ({ message }) => {
        reject(new Error(`The check on the CPU failed: ${message || 'its worker did not load'}`));
      });
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      signal.throwIfAborted();
      worker.postMessage({ layers, picture: picture!, outputs } satisfies VerifyRequest);
    });
  } finally {
    worker.terminate();
  }
}
