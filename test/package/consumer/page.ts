import { type Report, tryLayer } from './layer.js';

/** Runs the layer on the page, then in a module worker. */
async function tryBoth(seed: number): Promise<(Report | null)[]> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  const fromWorker = new Promise<Report | null>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Report | string | null>) => {
      if (typeof data === 'string') reject(new Error(`in the worker: ${data}`));
      else resolve(data);
    };
    worker.onerror = ({ message }) => reject(new Error(message));
  });
  const fromPage = await tryLayer(seed);
  worker.postMessage(seed);
  return [fromPage, await fromWorker];
}

Object.assign(globalThis, { tryAll: tryBoth });
