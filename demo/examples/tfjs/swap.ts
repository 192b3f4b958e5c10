import * as tf from '@tensorflow/tfjs-core';
import { layers, type LayersModel } from '@tensorflow/tfjs-layers';
import { conv2d, depthwiseConv2d, separableConv2d } from 'sepconv-webgpu/tfjs';

interface Config {
  readonly kernelSize: [number, number];
  readonly strides: [number, number];
  readonly padding: 'same' | 'valid';
  readonly dilationRate: [number, number];
  readonly activation: 'linear' | 'relu' | 'relu6'; // Or any other of tfjs's.
  readonly useBias: boolean;
}

type Convolve = (x: tf.Tensor4D, filters: tf.Tensor4D[], config: Config) => tf.Tensor4D;

/** How sepconv-webgpu computes a kind of layer. tfjs's own depthwise layer has no dilation either, whatever it says. */
const convolutions: Readonly<Record<string, Convolve>> = {
  SeparableConv2D: (x, [depthwiseFilter, pointwiseFilter], { strides, padding, dilationRate }) =>
    separableConv2d(x, depthwiseFilter!, pointwiseFilter!, strides, padding, dilationRate),
  DepthwiseConv2D: (x, [filter], { strides, padding }) => depthwiseConv2d(x, filter!, strides, padding),
  Conv2D: (x, [filter], { strides, padding }) => conv2d(x, filter!, strides, padding),
};

/**
 * Lets sepconv-webgpu compute the separable, depthwise and 1x1 layers (channels last) of a model; the rest of the model
 * stays tfjs's. Run the model once and `await ready()` before the runs that shall be fast. Returns what undoes it.
 */
export function swapLayers(model: LayersModel): () => void {
  const undo = model.layers.map((layer) => {
    const kind = layer.getClassName();
    const config = layer.getConfig() as unknown as Config;
    const convolve = convolutions[kind];
    if (!convolve || (kind === 'Conv2D' && Math.max(...config.kernelSize, ...config.dilationRate) > 1)) return () => {};
    const activate = layers.activation({ activation: config.activation });
    const original = layer.call.bind(layer);
    layer.call = (inputs, kwargs) => tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor4D;
      const weights = layer.getWeights();
      const bias = config.useBias ? weights.pop() : undefined;
      const y = convolve(x, weights as tf.Tensor4D[], config);
      return activate.call(bias ? tf.add(y, bias) : y, kwargs);
    });
    return () => (layer.call = original);
  });
  return () => undo.forEach((restore) => restore());
}
