import type { Tensor4D } from 'sepconv-webgpu';
import { type Face, type PictureSize, sigmoid, squareSide, suppress } from './faces.js';
import { type FaceNetwork, full, type Layer, pointwise, separable } from './network.js';
import type { Weight, Weights } from './weights.js';

const EPSILON = 0.0010000000474974513; // of the batch norm
const MOST_OVERLAP = 0.5;
const MOST_FACES = 100;
/** MobileNetV1's blocks that halve the resolution. */
const HALVING = [2, 4, 6, 12];
/** What each box predictor reads, and how many boxes it predicts per pixel. */
const PREDICTORS = [
  { from: 'block11', boxes: 3 }, { from: 'block13', boxes: 6 }, { from: 'extra1', boxes: 6 },
  { from: 'extra3', boxes: 6 }, { from: 'extra5', boxes: 6 }, { from: 'extra7', boxes: 6 },
];
/** Of each box: four numbers that move and scale its anchor, then scores of nothing, a face, and an unused class. */
const VALUES = 4 + 3;
const FACE = 4 + 1;

/**
 * MobileNetV1 with single-shot box predictors at six resolutions, trained to find faces: face-api's "SSD MobileNetV1".
 */
export function ssdMobileNetV1(weights: Weights): FaceNetwork {
  const after = (layer: string) =>
    ({ bias: weights(`${layer}/convolution_bn_offset`, 1).data, activation: 'relu6' as const });
  const conv0 = 'MobilenetV1/Conv2d_0_pointwise';
  const layers: Layer[] = [
    ...full('conv0', weights(`${conv0}/weights`, 4), { ...after(conv0), stride: 2 }),
  ];
  for (let i = 1; i <= 13; i++) {
    const [depthwise, mixing] = [`MobilenetV1/Conv2d_${i}_depthwise`, `MobilenetV1/Conv2d_${i}_pointwise`];
    const { filter, bias } = foldBatchNorm(weights, depthwise);
    layers.push(separable(`block${i}`, filter, weights(`${mixing}/weights`, 4), {
      ...after(mixing), stride: HALVING.includes(i) ? 2 : 1, depthwiseBias: bias, depthwiseActivation: 'relu6',
    }));
  }
  for (let i = 0; i <= 7; i++) {
    const extra = `Prediction/Conv2d_${i}_pointwise`;
    const filter = weights(`${extra}/weights`, 4);
    if (i % 2 === 0) layers.push(pointwise(`extra${i}`, filter, after(extra)));
    else layers.push(...full(`extra${i}`, filter, { ...after(extra), stride: 2 }));
  }
  for (const [i, { from, boxes }] of PREDICTORS.entries()) {
    const predictor = (part: string) => `Prediction/BoxPredictor_${i}/${part}`;
    const part = (name: string) => ({
      filter: weights(predictor(`${name}/weights`), 4), bias: weights(predictor(`${name}/biases`), 1),
    });
    const { filter, bias } = sideBySide(part('BoxEncodingPredictor'), part('ClassPredictor'), boxes);
    layers.push(pointwise(`head${i}`, filter, { from, bias }));
  }
  const anchors = weights('Output/extra_dim', 3);
  return {
    id: 'ssd', inputSize: 512, scale: 2, offset: [-1, -1, -1], layers, heads: PREDICTORS.map((_, i) => `head${i}`),
    decode: (heads, size, threshold) => decode(heads, anchors, size, threshold),
  };
}

/** Batch norm is a factor and an addend per channel: both go into the depthwise filter and its bias. */
function foldBatchNorm(weights: Weights, layer: string): { filter: Weight; bias: Float32Array } {
  const { shape, data } = weights(`${layer}/depthwise_weights`, 4);
  const [gamma, beta, mean, variance] = ['gamma', 'beta', 'moving_mean', 'moving_variance'].map((part) =>
    weights(`${layer}/BatchNorm/${part}`, 1).data) as [Float32Array, Float32Array, Float32Array, Float32Array];
  const factor = Float64Array.from(gamma, (g, c) => g / Math.sqrt(variance[c]! + EPSILON));
  return {
    filter: { shape, data: data.map((tap, i) => tap * factor[i % factor.length]!) },
    bias: beta.map((b, c) => b - mean[c]! * factor[c]!),
  };
}

type FourNumbers = readonly [number, number, number, number];
interface Predictor { readonly filter: Weight; readonly bias: Weight }

/**
 * The two 1×1 convolutions of a predictor as one, each box's numbers together, filled up with zeros to a multiple of
 * four channels, which kernels take at once.
 */
function sideBySide(
  box: Predictor, scores: Predictor, boxes: number,
): { filter: Weight; bias: Float32Array<ArrayBuffer> } {
  const C = box.filter.shape[2]!;
  const O = Math.ceil((boxes * VALUES) / 4) * 4;
  const merge = (rows: number, left: Float32Array, right: Float32Array) => {
    const merged = new Float32Array(rows * O);
    for (let row = 0; row < rows; row++) {
      for (let b = 0; b < boxes; b++) {
        merged.set(left.subarray((row * boxes + b) * 4, (row * boxes + b + 1) * 4), row * O + b * VALUES);
        merged.set(right.subarray((row * boxes + b) * 3, (row * boxes + b + 1) * 3), row * O + b * VALUES + 4);
      }
    }
    return merged;
  };
  return {
    filter: { shape: [1, 1, C, O], data: merge(C, box.filter.data, scores.filter.data) },
    bias: merge(1, box.bias.data, scores.bias.data),
  };
}

function decode(heads: readonly Tensor4D[], anchors: Weight, size: PictureSize, threshold: number): Face[] {
  const side = squareSide(size);
  const faces: (Face & { readonly clipped: Face['box'] })[] = [];
  let anchor = 0;
  for (const [i, { shape: [, H, W, O], data }] of heads.entries()) {
    const { boxes } = PREDICTORS[i]!;
    for (let pixel = 0; pixel < H * W; pixel++) {
      for (let b = 0; b < boxes; b++, anchor++) {
        const values = data.subarray(pixel * O + b * VALUES, pixel * O + (b + 1) * VALUES);
        const score = sigmoid(values[FACE]!);
        if (!(score > threshold)) continue;
        const [top, left, bottom, right] = anchors.data.subarray(anchor * 4) as unknown as FourNumbers;
        const [dy, dx, dh, dw] = values as unknown as FourNumbers;
        const height = Math.exp(dh / 5) * (bottom - top);
        const width = Math.exp(dw / 5) * (right - left);
        const y = (dy / 10) * (bottom - top) + (top + bottom) / 2 - height / 2;
        const x = (dx / 10) * (right - left) + (left + right) / 2 - width / 2;
        faces.push({ score, box: [x, y, width, height], clipped: clip([x, y, width, height]) });
      }
    }
  }
  return suppress(faces, MOST_OVERLAP).slice(0, MOST_FACES).map(({ score, clipped: [x, y, width, height] }) => (
    { score, box: [x * side, y * side, width * side, height * side] }));
}

/** What of a box lies in the unit square. */
function clip([x, y, width, height]: Face['box']): Face['box'] {
  const [left, top] = [Math.max(0, x), Math.max(0, y)];
  return [left, top, Math.min(1, x + width) - left, Math.min(1, y + height) - top];
}
