import type { PipelineManager, Tensor4D } from 'sepconv-webgpu';
import { compare } from './compare.js';
import {
  clearErrors, showError, showFaces, showFailure, showLayers, showLive, showProgress, showState, showStrategies,
  showTimes, showVerdict, type Totals,
} from './detect-report.js';
import { adapterText, currentManager, untilLost } from './gpu.js';
import { latest } from './latest.js';
import { Detector, type Picture, sizeOf } from './networks/detector.js';
import { type DetectorId, detectors, loadNetwork } from './networks/load.js';
import type { LayerTimes } from './networks/timing.js';
import { LAYER_TOLERANCE, verify } from './networks/verify.js';
import { element, messageOf, onPageError, savePng, setText } from './page.js';
import { decodePhoto } from './photo.js';
import { firstPhoto, type PhotoSource, setUpPhotos } from './photos.js';

/** A picture as it was given to a detector, with what came out. */
interface Seen { readonly picture: Picture; readonly detector: Detector; readonly heads: readonly Tensor4D[] }

const canvas = element('found', HTMLCanvasElement);
const video = element('video', HTMLVideoElement);
const webcam = element('webcam', HTMLButtonElement);
const threshold = element('threshold', HTMLInputElement);
const verifyButton = element('verify', HTMLButtonElement);
const compareButton = element('compare', HTMLButtonElement);

let source = firstPhoto();
let decoded: { source: PhotoSource; photo: ImageBitmap } | undefined;
let seen: Seen | undefined;
let verifying: AbortController | undefined;
let comparing: AbortController | undefined;
const ready = new Map<DetectorId, { manager: PipelineManager; detector: Promise<Detector> }>();

const chosenDetector = (): DetectorId =>
  document.querySelector<HTMLInputElement>('[name=detector]:checked')!.value as DetectorId;

/** The chosen detector, loaded and compiled at its first use, and again on a new device. */
async function currentDetector(): Promise<Detector> {
  const id = chosenDetector();
  const manager = await currentManager();
  setText('detect-adapter', adapterText(manager));
  const known = ready.get(id);
  if (known?.manager === manager) return known.detector;
  const create = async (): Promise<Detector> => {
    const network = await loadNetwork(id, (share) => showProgress('Loading the weights', share / 2));
    return Detector.create(manager, network, 'auto', (share) => showProgress('Compiling the kernels', 0.5 + share / 2));
  };
  const detector = create();
  ready.set(id, { manager, detector });
  detector.catch(() => {
    if (ready.get(id)?.detector === detector) ready.delete(id);
  });
  return detector;
}

async function currentPhoto(): Promise<ImageBitmap> {
  if (decoded?.source === source) return decoded.photo;
  const wanted = source;
  const photo = await decodePhoto(await wanted.load(), wanted.name);
  decoded = { source: wanted, photo }; // The one before may still be shown: it goes with its last reader.
  return photo;
}

/** Draws the last picture with the faces above the threshold. */
function draw(): void {
  if (seen === undefined) return;
  const { picture, detector: { network }, heads } = seen;
  const faces = network.decode(heads, sizeOf(picture), threshold.valueAsNumber / 100);
  showFaces(canvas, picture, faces, network.id);
}

async function run(signal: AbortSignal): Promise<void> {
  const photo = await currentPhoto();
  signal.throwIfAborted();
  showFaces(canvas, photo, undefined, chosenDetector());
  const detector = await currentDetector();
  signal.throwIfAborted();
  showProgress('Looking for faces', 1);
  showLayers(detector);
  // Measured twice, because the first time counts what a driver does at first use.
  await detector.run(photo);
  signal.throwIfAborted();
  const start = performance.now();
  const heads = await detector.run(photo);
  const wall = performance.now() - start;
  seen = { picture: photo, detector, heads };
  draw();
  signal.throwIfAborted();
  const times = await detector.measure(photo);
  signal.throwIfAborted();
  showTimes(times, wall);
  showState('done');
}

const requestRun = latest(run, fail);

function fail(error: unknown): void {
  seen = undefined;
  showFailure(messageOf(error));
}

function request(): void {
  stopChecks();
  showState('working');
  clearErrors();
  requestRun();
}

/** Frame by frame: what is shown is the frame that the boxes belong to, however long the detector took. */
async function runLive(): Promise<void> {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: 'user' } });
  video.srcObject = stream;
  // Unplugged, or taken away in the browser's own controls.
  stream.getVideoTracks()[0]?.addEventListener('ended', () => {
    if (video.srcObject === stream) stopWebcam();
  });
  await video.play();
  webcam.setAttribute('aria-pressed', 'true');
  webcam.textContent = 'Stop the webcam';
  stopChecks();
  clearErrors();
  let last = performance.now();
  let rate = 0;
  let measured: Detector | undefined;
  while (video.srcObject === stream) {
    const detector = await currentDetector();
    const frame = await createImageBitmap(video);
    if (measured !== detector) {
      showLayers(detector);
      const times = await detector.measure(frame);
      showTimes(times, times.milliseconds.reduce((a, b) => a + b));
      measured = detector;
    }
    const heads = await detector.run(frame);
    if (video.srcObject !== stream) break;
    const before = seen?.picture;
    seen = { picture: frame, detector, heads };
    draw();
    if (before instanceof ImageBitmap && before !== decoded?.photo) before.close();
    const now = performance.now();
    rate = rate === 0 ? 1000 / (now - last) : 0.8 * rate + 200 / (now - last);
    last = now;
    showLive(rate);
    showState('live');
    await new Promise(requestAnimationFrame);
  }
}

