import { type Case, type Problem, problem } from '../cases.js';

export interface Workload extends Case {
  /** How often MobileNetV1 1.0/224 has the layer; 0 for the others. */
  readonly layers: number;
}

/** A 3x3 SAME layer on square maps of `size` by `size`. */
function layer(size: number, C: number, O: number, options: Partial<Case> = {}, layers = 0): Workload {
  const { input = [1, size, size, C], filter = [3, 3, 1], strides = 1, rate = 1 } = options;
  const parts = [
    `${size}x${size} ${C}->${O}`, strides !== 1 && `stride ${String(strides)}`, rate !== 1 && `rate ${String(rate)}`,
    filter[0] !== 3 && `${filter[0]}x${filter[1]}`, filter[2] !== 1 && `multiplier ${filter[2]}`,
    input[0] !== 1 && `batch ${input[0]}`,
  ];
  return { name: parts.filter(Boolean).join(', '), padding: 'SAME', input, filter, O, strides, rate, layers };
}

/** MobileNetV1's separable layers, and what they lack: large kernels, dilation, a channel multiplier, a batch. */
export const workloads: readonly Workload[] = [
  layer(112, 32, 64, {}, 1),
  layer(112, 64, 128, { strides: 2 }, 1),
  layer(56, 128, 128, {}, 1),
  layer(56, 128, 256, { strides: 2 }, 1),
  layer(28, 256, 256, {}, 1),
  layer(28, 256, 512, { strides: 2 }, 1),
  layer(14, 512, 512, {}, 5),
  layer(14, 512, 1024, { strides: 2 }, 1),
  layer(7, 1024, 1024, {}, 1),
  layer(56, 64, 64, { filter: [5, 5, 1] }),
  layer(28, 256, 256, { rate: 2 }),
  layer(56, 32, 128, { filter: [3, 3, 2] }),
  layer(28, 256, 256, { input: [8, 28, 28, 256] }),
];

/** Small enough that what counts is the way to it: code, device, compilation. */
export const firstWorkload: Workload = layer(28, 32, 64);

/** The same layer for another number of images. */
export function withBatch(workload: Workload, batch: number): Workload {
  const [, H, W, C] = workload.input;
  return { ...workload, name: `${workload.name.replace(/, batch \d+$/, '')}, batch ${batch}`, input: [batch, H, W, C] };
}

/** The last layer's, which all contenders ask for: at batch 32 drawing them takes 4 s for all layers. */
let last: { readonly workload: Workload; readonly problem: Problem } | undefined;

export function tensors(workload: Workload): Problem {
  if (last?.workload !== workload) last = { workload, problem: problem(workload, 1) };
  return last.problem;
}

/** Floating-point operations of both passes, two a multiply-add. */
export function operations({ geometry: { N, OH, OW, KH, KW, K, O } }: Pick<Problem, 'geometry'>): number {
  return 2 * N * OH * OW * K * (KH * KW + O);
}

/** What must cross memory at least: input, filters and output once. */
export function leastBytes({ geometry: { N, H, W, C, KH, KW, K, OH, OW, O } }: Pick<Problem, 'geometry'>): number {
  return 4 * (N * H * W * C + KH * KW * K + K * O + N * OH * OW * O);
}
