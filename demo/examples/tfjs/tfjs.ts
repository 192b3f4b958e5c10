import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import { initializers, layers, sequential } from '@tensorflow/tfjs-layers';
import { ready } from 'sepconv-webgpu/tfjs';
import { showLoss } from '../report.js';
import { swapSeparableLayers } from './swap.js';

/** A model of tfjs, first as it is, then with its separable layers computed by sepconv-webgpu on the same device. */

const output = document.querySelector('pre')!;
const print = (line: string): void => output.append(`${line}\n`);

await tf.setBackend('webgpu');
await tf.ready();
(tf.backend() as WebGPUBackend).device.lost.then(showLoss, reportError);

/** The first layers of MobileNetV1, with random weights. */
const depthwiseInitializer = initializers.randomUniform({ minval: -0.4, maxval: 0.4 }); // The pointwise one too.
export const model = sequential({ layers: [
  layers.conv2d({
    inputShape: [96, 96, 3], filters: 32, kernelSize: 3, strides: 2, padding: 'same', activation: 'relu6',
  }),
  ...([[64, 1], [128, 2], [128, 1], [256, 2]] as const).map(([filters, strides]) =>
    layers.separableConv2d({
      filters, strides, kernelSize: 3, padding: 'same', activation: 'relu6', depthwiseInitializer,
    })),
  layers.globalAveragePooling2d({}),
  layers.dense({ units: 10 }),
] });

/** Milliseconds of a prediction, until its result is there. */
export async function time(x: tf.Tensor): Promise<number> {
  const start = performance.now();
  const y = model.predict(x) as tf.Tensor;
  await y.data();
  y.dispose();
  return performance.now() - start;
}

const x = tf.randomUniform([1, 96, 96, 3]);
const theirs = model.predict(x) as tf.Tensor;
await theirs.data(); // Its kernels are compiled now.
print(`tfjs            ${(await time(x)).toFixed(1)} ms`);

export const restore = swapSeparableLayers(model);
(model.predict(x) as tf.Tensor).dispose(); // While tfjs's kernels still compute this,
await ready(); //                             ours compile.
const ours = model.predict(x) as tf.Tensor;
await ours.data();
print(`sepconv-webgpu  ${(await time(x)).toFixed(1)} ms`);
const [difference] = await tf.tidy(() => tf.max(tf.abs(tf.sub(theirs, ours)))).data();
print(`They differ by at most ${difference!.toExponential(1)}.`);
tf.dispose([x, theirs, ours]);
