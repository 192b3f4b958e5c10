import type { FaceNetwork } from './network.js';
import { ssdMobileNetV1 } from './ssd.js';
import { tinyFaceDetector } from './tiny.js';
import { loadWeights, type Weights } from './weights.js';

interface Choice {
  readonly label: string;
  readonly about: string;
  readonly manifest: URL;
  readonly binary: URL;
  readonly build: (weights: Weights) => FaceNetwork;
}

// The URLs are written out, because the bundler finds a file by this literal form only.
export const detectors = {
  tiny: {
    label: 'Tiny face detector',
    about: '190 KB of weights: five separable convolutions with max pools between.',
    manifest: new URL(
      '../../node_modules/@vladmandic/face-api/model/tiny_face_detector_model-weights_manifest.json', import.meta.url
    ),
    binary: new URL('../../node_modules/@vladmandic/face-api/model/tiny_face_detector_model.bin', import.meta.url),
    build: tinyFaceDetector,
  },
  ssd: {
    label: 'SSD MobileNetV1',
    about: '5.6 MB of weights: MobileNetV1’s 13 separable blocks, then box predictors at six resolutions. '
      + 'Finds more and smaller faces.',
    manifest: new URL(
      '../../node_modules/@vladmandic/face-api/model/ssd_mobilenetv1_model-weights_manifest.json', import.meta.url
    ),
    binary: new URL('../../node_modules/@vladmandic/face-api/model/ssd_mobilenetv1_model.bin', import.meta.url),
    build: ssdMobileNetV1,
  },
} satisfies Record<string, Choice>;

export type DetectorId = keyof typeof detectors;

/** Loads a detector's weights and builds its layers. `onProgress` gets the share of bytes that has arrived, 0 to 1. */
export async function loadNetwork(
  id: DetectorId, onProgress: (share: number) => void = () => {},
): Promise<FaceNetwork> {
  const { manifest, binary, build } = detectors[id];
  return build(await loadWeights(manifest.href, binary.href, onProgress));
}
