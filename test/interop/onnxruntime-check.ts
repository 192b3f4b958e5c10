import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { classify, weights } from '../../demo/examples/onnxruntime/onnxruntime.js';
import { random, randomData } from '../random.js';
import { onCall } from './calls.js';

/** Runs in the page of the example. */

export interface Comparison {
  readonly actual: readonly number[];
  readonly expected: readonly number[];
  /** How often anything was read back from the GPU, beside the scores. */
  readonly readbacks: number;
}

export async function checkClassify(seed: number): Promise<Comparison> {
  const picture = randomData(3 * 32 * 32, random(seed));
  let readbacks = 0;
  onCall(GPUBuffer.prototype, 'mapAsync', (mode) => {
    if (mode === GPUMapMode.READ) readbacks++;
  });
  const actual = await classify(picture);
  return { actual: [...actual], expected: classifyOnCpu(picture), readbacks: readbacks - 1 };
}

/** The two models and the layer between them in plain loops. */
function classifyOnCpu(picture: Float32Array): number[] {
  const { filter, layer, matrix } = weights;
  const features = new Float32Array(16 * 16 * 8);
  for (let at = 0; at < features.length; at++) {
    const [y, x, o] = [Math.floor(at / 128), Math.floor(at / 8) % 16, at % 8];
    let sum = 0;
    for (let tap = 0; tap < 27; tap++) {
      const [c, dy, dx] = [Math.floor(tap / 9), Math.floor(tap / 3) % 3, tap % 3];
      const [row, column] = [2 * y + dy - 1, 2 * x + dx - 1];
      const inside = row >= 0 && row < 32 && column >= 0 && column < 32;
      sum += inside ? picture[(c * 32 + row) * 32 + column]! * filter.data[o * 27 + tap]! : 0;
    }
    features[at] = Math.max(sum, 0);
  }
  const { data } = separableConv2dReference(
    { shape: [1, 16, 16, 8], data: features }, layer.depthwiseFilter, layer.pointwiseFilter,
    { padding: layer.padding, activation: layer.activation });
  const logits = [0, 1, 2, 3].map((score) =>
    data.reduce((sum, value, i) => sum + (value / 256) * matrix.data[(i % 24) * 4 + score]!, 0));
  const powers = logits.map(Math.exp);
  return powers.map((power) => power / powers.reduce((a, b) => a + b));
}
