import type { Tensor4D } from 'sepconv-webgpu';
import {
  depthwiseConv2dReference, pointwiseConv2dReference, separableConv2dReference,
} from 'sepconv-webgpu/reference';
import {
  type Layer, type MaxPoolLayer, outputShape, type PatchesLayer, type SeparableLayer, type UpscaleLayer,
} from './network.js';

/** What each layer makes of the picture on the CPU, layer by layer. */
export function* referenceLayers(layers: readonly Layer[], picture: Tensor4D): Generator<Tensor4D, void> {
  const outputs = new Map<string, Tensor4D>();
  let last = picture;
  for (const layer of layers) {
    const input = layer.from === undefined ? last : outputs.get(layer.from)!;
    last = runLayer(layer, input, (name) => outputs.get(name)!);
    outputs.set(layer.name, last);
    yield last;
  }
}

type Outputs = (layer: string) => Tensor4D;

function runLayer(layer: Layer, input: Tensor4D, outputOf: Outputs): Tensor4D {
  switch (layer.kind) {
    case 'max-pool': return maxPool(layer, input);
    case 'patches': return patches(layer, input);
    case 'mean': return mean(input);
    case 'upscale': return upscale(layer, input, outputOf(layer.skip), outputOf(layer.skipScale));
    case 'separable': return separable(layer, input, outputOf);
  }
}

function separable(
  { depthwiseFilter, pointwiseFilter, options, residual, inputScale }: SeparableLayer, input: Tensor4D,
  outputOf: Outputs,
): Tensor4D {
  const additions = {
    ...(residual !== undefined && { residual: outputOf(residual) }),
    ...(inputScale !== undefined && { inputScale: outputOf(inputScale).data as Float32Array }),
  };
  if (!depthwiseFilter) return pointwiseConv2dReference(input, pointwiseFilter!, options, additions);
  if (!pointwiseFilter) return depthwiseConv2dReference(input, depthwiseFilter, options, additions);
  return separableConv2dReference(input, depthwiseFilter, pointwiseFilter, options, additions);
}

/** Twin of patches.wgsl. */
function patches(layer: PatchesLayer, { shape, data }: Tensor4D): Tensor4D {
  const { size, stride, padding } = layer;
  const [, H, W, C] = shape;
  const read = outputShape(layer, shape);
  const [, OH, OW, depth] = read;
  const before = (extent: number, out: number): number =>
    (padding === 'VALID' ? 0 : Math.floor(Math.max((out - 1) * stride + size - extent, 0) / 2));
  const output = new Float32Array(OH * OW * depth);
  for (let pixel = 0; pixel < OH * OW; pixel++) {
    for (let tap = 0; tap < size * size; tap++) {
      const y = Math.floor(pixel / OW) * stride + Math.floor(tap / size) - before(H, OH);
      const x = (pixel % OW) * stride + (tap % size) - before(W, OW);
      if (y < 0 || y >= H || x < 0 || x >= W) continue;
      const from = (y * W + x) * C;
      output.set((data as Float32Array).subarray(from, from + C), pixel * depth + tap * C);
    }
  }
  return { shape: read, data: output };
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

/** Twin of mean.wgsl. */
function mean({ shape: [,,, C], data }: Tensor4D): Tensor4D {
  const sums = new Float64Array(C);
  for (const [i, value] of data.entries()) sums[i % C]! += value;
  return { shape: [1, 1, 1, C], data: Float32Array.from(sums, (total) => total / (data.length / C)) };
}

/** Twin of upscale.wgsl. */
function upscale(layer: UpscaleLayer, { shape, data }: Tensor4D, skip: Tensor4D, skipScale: Tensor4D): Tensor4D {
  const [, H, W, C] = shape;
  const output = new Float32Array(skip.data.length);
  const at = (out: number, size: number) => {
    const position = Math.min(Math.max((out + 0.5) / 2 - 0.5, 0), size - 1);
    const before = Math.floor(position);
    return { before, after: Math.min(before + 1, size - 1), share: position - before };
  };
  for (let oy = 0; oy < 2 * H; oy++) {
    const y = at(oy, H);
    for (let ox = 0; ox < 2 * W; ox++) {
      const x = at(ox, W);
      for (let c = 0; c < C; c++) {
        const row = (start: number): number => {
          const [left, right] = [data[(start * W + x.before) * C + c]!, data[(start * W + x.after) * C + c]!];
          return left + x.share * (right - left);
        };
        const [above, below] = [row(y.before), row(y.after)];
        const i = (oy * 2 * W + ox) * C + c;
        output[i] = above + y.share * (below - above) + skip.data[i]! * skipScale.data[c]!;
      }
    }
  }
  return { shape: outputShape(layer, shape), data: output };
}
