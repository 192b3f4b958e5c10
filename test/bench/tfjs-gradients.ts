import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import type { Contender } from './contender.js';
import { upstream } from './gradients.js';

/** The kernels that the gradient functions of tfjs run, on its WebGPU backend; the forward pass's results are saved. */
export async function tfjsGradients(): Promise<Contender> {
  if (!(await tf.setBackend('webgpu'))) throw new Error('tfjs could not start its backend webgpu');
  await tf.ready();
  return {
    async prepare(data) {
      const { geometry: { N, H, W, C, KH, KW, M, K, OH, OW, O, SH, SW, RH, RW } } = data;
      const x = tf.tensor4d(data.input, [N, H, W, C]);
      const d = tf.tensor4d(data.depthwiseFilter, [KH, KW, C, M]);
      const p = tf.tensor4d(data.pointwiseFilter, [1, 1, K, O]);
      const dy = tf.tensor4d(upstream(data), [N, OH, OW, O]);
      // The public way, once: it refuses what it has no gradient for.
      tf.dispose(tf.grads((...args: tf.Tensor[]) => tf.separableConv2d(
        ...args as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D], [SH, SW], 'same', [RH, RW]))([x, d, p], dy));
      const between = tf.depthwiseConv2d(x, d, [SH, SW], 'same');
      const run = (kernel: string, inputs: Record<string, tf.Tensor>, attributes: object): tf.Tensor =>
        tf.engine().runKernel(kernel, inputs, {
          pad: 'same', dataFormat: 'NHWC', dilations: [1, 1], ...attributes,
        } as Parameters<ReturnType<typeof tf.engine>['runKernel']>[2]);
      let results: tf.Tensor[] = [];
      const backward = (): tf.Tensor[] => {
        const pointwise = run('Conv2DBackpropFilter', { x: between, dy }, { strides: [1, 1], filterShape: p.shape });
        const gradient = run('Conv2DBackpropInput', { dy, filter: p }, { strides: [1, 1], inputShape: between.shape });
        const depthwise = run(
          'DepthwiseConv2dNativeBackpropFilter', { x, dy: gradient }, { strides: [SH, SW], filterShape: d.shape });
        const input = run('DepthwiseConv2dNativeBackpropInput', { dy: gradient, filter: d }, {
          strides: [SH, SW], inputShape: x.shape,
        });
        gradient.dispose();
        return [input, depthwise, pointwise];
      };
      return {
        async run(repetitions) {
          for (let i = 0; i < repetitions; i++) {
            tf.dispose(results);
            results = backward();
          }
          // A GPU's commands run in order.
          const corner = tf.slice(results[0] as tf.Tensor4D, [0, 0, 0, 0], [1, 1, 1, 1]);
          await corner.data();
          corner.dispose();
        },
        async read() {
          const parts = await Promise.all(results.map((result) => result.data()));
          return Float32Array.from(parts.flatMap((part) => [...part]));
        },
        release: () => tf.dispose([x, d, p, dy, between, ...results]),
      };
    },
  };
}
