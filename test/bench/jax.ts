import { type Array, blockUntilReady, defaultDevice, init, jit, lax, numpy } from '@jax-js/jax';
import { type Contender, paddingOf, transposed } from './contender.js';

/** Bytes of results at a time: one that is dropped before it is computed never is. */
const PENDING = 2 ** 28;

export async function jax(): Promise<Contender> {
  if (!(await init('webgpu')).includes('webgpu')) throw new Error('jax-js found no WebGPU');
  defaultDevice('webgpu');
  return {
    async prepare(problem) {
      const { N, H, W, C, KH, KW, K, OH, OW, O, SH, SW, RH, RW } = problem.geometry;
      const padding = paddingOf(problem);
      const layer = jit((x: Array, depthwise: Array, pointwise: Array) => lax.convGeneralDilated(
        lax.convGeneralDilated(x, depthwise, [SH, SW], padding, { rhsDilation: [RH, RW], featureGroupCount: C }),
        pointwise, [1, 1], 'VALID',
      ));
      const input = numpy.array(transposed(problem.input, N, H * W, C), { shape: [N, C, H, W] });
      const depthwise = numpy.array(transposed(problem.depthwiseFilter, 1, KH * KW, K), { shape: [K, 1, KH, KW] });
      const pointwise = numpy.array(transposed(problem.pointwiseFilter, 1, K, O), { shape: [O, K, 1, 1] });
      const pending = Math.max(1, Math.floor(PENDING / (4 * N * OH * OW * O)));
      const results: Array[] = [];
      const drop = (): void => {
        for (const result of results.splice(0)) result.dispose();
      };
      return {
        async run(repetitions) {
          drop();
          for (let i = 0; i < repetitions; i++) {
            if (results.length === pending) {
              await blockUntilReady(results);
              drop();
            }
            results.push(layer(input.ref, depthwise.ref, pointwise.ref)); // a call consumes what is not a new reference
          }
          await blockUntilReady(results);
        },
        read: async () => transposed((await results.at(-1)!.ref.data()) as Float32Array, N, O, OH * OW),
        release() {
          drop();
          for (const array of [input, depthwise, pointwise]) array.dispose();
          layer.dispose();
        },
      };
    },
  };
}
