import type { Tensor4D } from 'sepconv-webgpu';
import type { ReferenceOptions } from 'sepconv-webgpu/reference';
import type { Difference } from './compare.js';

/** The largest difference from the reference that float32 may have, relative to the largest reference value. */
export const TOLERANCE = 2e-6;

export interface CheckRequest {
  readonly input: Tensor4D;
  readonly depthwiseFilter: Tensor4D;
  readonly pointwiseFilter: Tensor4D;
  readonly options: ReferenceOptions;
  /** What the GPU made of it. */
  readonly actual: Tensor4D;
}

export interface CheckResult extends Difference {
  readonly milliseconds: number;
}

/**
 * Computes the reference on the CPU, in a worker so that the page stays responsive, and compares.
 * A worker lives for one check: ending it is the only way to stop a loop in it, which is what a newer request needs.
 */
export async function checkAgainstReference(request: CheckRequest, signal: AbortSignal): Promise<CheckResult> {
  const worker = new Worker(new URL('./reference.worker.ts', import.meta.url), { type: 'module', name: 'reference' });
  try {
    return await new Promise<CheckResult>((resolve, reject) => {
      worker.addEventListener('message', ({ data }: MessageEvent<CheckResult>) => resolve(data));
      worker.addEventListener('error', ({ message }) => {
        reject(new Error(`The check on the CPU failed: ${message || 'its worker did not load'}`));
      });
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      signal.throwIfAborted();
      worker.postMessage(request);
    });
  } finally {
    worker.terminate();
  }
}
