import * as tf from '@tensorflow/tfjs-core';
import type { Contender } from './contender.js';

const backends = {
  webgpu: () => import('@tensorflow/tfjs-backend-webgpu'),
  webgl: () => import('@tensorflow/tfjs-backend-webgl'),
  async wasm() {
    const [{ setWasmPaths }, plain, simd, threaded] = await Promise.all([
      import('@tensorflow/tfjs-backend-wasm'),
      import('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url'),
      import('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url'),
      import('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url'),
    ]);
    setWasmPaths({
      'tfjs-backend-wasm.wasm': plain.default,
      'tfjs-backend-wasm-simd.wasm': simd.default,
      'tfjs-backend-wasm-threaded-simd.wasm': threaded.default,
    });
  },
};

export async function tfjs(name: keyof typeof backends): Promise<Contender> {
  await backends[name]();
  if (!(await tf.setBackend(name))) throw new Error(`tfjs could not start its backend ${name}`);
  await tf.ready();
  return {
    async prepare({ geometry: { N, H, W, C, KH, KW, M, K, O, SH, SW, RH, RW }, ...data }) {
      const input = tf.tensor4d(data.input, [N, H, W, C]);
      const depthwise = tf.tensor4d(data.depthwiseFilter, [KH, KW, C, M]);
      const pointwise = tf.tensor4d(data.pointwiseFilter, [1, 1, K, O]);
      let result: tf.Tensor4D | undefined;
      return {
        async run(repetitions) {
          for (let i = 0; i < repetitions; i++) {
            result?.dispose();
            result = tf.separableConv2d(input, depthwise, pointwise, [SH, SW], 'same', [RH, RW]);
          }
          if (name === 'wasm') return; // which computes at once
          const corner = tf.slice(result!, [0, 0, 0, 0], [1, 1, 1, 1]); // A GPU's commands run in order.
          await corner.data();
          corner.dispose();
        },
        read: async () => (await result!.data()) as Float32Array,
        release: () => tf.dispose([input, depthwise, pointwise, result!]),
      };
    },
  };
}
