import {
  initializers, input, layers, type LayersModel, model, sequential, type SymbolicTensor,
} from '@tensorflow/tfjs-layers';

/** The first layers of two networks, with random weights; made once tfjs's backend is there. */

const SIZE = 96;
const between = (minval: number, maxval: number) => initializers.randomUniform({ minval, maxval });
const stem = { filters: 32, kernelSize: 3, strides: 2, padding: 'same', activation: 'relu6' } as const;

/** MobileNetV1: depthwise and 1x1 without a normalization between, in one layer. */
export const mobileNetV1 = (): LayersModel => sequential({ layers: [
  layers.conv2d({ ...stem, inputShape: [SIZE, SIZE, 3] }),
  ...([[64, 1], [128, 2], [128, 1], [256, 2]] as const).map(([filters, strides]) =>
    layers.separableConv2d({
      filters, strides, kernelSize: 3, padding: 'same', activation: 'relu6',
      depthwiseInitializer: between(-0.4, 0.4), // The pointwise one too.
    })),
  layers.globalAveragePooling2d({}),
  layers.dense({ units: 10 }),
] });

const normalize = (x: SymbolicTensor): SymbolicTensor => layers.batchNormalization({
  gammaInitializer: between(0.5, 1.5), betaInitializer: between(-0.5, 0.5),
  movingMeanInitializer: between(-0.1, 0.1), movingVarianceInitializer: between(0.5, 1.5),
}).apply(x) as SymbolicTensor;
const normalizeAndClip = (x: SymbolicTensor): SymbolicTensor =>
  layers.reLU({ maxValue: 6 }).apply(normalize(x)) as SymbolicTensor;
const pointwise = (x: SymbolicTensor, filters: number): SymbolicTensor =>
  layers.conv2d({ filters, kernelSize: 1, useBias: false }).apply(x) as SymbolicTensor;

/** A block of MobileNetV2: 1x1 to six times the channels, depthwise, 1x1 to `filters`, and its input where it fits. */
function block(x: SymbolicTensor, filters: number, strides: 1 | 2): SymbolicTensor {
  const channels = x.shape.at(-1)!;
  const expanded = normalizeAndClip(pointwise(x, 6 * channels));
  const filtered = layers.depthwiseConv2d({
    strides, kernelSize: 3, padding: 'same', useBias: false, depthwiseInitializer: between(-0.5, 0.5),
  }).apply(expanded) as SymbolicTensor;
  const y = normalize(pointwise(normalizeAndClip(filtered), filters));
  return strides === 1 && filters === channels ? layers.add().apply([x, y]) as SymbolicTensor : y;
}

/** MobileNetV2: four blocks, of which two add their input. */
export function mobileNetV2(): LayersModel {
  const x = input({ shape: [SIZE, SIZE, 3] });
  let y = pointwise(layers.conv2d(stem).apply(x) as SymbolicTensor, 16);
  for (const [filters, strides] of [[24, 2], [24, 1], [32, 2], [32, 1]] as const) y = block(y, filters, strides);
  const pooled = layers.globalAveragePooling2d({}).apply(y) as SymbolicTensor;
  return model({ inputs: x, outputs: layers.dense({ units: 10 }).apply(pooled) as SymbolicTensor });
}
