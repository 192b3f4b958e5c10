import { PipelineManager, type Tensor4D } from 'sepconv-webgpu';
import type { Difference } from '../demo/compare.js';
import { Detector } from '../demo/networks/detector.js';
import type { Face } from '../demo/networks/faces.js';
import type { PreparedLayer } from '../demo/networks/gpu-network.js';
import { type DetectorId, loadNetwork } from '../demo/networks/load.js';
import { verify } from '../demo/networks/verify.js';

/** Runs in a real browser: our detectors and face-api's own on the same photos. */

export interface Detection {
  readonly faces: readonly Face[];
  /** The raw outputs that boxes and scores are decoded from, as face-api orders them. */
  readonly heads: readonly (readonly number[])[];
}

const photos = '/node_modules/@vladmandic/face-api/demo';
const models = '/node_modules/@vladmandic/face-api/model';
const THRESHOLD = 0.5;

let manager: Promise<PipelineManager> | undefined;
const detectors = new Map<DetectorId, Promise<Detector>>();

function detector(id: DetectorId): Promise<Detector> {
  manager ??= PipelineManager.create();
  const known = detectors.get(id) ?? manager.then(async (created) => Detector.create(created, await loadNetwork(id)));
  detectors.set(id, known);
  return known;
}

const photo = async (name: string): Promise<ImageBitmap> =>
  createImageBitmap(await (await fetch(`${photos}/${name}`)).blob());

async function ours(id: DetectorId, name: string): Promise<Detection> {
  const { network } = await detector(id);
  const picture = await photo(name);
  const heads = await (await detector(id)).run(picture);
  const faces = network.decode(heads, picture, THRESHOLD);
  return { faces, heads: id === 'tiny' ? heads.map(({ data }) => [...data]) : heads.flatMap(splitPredictor) };
}

/** Boxes and scores apart: our network has a predictor's two convolutions as one, with 4 + 3 values for each box. */
function splitPredictor({ shape: [,,, O], data }: Tensor4D): number[][] {
  const values = O - (O % 7);
  const inUse = [...data].map((value, i) => ({ value, at: i % O })).filter(({ at }) => at < values);
  const part = (wanted: (at: number) => boolean) => inUse.filter(({ at }) => wanted(at % 7)).map(({ value }) => value);
  return [part((at) => at < 4), part((at) => at >= 4)];
}

/** face-api on tfjs's CPU backend, with the heads that its last additions (of the biases) give. */
async function theirs(id: DetectorId, name: string): Promise<Detection> {
  const api = await faceApi();
  const net = id === 'tiny' ? api.nets.tinyFaceDetector : api.nets.ssdMobilenetv1;
  if (!net.isLoaded) await net.loadFromUri(models);
  // A canvas, because an image element is not decoded in a page that lies behind another.
  const picture = await photo(name);
  const canvas = Object.assign(document.createElement('canvas'), { width: picture.width, height: picture.height });
  canvas.getContext('2d')!.drawImage(picture, 0, 0);
  added.length = 0;
  const options = id === 'tiny'
    ? new api.TinyFaceDetectorOptions({ inputSize: 416, scoreThreshold: THRESHOLD })
    : new api.SsdMobilenetv1Options({ minConfidence: THRESHOLD });
  const found = await api.detectAllFaces(canvas, options);
  const channels = id === 'tiny' ? [25] : [12, 24, 9, 18];
  return {
    faces: found.map(({ score, box: { x, y, width, height } }) => ({ score, box: [x, y, width, height] })),
    heads: added.filter(({ shape }) => shape.length === 4 && channels.includes(shape[3]!)).map(({ data }) => [...data]),
  };
}

interface KernelCall { readonly backend: { readonly data: { get(id: object): { readonly values: Float32Array } } } }
interface Kernel {
  readonly kernelFunc: (call: KernelCall) => { readonly dataId: object; readonly shape: readonly number[] };
}
interface FaceApiNet { readonly isLoaded: boolean; loadFromUri(uri: string): Promise<void> }

