import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops'; // face-api calls them
import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import * as faceApi from 'face-api';
import { PipelineManager } from 'sepconv-webgpu';
import { Detector } from '../../demo/networks/detector.js';
import { type Face, overlap } from '../../demo/networks/faces.js';
import { type DetectorId, loadNetwork } from '../../demo/networks/load.js';

/**
 * Runs in the browser: a whole network, from a picture to its faces, by this
 * library and by face-api on tfjs-backend-webgpu.
 */

const THRESHOLD = 0.5;
const [LEAST_OVERLAP, MOST_SCORE_DIFFERENCE] = [0.9, 0.03];

/** The same work by this library and by another. */
export interface Pair<Result = unknown> {
  readonly ours: () => Promise<Result>;
  readonly theirs: () => Promise<Result>;
}

type Finder = () => Promise<readonly Face[]>;

/** Both, on devices of their own, once they were checked. Photos and models lie beside the page. */
export async function loadFinders(id: DetectorId, photo: string): Promise<{ pair: Pair; same: string }> {
  const bitmap = await createImageBitmap(await (await fetch(photo)).blob());
  const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
  canvas.getContext('2d')!.drawImage(bitmap, 0, 0); // face-api takes no bitmap.
  const pair = { ours: await oursFor(id, bitmap), theirs: await theirsFor(id, canvas) };
  const [ours, theirs] = [await pair.ours(), await pair.theirs()];
  const same = ours.length === theirs.length && theirs.every((face) => ours.filter((mine) =>
    overlap(mine.box, face.box) > LEAST_OVERLAP
      && Math.abs(mine.score - face.score) < MOST_SCORE_DIFFERENCE).length === 1);
  if (!same) throw new Error(`${id}: other faces, ours ${JSON.stringify(ours)}, face-api's ${JSON.stringify(theirs)}`);
  return { pair, same: `${ours.length} faces` };
}

async function oursFor(id: DetectorId, picture: ImageBitmap): Promise<Finder> {
  const detector = await Detector.create(await PipelineManager.create(), await loadNetwork(id));
  return async () => detector.network.decode(await detector.run(picture), picture, THRESHOLD);
}

async function theirsFor(id: DetectorId, picture: HTMLCanvasElement): Promise<Finder> {
  if (!(await tf.setBackend('webgpu'))) throw new Error('tfjs could not start its backend webgpu');
  await tf.ready();
  const { tinyFaceDetector, ssdMobilenetv1 } = faceApi.nets;
  await (id === 'tiny' ? tinyFaceDetector : ssdMobilenetv1).loadFromUri('models');
  const tinyOptions = new faceApi.TinyFaceDetectorOptions({ inputSize: 416, scoreThreshold: THRESHOLD });
  return async () => {
    const found = await (id === 'tiny'
      ? tinyFaceDetector.locateFaces(picture, tinyOptions)
      : locateBySsd(ssdMobilenetv1, picture));
    if (tf.getBackend() !== 'webgpu') throw new Error(`face-api ran on ${tf.getBackend()}`);
    return found.map(({ score, box: { x, y, width, height } }) => ({ score, box: [x, y, width, height] }));
  };
}

/**
 * face-api reads the outputs of this network synchronously, which tfjs-backend-webgpu does through a canvas, and then
 * finds no face here. Read beforehand, asynchronously, they are cached; the rest is face-api's own.
 */
async function locateBySsd(net: faceApi.SsdNet, picture: HTMLCanvasElement): Promise<readonly faceApi.Found[]> {
  const input = await faceApi.toNetInput(picture);
  const output = net.forwardInput(input);
  await Promise.all([output.boxes[0]!.data(), output.scores[0]!.data()]);
  const read: faceApi.SsdNet = Object.create(net, { forwardInput: { value: () => output } });
  return read.locateFaces(input, new faceApi.SsdMobilenetv1Options({ minConfidence: THRESHOLD }));
}
