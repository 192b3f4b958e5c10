import { type Case, type Problem, problem } from '../cases.js';

export interface Workload extends Case {
  /** How often MobileNetV1 1.0/224 has the layer; 0 for the others. */
  readonly layers: number;
  /** Of a block: the channels that a 1x1 layer before expands to those of `input`. */
  readonly expands?: number;
}

/** A layer's tensors, and those of the layer that expands its input before, if there is one. */
export interface Tensors extends Problem { readonly expand?: Problem }

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

/**
 * A block at batch 1: 1x1 from C to six times as many channels, depthwise, 1x1 to O, and its input where it fits, with
 * biases. EfficientNet has SiLU where MobileNetV2 has relu6, and factors of channels, here given ones.
 */
function block(network: 'V2' | 'B0', size: number, C: number, O: number, kernel: 3 | 5, strides: 1 | 2 = 1): Workload {
  return {
    name: [`${network} ${size}x${size} ${C}->${6 * C}->${O}`, ...(kernel > 3 ? ['5x5'] : []),
      ...(strides > 1 ? ['stride 2'] : [])].join(', '),
    padding: 'SAME', input: [1, size, size, 6 * C], filter: [kernel, kernel, 1], O, strides, layers: 0, expands: C,
    biases: true, depthwiseActivation: network === 'V2' ? 'relu6' : 'silu', inputScale: network === 'B0',
    residual: C === O && strides === 1,
  };
}

/** Of MobileNetV2 and EfficientNet-B0, at 224x224. */
export const blocks: readonly Workload[] = [
  block('V2', 112, 16, 24, 3, 2),
  block('V2', 56, 24, 24, 3),
  block('V2', 28, 32, 32, 3),
  block('V2', 14, 96, 96, 3),
  block('V2', 7, 160, 160, 3),
  block('B0', 56, 24, 24, 3),
  block('B0', 28, 40, 40, 5),
  block('B0', 14, 112, 112, 5),
  block('B0', 7, 192, 192, 5),
];

/** Small enough that what counts is the way to it: code, device, compilation. */
export const firstWorkload: Workload = layer(28, 32, 64);

/** The same layer for another number of images. */
export function withBatch(workload: Workload, batch: number): Workload {
  const [, H, W, C] = workload.input;
  return { ...workload, name: `${workload.name.replace(/, batch \d+$/, '')}, batch ${batch}`, input: [batch, H, W, C] };
}

/** The last layer's, which all contenders ask for: at batch 32 drawing them takes 4 s for all layers. */
let last: { readonly workload: Workload; readonly tensors: Tensors } | undefined;

export function tensors(workload: Workload): Tensors {
  if (last?.workload !== workload) last = { workload, tensors: draw(workload) };
  return last.tensors;
}

function draw(workload: Workload): Tensors {
  const { expands, input: [N, H, W, C], depthwiseActivation } = workload;
  const own = problem(workload, 1);
  if (expands === undefined) return own;
  const expand = problem({
    name: workload.name, passes: 'pointwise', padding: 'SAME', input: [N, H, W, expands], filter: [1, 1, 1], O: C,
    biases: true, activation: depthwiseActivation,
  }, 2);
  return { ...own, expand, residual: own.residual && expand.input };
}

/** Floating-point operations, two a multiply-add. */
export function operations({ geometry, expand }: Pick<Tensors, 'geometry' | 'expand'>): number {
  const { N, H, W, OH, OW, KH, KW, C, K, O } = geometry;
  return 2 * N * OH * OW * K * (KH * KW + O) + (expand ? 2 * N * H * W * expand.geometry.C * C : 0);
}

/** What must cross memory at least: input, filters and output once. */
export function leastBytes({ geometry, expand }: Pick<Tensors, 'geometry' | 'expand'>): number {
  const { N, H, W, C, KH, KW, K, OH, OW, O } = geometry;
  const first = expand?.geometry.C ?? C;
  return 4 * (N * H * W * first + (expand ? first * C : 0) + KH * KW * K + K * O + N * OH * OW * O);
}