/** What is used of face-api; its own types bring an older @webgpu/types along. */
interface FaceApi {
  readonly nets: { readonly tinyFaceDetector: FaceApiNet; readonly ssdMobilenetv1: FaceApiNet };
  readonly TinyFaceDetectorOptions: new (options: { inputSize: number; scoreThreshold: number }) => object;
  readonly SsdMobilenetv1Options: new (options: { minConfidence: number }) => object;
  readonly tf: {
    setBackend(name: string): Promise<boolean>;
    getBackend(): string;
    getKernel(name: string, backend: string): Kernel;
    unregisterKernel(name: string, backend: string): void;
    registerKernel(kernel: Kernel): void;
  };
  detectAllFaces(picture: HTMLCanvasElement, options: object):
    PromiseLike<{
      readonly score: number;
      readonly box: { readonly x: number; readonly y: number; readonly width: number; readonly height: number };
    }[]>;
}

const added: { readonly shape: readonly number[]; readonly data: Float32Array }[] = [];
let loadedFaceApi: Promise<FaceApi> | undefined;

async function faceApi(): Promise<FaceApi> {
  loadedFaceApi ??= (async () => {
    // The bundle with its own TensorFlow.js; by its path, so that Vite serves it as it is.
    const path = '/node_modules/@vladmandic/face-api/dist/face-api.esm.js';
    const api = (await import(/* @vite-ignore */ path)) as FaceApi;
    const { tf } = api;
    await tf.setBackend('cpu');
    if (tf.getBackend() !== 'cpu') throw new Error(`face-api runs on ${tf.getBackend()}, not on the CPU`);
    // Nothing else gives access to the raw heads.
    const kernel = tf.getKernel('Add', 'cpu');
    tf.unregisterKernel('Add', 'cpu');
    tf.registerKernel({
      ...kernel,
      kernelFunc: (call) => {
        const result = kernel.kernelFunc(call);
        added.push({ shape: result.shape, data: call.backend.data.get(result.dataId).values });
        return result;
      },
    });
    return api;
  })();
  return loadedFaceApi;
}

/** The difference of each layer from the CPU reference, for one photo. */
async function verifyLayers(id: DetectorId, name: string): Promise<(Difference & Pick<PreparedLayer, 'name'>)[]> {
  const prepared = await detector(id);
  await prepared.run(await photo(name));
  const differences: Difference[] = [];
  await verify(prepared, (difference) => differences.push(difference), new AbortController().signal);
  return prepared.network.layers.map(({ name: layer }, i) => ({ name: layer, ...differences[i]! }));
}

/** How many GPU resources are made in so many frames, after the first. Small frames: only their number counts. */
async function resourcesMade(id: DetectorId, frames: number): Promise<Record<string, number>> {
  const created = await PipelineManager.create();
  const small = await Detector.create(created, { ...await loadNetwork(id), inputSize: 32 });
  const picture = new OffscreenCanvas(64, 48);
  picture.getContext('2d')!.fillRect(8, 8, 16, 16);
  await small.run(picture);
  const made: Record<string, number> = {};
  const { device } = created;
  for (const method of ['createBuffer', 'createTexture', 'createBindGroup', 'createQuerySet', 'createComputePipeline',
    'createComputePipelineAsync', 'createShaderModule'] as const) {
    made[method] = 0;
    const original = (device[method] as (...args: unknown[]) => unknown).bind(device);
    Object.defineProperty(device, method, { value: (...args: unknown[]) => {
      made[method]! += 1;
      return original(...args);
    } });
  }
  for (let frame = 0; frame < frames; frame++) await small.run(picture);
  small.destroy();
  created.destroy();
  return made;
}

declare global {
  interface Window {
    detectors: {
      ours: typeof ours; theirs: typeof theirs; verifyLayers: typeof verifyLayers; resourcesMade: typeof resourcesMade;
    };
  }
}
window.detectors = { ours, theirs, verifyLayers, resourcesMade };
