import type { Tensor4D } from 'sepconv-webgpu';
import { type Face, type PictureSize, sigmoid, squareSide, suppress } from './faces.js';
import { type FaceNetwork, full, type Layer, LEAKY_RELU, maxPool, pointwise, separable } from './network.js';
import type { Weights } from './weights.js';

/** Anchor boxes, width and height in cells of the last layer's grid. */
const ANCHORS = [
  [1.603231, 2.094468], [6.041143, 7.080126], [2.882459, 3.518061], [4.266906, 5.178857], [9.041765, 10.66308],
] as const;
const MEAN_RGB = [117.001, 114.697, 97.404] as const;
const MOST_OVERLAP = 0.4;
/** Of each anchor: x, y, width, height, score. */
const VALUES = 5;

/** Tiny YOLO v2 with separable convolutions, trained to find faces: face-api's "tiny face detector". */
export function tinyFaceDetector(weights: Weights): FaceNetwork {
  const after = (layer: string) => ({ bias: weights(`${layer}/bias`, 1).data, activation: LEAKY_RELU });
  const layers: Layer[] = [
    ...full('conv0', weights('conv0/filters', 4), { ...after('conv0'), padding: 'VALID' }),
    maxPool('pool0', 2),
  ];
  for (let i = 1; i <= 5; i++) {
    const name = `conv${i}`;
    layers.push(
      separable(name, weights(`${name}/depthwise_filter`, 4), weights(`${name}/pointwise_filter`, 4), after(name)),
      maxPool(`pool${i}`, i < 5 ? 2 : 1),
    );
  }
  layers.push(pointwise('conv8', weights('conv8/filters', 4), { bias: weights('conv8/bias', 1).data }));
  const [red, green, blue] = MEAN_RGB;
  return {
    id: 'tiny', inputSize: 416, scale: 1, offset: [-red / 255, -green / 255, -blue / 255],
    layers, heads: ['conv8'], decode,
  };
}

function decode([head]: readonly Tensor4D[], size: PictureSize, threshold: number): Face[] {
  const { shape: [, rows, columns], data } = head!;
  const side = squareSide(size);
  const faces: Face[] = [];
  for (let cell = 0; cell < rows * columns; cell++) {
    for (const [anchor, [anchorWidth, anchorHeight]] of ANCHORS.entries()) {
      const [x, y, w, h, score] = data.subarray((cell * ANCHORS.length + anchor) * VALUES);
      const confidence = sigmoid(score!);
      if (!(confidence > threshold)) continue;
      const width = (Math.exp(w!) * anchorWidth) / columns;
      const height = (Math.exp(h!) * anchorHeight) / rows;
      const left = ((cell % columns) + sigmoid(x!)) / columns - width / 2;
      const top = (Math.floor(cell / columns) + sigmoid(y!)) / rows - height / 2;
      faces.push({ score: confidence, box: [left * side, top * side, width * side, height * side] });
    }
  }
  return suppress(faces, MOST_OVERLAP);
}
