import { computeAll } from './sharing-scenarios.js';

/** The page's work again, in a worker. */
addEventListener('message', ({ data: seed }: MessageEvent<number>) => {
  computeAll(seed).then((results) => postMessage(results), (error: unknown) => postMessage(String(error)));
});
