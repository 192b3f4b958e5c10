import type { Tensor4D } from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { type FullLayer, type Layer, type MaxPoolLayer, outputShape } from './network.js';

/** What each layer makes of the picture on the CPU, layer by layer. */
export function* referenceLayers(layers: readonly Layer[], picture: Tensor4D): Generator<Tensor4D, void> {
  const outputs = new Map<string, Tensor4D>();
  let last = picture;
  for (const layer of layers) {
    const input = layer.from === undefined ? last : outputs.get(layer.from)!;
    last = runLayer(layer, input);
    outputs.set(layer.name, last);
    yield last;
  }
}

function runLayer(layer: Layer, input: Tensor4D): Tensor4D {
  if (layer.kind === 'max-pool') return maxPool(layer, input);
  if (layer.kind === 'full') return fullConvolution(layer, input);
  return separableConv2dReference(input, layer.depthwiseFilter, layer.pointwiseFilter, layer.options);
}

/**
 * A full convolution written exactly as a separable one: the depthwise pass moves each of the K*K values that an output
 * reads of a channel to a channel of its own, where the pointwise pass finds them. Twin of convolution.wgsl.
 */
function fullConvolution(
  { name, filter: { shape, data }, bias, stride, padding, activation }: FullLayer, input: Tensor4D,
): Tensor4D {
  const [KH, KW, C, O] = shape;
  const M = KH * KW;
  const depthwise = new Float32Array(M * C * M);
  const pointwise = new Float32Array(C * M * O);
  for (let tap = 0; tap < M; tap++) {
    for (let c = 0; c < C; c++) {
      depthwise[(tap * C + c) * M + tap] = 1;
      pointwise.set(data.subarray((tap * C + c) * O, (tap * C + c + 1) * O), (c * M + tap) * O);
    }
  }
  return separableConv2dReference(
    input, { shape: [KH, KW, C, M], data: depthwise }, { shape: [1, 1, C * M, O], data: pointwise },
    { name, strides: stride, padding, bias, activation, allowOverparameterized: true },
  );
}

/** Windows of 2×2. Twin of max-pool.wgsl. */
function maxPool(layer: MaxPoolLayer, { shape, data }: Tensor4D): Tensor4D {
  const { stride } = layer;
  const [, H, W, C] = shape;
  const pooled = outputShape(layer, shape);
  const [, OH, OW] = pooled;
  const output = new Float32Array(OH * OW * C).fill(-Infinity);
  for (let y = 0; y < OH; y++) {
    for (let x = 0; x < OW; x++) {
      for (const row of [y * stride, Math.min(y * stride + 1, H - 1)]) {
        for (const column of [x * stride, Math.min(x * stride + 1, W - 1)]) {
          for (let c = 0; c < C; c++) {
            const at = (y * OW + x) * C + c;
            output[at] = Math.max(output[at]!, data[(row * W + column) * C + c]!);
          }
        }
      }
    }
  }
  return { shape: pooled, data: output };
}
