import * as tf from '@tensorflow/tfjs-core';
import type { Problem } from '../cases.js';
import type { Contender } from './contender.js';
import type { Tensors } from './workloads.js';

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
    async prepare(problem) {
      const { compute, tensors } = problem.expand ? block(problem, problem.expand) : layer(problem);
      let result: tf.Tensor4D | undefined;
      return {
        async run(repetitions) {
          for (let i = 0; i < repetitions; i++) {
            result?.dispose();
            result = compute();
          }
          if (name === 'wasm') return; // which computes at once
          const corner = tf.slice(result!, [0, 0, 0, 0], [1, 1, 1, 1]); // A GPU's commands run in order.
          await corner.data();
          corner.dispose();
        },
        read: async () => (await result!.data()) as Float32Array,
        release: () => tf.dispose([...tensors, result!]),
      };
    },
  };
}

interface Computation {
  readonly compute: () => tf.Tensor4D;
  readonly tensors: readonly tf.Tensor[];
}

function layer({ geometry: { N, H, W, C, KH, KW, M, K, O, SH, SW, RH, RW }, ...data }: Tensors): Computation {
  const input = tf.tensor4d(data.input, [N, H, W, C]);
  const depthwise = tf.tensor4d(data.depthwiseFilter, [KH, KW, C, M]);
  const pointwise = tf.tensor4d(data.pointwiseFilter, [1, 1, K, O]);
  return {
    compute: () => tf.separableConv2d(input, depthwise, pointwise, [SH, SW], 'same', [RH, RW]),
    tensors: [input, depthwise, pointwise],
  };
}

/** As tfjs's converter leaves a block: convolutions with their biases and relu6, but SiLU in two operations. */
function block({ geometry: g, ...data }: Tensors, expand: Problem): Computation {
  const { N, H, W, C, KH, KW, M, K, O, SH, SW } = g;
  const x = tf.tensor4d(expand.input, [N, H, W, expand.geometry.C]);
  const [up, upBias] = [tf.tensor4d(expand.pointwiseFilter, [1, 1, expand.geometry.C, C]), tf.tensor1d(expand.bias!)];
  const [between, betweenBias] = [tf.tensor4d(data.depthwiseFilter, [KH, KW, C, M]), tf.tensor1d(data.depthwiseBias!)];
  const [down, downBias] = [tf.tensor4d(data.pointwiseFilter, [1, 1, K, O]), tf.tensor1d(data.bias!)];
  const scale = data.inputScale && tf.tensor4d(data.inputScale, [N, 1, 1, K]);
  const activation = g.depthwiseActivation.kind === 'relu6' ? 'relu6' : 'linear';
  const activate = (y: tf.Tensor): tf.Tensor4D =>
    (activation === 'relu6' ? y : tf.mul(y, tf.sigmoid(y))) as tf.Tensor4D;
  const compute = (): tf.Tensor4D => tf.tidy(() => {
    const expanded = activate(tf.fused.conv2d({ x, filter: up, strides: 1, pad: 'same', bias: upBias, activation }));
    const filtered = activate(tf.fused.depthwiseConv2d({
      x: expanded, filter: between, strides: [SH, SW], pad: 'same', bias: betweenBias, activation,
    }));
    const projected = tf.fused.conv2d({
      x: scale ? tf.mul<tf.Tensor4D>(filtered, scale) : filtered, filter: down, strides: 1, pad: 'same', bias: downBias,
    });
    return (g.residual ? tf.add(projected, x) : projected) as tf.Tensor4D;
  });
  return { compute, tensors: [x, up, upBias, between, betweenBias, down, downBias, ...(scale ? [scale] : [])] };
}
