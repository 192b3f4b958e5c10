import type { Tensor4D } from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { type Layer, poolShape } from './network.js';

/** What each layer makes of the picture on the CPU, layer by layer. */
export function* referenceLayers(layers: readonly Layer[], picture: Tensor4D): Generator<Tensor4D, void> {
  const outputs = new Map<string, Tensor4D>();
  let last = picture;
  for (const layer of layers) {
    const input = layer.from === undefined ? last : outputs.get(layer.from)!;
    last = layer.kind === 'max-pool'
      ? maxPool(input, layer.stride)
      : separableConv2dReference(input, layer.depthwiseFilter, layer.pointwiseFilter, layer.options);
    outputs.set(layer.name, last);
    yield last;
  }
}

/** Windows of 2×2, padding SAME. Twin of max-pool.wgsl. */
function maxPool({ shape, data }: Tensor4D, stride: number): Tensor4D {
  const [, H, W, C] = shape;
  const pooled = poolShape(shape, stride);
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
