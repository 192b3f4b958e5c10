import * as tf from '@tensorflow/tfjs-core';
import { layers, type LayersModel } from '@tensorflow/tfjs-layers';
import { separableConv2d } from 'sepconv-webgpu/tfjs';

interface Config {
  readonly strides: [number, number];
  readonly padding: 'same' | 'valid';
  readonly dilationRate: [number, number];
  readonly activation: 'linear' | 'relu' | 'relu6'; // Or any other of tfjs's.
}

/**
 * Lets sepconv-webgpu compute the SeparableConv2D layers (channels last) of a model; the rest of the model stays
 * tfjs's. Run the model once and `await ready()` before the runs that shall be fast. Returns what undoes it.
 */
export function swapSeparableLayers(model: LayersModel): () => void {
  const undo = model.layers.filter((layer) => layer.getClassName() === 'SeparableConv2D').map((layer) => {
    const { strides, padding, dilationRate, activation } = layer.getConfig() as unknown as Config;
    const activate = layers.activation({ activation });
    const original = layer.call.bind(layer);
    layer.call = (inputs, kwargs) => tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor4D;
      const [depthwiseFilter, pointwiseFilter, bias] = layer.getWeights() as [tf.Tensor4D, tf.Tensor4D, tf.Tensor1D?];
      const y = separableConv2d(x, depthwiseFilter, pointwiseFilter, strides, padding, dilationRate);
      return activate.call(bias ? tf.add(y, bias) : y, kwargs);
    });
    return () => (layer.call = original);
  });
  return () => undo.forEach((restore) => restore());
}
