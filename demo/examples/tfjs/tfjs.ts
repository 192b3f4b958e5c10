import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { ready } from 'sepconv-webgpu/tfjs';
import { showLoss } from '../report.js';
import { mobileNetV1, mobileNetV2 } from './models.js';
import { swapLayers } from './swap.js';

/** Two models of tfjs, each as it is, then with its separable, depthwise and 1x1 layers computed by sepconv-webgpu. */

const output = document.querySelector('pre')!;
const print = (line: string): void => output.append(`${line}\n`);

await tf.setBackend('webgpu');
await tf.ready();
(tf.backend() as WebGPUBackend).device.lost.then(showLoss, reportError);

/** Milliseconds of a prediction, until its result is there. */
export async function time(model: LayersModel, x: tf.Tensor): Promise<number> {
  const start = performance.now();
  const y = model.predict(x) as tf.Tensor;
  await y.data();
  y.dispose();
  return performance.now() - start;
}

async function compare(name: string, model: LayersModel): Promise<() => void> {
  const x = tf.randomUniform([1, 96, 96, 3]);
  const theirs = model.predict(x) as tf.Tensor;
  await theirs.data(); // Its kernels are compiled now.
  print(`${name} by tfjs            ${(await time(model, x)).toFixed(1)} ms`);
  const restore = swapLayers(model);
  (model.predict(x) as tf.Tensor).dispose(); // While tfjs's kernels still compute this,
  await ready(); //                             ours compile.
  const ours = model.predict(x) as tf.Tensor;
  await ours.data();
  print(`${name} by sepconv-webgpu  ${(await time(model, x)).toFixed(1)} ms`);
  const [difference] = await tf.tidy(() => tf.max(tf.abs(tf.sub(theirs, ours)))).data();
  print(`They differ by at most ${difference!.toExponential(1)}.`);
  tf.dispose([x, theirs, ours]);
  return restore;
}

export const models = { 'MobileNetV1': mobileNetV1(), 'MobileNetV2': mobileNetV2() } as const;
export const restore = {
  'MobileNetV1': await compare('MobileNetV1', models.MobileNetV1),
  'MobileNetV2': await compare('MobileNetV2', models.MobileNetV2),
} as const;
