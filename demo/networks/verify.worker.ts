import { compare } from '../compare.js';
import { referenceLayers } from './reference.js';
import type { VerifyRequest } from './verify.js';

addEventListener('message', ({ data: { layers, picture, outputs } }: MessageEvent<VerifyRequest>) => {
  let index = 0;
  for (const { data } of referenceLayers(layers, picture)) postMessage(compare(outputs[index++]!.data, data));
});