/** Turns the camera off; the last frame stays. */
export function stopWebcam(): void {
  const stream = video.srcObject as MediaStream | null;
  if (stream === null) return;
  video.srcObject = null;
  for (const track of stream.getTracks()) track.stop();
  webcam.setAttribute('aria-pressed', 'false');
  webcam.textContent = 'Use the webcam';
  showLive(undefined);
  showState('done');
}

function toggleWebcam(): void {
  if (video.srcObject !== null) {
    stopWebcam();
    return;
  }
  untilLost(runLive()).catch((error: unknown) => {
    stopWebcam();
    fail(error instanceof DOMException ? new Error(`The webcam cannot be used: ${error.message}`) : error);
  });
}

function stopChecks(): void {
  verifying?.abort(new Error('replaced'));
  verifying = undefined;
  comparing?.abort(new Error('replaced'));
}

/** The last picture on the CPU too, layer by layer. */
async function verifyLast(): Promise<void> {
  const controller = new AbortController();
  verifying = controller;
  verifyButton.disabled = true;
  clearErrors();
  showVerdict('running', 'Computing every layer on the CPU…');
  try {
    await untilLost(verifySeen(controller.signal));
    showVerdict('done');
  } catch (error) {
    if (!controller.signal.aborted) showVerdict('failed', messageOf(error));
    controller.abort(new Error('ended'));
  } finally {
    verifyButton.disabled = false;
  }
}

async function verifySeen(signal: AbortSignal): Promise<void> {
  const detector = await currentDetector();
  // A new device has seen nothing yet.
  if (seen !== undefined && seen.detector !== detector) await detector.run(seen.picture);
  await verify(detector, showError, signal);
}

/** The same network with the other strategies, and without the library. */
async function compareStrategies(): Promise<void> {
  if (seen === undefined) return;
  const controller = comparing = new AbortController();
  const { signal } = controller;
  compareButton.disabled = true;
  try {
    await untilLost(timeStrategies(seen, signal));
    if (!signal.aborted) compareButton.disabled = false;
  } catch (error) {
    if (!signal.aborted) fail(error);
    controller.abort(new Error('ended')); // What a lost device left behind shall show nothing any more.
  }
}

async function timeStrategies({ picture, detector: { network }, heads }: Seen, signal: AbortSignal): Promise<void> {
  const totals: Totals = {};
  for (const strategy of ['auto', 'fused', 'two-pass', 'naive'] as const) {
    showStrategies(totals, strategy);
    const detector = strategy === 'auto'
      ? await currentDetector() : await Detector.create(await currentManager(), network, strategy);
    try {
      signal.throwIfAborted();
      totals[strategy] = strategy === 'naive'
        ? await timeNaive(detector, picture, heads, (share) => {
          signal.throwIfAborted();
          showStrategies(totals, strategy, share);
        })
        : await time(detector, picture);
      signal.throwIfAborted();
    } finally {
      if (strategy !== 'auto') detector.destroy();
    }
  }
  showStrategies(totals);
}

/** Milliseconds of all layers, at the second run. */
async function time(detector: Detector, picture: Picture): Promise<number> {
  await detector.run(picture);
  return total(await detector.measure(picture));
}

/** Like `time`, but layer by layer, and only once where that takes long; what it computes must be the same. */
async function timeNaive(
  detector: Detector, picture: Picture, heads: readonly Tensor4D[], onLayer: (share: number) => void,
): Promise<number> {
  const first = total(await detector.measure(picture, onLayer));
  const milliseconds = first < 2000 ? total(await detector.measure(picture, onLayer)) : first;
  for (const [i, { data }] of (await detector.readHeads()).entries()) {
    const { maxError } = compare(data, heads[i]!.data);
    // Each may be a tolerance away from the reference.
    if (!(maxError <= 2 * LAYER_TOLERANCE)) {
      throw new Error(`The naive version differs by ${maxError.toExponential(1)} and is not compared.`);
    }
  }
  return milliseconds;
}

const total = ({ milliseconds }: LayerTimes): number => milliseconds.reduce((a, b) => a + b);

/** Sets the tab up and runs it for the first time. Gives what runs it again. */
export function openDetector({ adapterKind }: PipelineManager): () => void {
  onPageError(showFailure);
  setUpPhotos('detect-', element('detect', HTMLElement), (photo) => {
    stopWebcam();
    source = photo;
    request();
  });
  for (const radio of document.querySelectorAll<HTMLInputElement>('[name=detector]')) {
    radio.checked = radio.value === (adapterKind === 'software' ? 'tiny' : 'ssd');
    radio.addEventListener('change', () => {
      setText('detector-about', detectors[chosenDetector()].about);
      if (video.srcObject === null) request();
    });
  }
  setText('detector-about', detectors[chosenDetector()].about);
  threshold.addEventListener('input', () => {
    element('threshold-value', HTMLOutputElement).value = (threshold.valueAsNumber / 100).toFixed(2);
    draw();
  });
  element('detect-controls', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault());
  webcam.addEventListener('click', toggleWebcam);
  webcam.hidden = !('mediaDevices' in navigator);
  verifyButton.addEventListener('click', () => void verifyLast());
  compareButton.addEventListener('click', () => void compareStrategies());
  element('save-faces', HTMLButtonElement).addEventListener('click', () => savePng(canvas, 'faces'));
  request();
  return request;
}
