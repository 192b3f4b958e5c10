import type { PipelineManager } from 'sepconv-webgpu';
import {
  depthwise, depthwiseFilterGradient, depthwiseInputGradient, pointwiseFilterGradient, pointwiseInputGradient,
} from '../../src/reference.js';
import { type Bounded, boundedSums } from '../bounds.js';
import type { Problem } from '../cases.js';
import { random, randomData } from '../random.js';
import type { Contender, Prepared } from './contender.js';
import { destroy, read, repeat, storage } from './webgpu.js';
import { tensors, type Workload } from './workloads.js';

/** The backward pass: from the output's gradient to those of the input and both filters. */

/** The gradient that comes in, `[N, OH, OW, O]`. */
export const upstream = ({ geometry: { N, OH, OW, O } }: Problem): Float32Array =>
  randomData(N * OH * OW * O, random(2));

/** The gradients of input, depthwise filter and pointwise filter, one after the other. */
export function expectedGradients(workload: Workload): Bounded {
  const data = tensors(workload);
  const { geometry: g, input, depthwiseFilter, pointwiseFilter } = data;
  const incoming = upstream(data);
  const gradients = (take: (values: Float32Array) => ArrayLike<number>): Float64Array => {
    const [x, d, p, dy] = [input, depthwiseFilter, pointwiseFilter, incoming]
      .map(take) as [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>, ArrayLike<number>];
    const between = pointwiseInputGradient(g, dy, p);
    return joined([
      depthwiseInputGradient(g, between, d), depthwiseFilterGradient(g, x, between),
      pointwiseFilterGradient(g, depthwise(g, x, d), dy),
    ], Float64Array);
  };
  const sums = { values: gradients((values) => values), magnitudes: gradients((values) => values.map(Math.abs)) };
  return boundedSums(sums, gradientTerms(data));
}

/** Terms of the longest sum behind an element: how much rounding is allowed. */
const gradientTerms = ({ geometry: { N, OH, OW, KH, KW, M, O } }: Problem): number =>
  N * OH * OW + O + KH * KW * (M + 1);

function joined<T extends Float32Array | Float64Array>(parts: readonly T[], type: new (length: number) => T): T {
  const all = new type(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** This library's; the depthwise result is saved by the forward pass, as peers save it. */
export function oursBackward(manager: PipelineManager): Contender {
  const { device } = manager;
  return {
    async prepare(data: Problem): Promise<Prepared> {
      const { geometry: { N, H, W, C, KH, KW, K, M, O, SH, SW, RH, RW, OH, OW } } = data;
      const descriptor = {
        inputShape: [N, H, W, C], padding: 'SAME', strides: [SH, SW], rate: [RH, RW], allowOverparameterized: true,
        depthwiseFilter: { shape: [KH, KW, C, M], data: data.depthwiseFilter },
        pointwiseFilter: { shape: [1, 1, K, O], data: data.pointwiseFilter },
      } as const;
      const [conv, gradients] = [
        await manager.prepare({ ...descriptor, strategy: 'two-pass' }), await manager.prepareGradients(descriptor),
      ];
      const [input, outputGradient] = [storage(device, data.input), storage(device, upstream(data))];
      const [output, intermediate] = [
        storage(device, conv.outputByteLength), storage(device, 4 * N * OH * OW * Math.ceil(K / 4) * 4),
      ];
      await repeat(device, 1, (pass) => conv.encode(pass, { input, output, intermediate }));
      const { byteLengths } = gradients;
      const names = ['inputGradient', 'depthwiseFilterGradient', 'pointwiseFilterGradient'] as const;
      const targets = names.map((name) => storage(device, byteLengths[name]));
      const asked = Object.fromEntries(names.map((name, index) => [name, targets[index]!]));
      return {
        run: (repetitions) => repeat(device, repetitions, (pass) =>
          gradients.encode(pass, { input, outputGradient, intermediate, ...asked })),
        read: async () => joined(await Promise.all(targets.map((buffer) => read(device, buffer))), Float32Array),
        release() {
          conv.destroy();
          gradients.destroy();
          destroy(input, outputGradient, output, intermediate, ...targets);
        },
      };
    },
  };
}
