import { tryLayer } from './layer.js';

self.onmessage = async ({ data: seed }: MessageEvent<number>) => {
  self.postMessage(await tryLayer(seed).catch(String));
};
