import type { PipelineManager } from 'sepconv-webgpu';
import { BackgroundBlur, type Background, type EffectOptions } from './blur/background-blur.js';
import {
  showDrawn, showFailure, showNetwork, showProgress, showRate, showSource, showStages, showState, showTimes,
} from './blur-report.js';
import { nextFrame, openCamera, play } from './blur-source.js';
import { clearVerdict, setUpVerify } from './blur-verify.js';
import { adapterText, currentManager, untilLost } from './gpu.js';
import { latest } from './latest.js';
import { element, messageOf, onPageError, savePng, setText } from './page.js';
import { decodePhoto } from './photo.js';
import { firstPhoto, type PhotoSource, setUpPhotos } from './photos.js';

/** The sample at the start, counted from 1: much detail behind the people, and loose hair. */
const FIRST = 3;

const panel = element('background', HTMLElement);
const canvas = element('blurred', HTMLCanvasElement);
const video = element('blur-video', HTMLVideoElement);
const webcam = element('blur-webcam', HTMLButtonElement);
const pauseButton = element('blur-pause', HTMLButtonElement);
const strength = element('blur-strength', HTMLInputElement);

let source: PhotoSource | 'camera' = firstPhoto(FIRST);
let made: { readonly manager: PipelineManager; readonly effect: Promise<BackgroundBlur> } | undefined;
let backdrop: ImageBitmap | OffscreenCanvas | undefined;
let backdropFile: File | undefined;
/** What ends the camera or the video that is playing. */
let playing: AbortController | undefined;

/** Compiled at its first use, and again on a new device. */
async function currentEffect(): Promise<BackgroundBlur> {
  const manager = await currentManager();
  setText('blur-adapter', adapterText(manager));
  if (made?.manager === manager) return made.effect;
  const create = async (): Promise<BackgroundBlur> => {
    const effect = await BackgroundBlur.create(manager, canvas, showProgress);
    effect.setBackdrop(backdrop ??= gradient());
    showNetwork(effect.segmenter.layers);
    return effect;
  };
  const effect = create();
  made = { manager, effect };
  effect.catch(() => {
    if (made?.effect === effect) made = undefined;
  });
  return effect;
}

function options(): EffectOptions {
  const background = document.querySelector<HTMLInputElement>('[name=background]:checked')!.value as Background;
  const hex = Number.parseInt(element('blur-colour', HTMLInputElement).value.slice(1), 16);
  return {
    background, strength: strength.valueAsNumber / 100,
    colour: [hex >> 16, (hex >> 8) & 255, hex & 255].map((value) => value / 255) as [number, number, number],
  };
}

/** Browsers know the types of files by their names, but not of all. */
const isVideo = ({ type }: Blob, name: string): boolean =>
  type.startsWith('video/') || (type === '' && /\.(mp4|m4v|mov|mkv|webm|ogv)$/i.test(name));

async function run(signal: AbortSignal): Promise<void> {
  if (source === 'camera') {
    const manager = await currentManager();
    // The camera is asked for first, so that what it needs of the user does not wait for the network.
    showProgress('Waiting for the webcam', 1);
    await runVideo((replaced) => openCamera(manager.adapterKind === 'software' ? 640 : 1280, replaced), 'The webcam',
      signal);
    return;
  }
  const { name } = source;
  const blob = await source.load();
  signal.throwIfAborted();
  if (isVideo(blob, name)) {
    await runVideo(() => Promise.resolve(blob), name, signal);
    return;
  }
  const photo = await decodePhoto(blob, name);
  const effect = await currentEffect();
  signal.throwIfAborted();
  // Twice, because the first times count what a driver does at first use.
  for (let time = 0; time < 2; time++) {
    const drawn = options();
    await effect.draw(photo, drawn);
    signal.throwIfAborted();
    showSource('photo');
    showDrawn(drawn);
  }
  await effect.timesRead();
  signal.throwIfAborted();
  showTimes(effect.times(), canvas);
  showRate(undefined);
  showState('done');
}

/** Frame by frame: the next one is the newest there is when the one before is done, however long that took. */
async function runVideo(
  open: (signal: AbortSignal) => Promise<MediaStream | Blob>, name: string, replaced: AbortSignal,
): Promise<void> {
  const controller = playing = new AbortController();
  const { signal } = controller;
  const stop = (): void => controller.abort(new Error('ended'));
  replaced.addEventListener('abort', stop);
  let isGone = false;
  try {
    showControls(source === 'camera', true);
    const picture = await open(signal);
    const isCamera = picture instanceof MediaStream;
    if (isCamera) {
      picture.getVideoTracks()[0]?.addEventListener('ended', () => {
        isGone = true;
        stop();
      });
    }
    await play(video, picture, name, signal);
    replaced.throwIfAborted();
    if (panel.hidden) pause(true); // It was left meanwhile.
    const effect = await currentEffect();
    let last = 0;
    let rate = 0;
    for (let frame = 0; !signal.aborted; frame++) {
      await nextFrame(video, signal);
      const drawn = options();
      await effect.draw(video, drawn, frame > 0);
      showSource(isCamera ? 'camera' : 'video');
      const now = performance.now();
      const between = now - last;
      // A pause is no slow frame.
      if (between < 2000) rate = rate === 0 ? 1000 / between : 0.8 * rate + 200 / between;
      last = now;
      signal.throwIfAborted();
      showTimes(effect.times(), canvas);
      showRate(rate);
      showDrawn(drawn);
      showState('live');
    }
  } catch (error) {
    if (!signal.aborted || replaced.aborted) throw error;
  } finally {
    stop();
    if (playing === controller) {
      playing = undefined;
      showControls(false, false);
      showRate(undefined);
    }
  }
  if (isGone) throw new Error('The webcam went away: it was unplugged, or turned off in the browser’s own controls.');
  showState('done'); // The last frame stays.
}

function showControls(isCamera: boolean, isPlaying: boolean): void {
  webcam.setAttribute('aria-pressed', String(isCamera));
  webcam.textContent = isCamera ? 'Stop the webcam' : 'Use the webcam';
  pauseButton.hidden = isCamera || !isPlaying;
  showPaused(false);
}

function showPaused(value: boolean): void {
  pauseButton.setAttribute('aria-pressed', String(value));
  pauseButton.textContent = value ? 'Play' : 'Pause';
}

const requestRun = latest(run, (error) => showFailure(messageOf(error)));

function request(): void {
  playing?.abort(new Error('replaced'));
  showState('working');
  clearVerdict();
  requestRun();
}

/** `undefined`: a new device has drawn nothing yet, so that all starts again. */
async function effectWithFrame(): Promise<BackgroundBlur | undefined> {
  const effect = await currentEffect();
  if (effect.hasFrame) return effect;
  if (panel.dataset['state'] !== 'working') request();
  return undefined;
}

let redrawing = false;
let changed = false;

/** Shows changed options: at the next frame, or now where nothing moves. */
async function redraw(): Promise<void> {
  changed = true;
  if (redrawing || made === undefined) return;
  redrawing = true;
  try {
    while (changed) {
      changed = false;
      if (playing !== undefined && !video.paused) return;
      const effect = await effectWithFrame();
      if (effect === undefined) return;
      const drawn = options();
      await effect.redraw(drawn);
      showDrawn(drawn);
    }
  } finally {
    redrawing = false;
  }
}

const requestRedraw = (): void => void untilLost(redraw()).catch((error: unknown) => showFailure(messageOf(error)));

function showOptions(): void {
  const { background } = options();
  for (const choice of document.querySelectorAll<HTMLElement>('#blur-controls [data-for]')) {
    choice.hidden = choice.dataset['for'] !== background;
  }
  element('blur-strength-value', HTMLOutputElement).value = `${strength.value} %`;
  canvas.setAttribute('aria-label', {
    blur: 'The picture with its background blurred', colour: 'The picture on a plain colour',
    picture: 'The picture with another background', mask: 'The mask: people white, all else black',
  }[background]);
}

async function chooseBackdrop(file: File): Promise<void> {
  backdropFile = file;
  const picture = await decodePhoto(file, file.name);
  if (backdropFile !== file) return; // Another one was chosen meanwhile.
  backdrop = picture;
  setText('backdrop-chosen', file.name);
  (await currentEffect()).setBackdrop(backdrop);
  requestRedraw();
}

/** Something to stand in front of: an evening sky with a few lights. */
function gradient(): OffscreenCanvas {
  const picture = new OffscreenCanvas(960, 540);
  const context = picture.getContext('2d')!;
  const sky = context.createLinearGradient(0, 0, 0, 540);
  for (const [at, colour] of [[0, '#16324f'], [0.55, '#3f6f8f'], [0.8, '#e8a87c'], [1, '#c9605a']] as const) {
    sky.addColorStop(at, colour);
  }
  context.fillStyle = sky;
  context.fillRect(0, 0, 960, 540);
  for (let i = 0; i < 24; i++) {
    context.fillStyle = `hsl(${30 + (i * 47) % 40} 90% 75% / ${0.06 + 0.02 * (i % 4)})`;
    context.beginPath();
    context.arc((i * 397) % 960, 330 + (i * 131) % 200, 18 + (i * 29) % 46, 0, 2 * Math.PI);
    context.fill();
  }
  return picture;
}

async function save(): Promise<void> {
  const picture = await (await effectWithFrame())?.readPicture();
  if (picture === undefined) return;
  const copy = Object.assign(document.createElement('canvas'), { width: picture.width, height: picture.height });
  copy.getContext('2d')!.putImageData(picture, 0, 0);
  savePng(copy, 'background');
}

/** What is shown, for scripts: the picture, and the network's mask, 256×256 probabilities of a person, row by row. */
export async function currentResult(): Promise<{ picture: ImageData; mask: Float32Array }> {
  const effect = await effectWithFrame();
  if (effect === undefined) throw new Error('Nothing is shown yet.');
  return { picture: await effect.readPicture(), mask: await effect.readRawMask() };
}

function pause(value: boolean): void {
  if (value) video.pause();
  else video.play().catch(reportError);
  showPaused(value);
}

/** Another tab is shown: the camera goes off, a video pauses. What was drawn last stays. */
export function restBlur(): void {
  if (source === 'camera') playing?.abort(new Error('left'));
  else if (panel.dataset['state'] === 'live') pause(true);
}

/** Sets the tab up and runs it for the first time. Gives what runs it again. */
export function openBlur(): () => void {
  onPageError(showFailure);
  const forgetPhoto = setUpPhotos('blur-', panel, (photo) => {
    source = photo;
    request();
  }, FIRST);
  const form = element('blur-controls', HTMLFormElement);
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', ({ target }) => {
    if (!(target instanceof Element) || target.closest('.photos, [type=file]') !== null) return;
    showOptions();
    requestRedraw();
  });
  element('backdrop-file', HTMLInputElement).addEventListener('change', ({ currentTarget }) => {
    const file = (currentTarget as HTMLInputElement).files?.[0];
    if (file !== undefined) {
      untilLost(chooseBackdrop(file)).catch((error: unknown) => setText('backdrop-chosen', messageOf(error)));
    }
  });
  webcam.hidden = !('mediaDevices' in navigator);
  webcam.addEventListener('click', () => {
    if (source === 'camera' && playing !== undefined) {
      playing.abort(new Error('stopped'));
      return;
    }
    source = 'camera';
    forgetPhoto();
    request();
  });
  pauseButton.addEventListener('click', () => pause(!video.paused));
  document.addEventListener('visibilitychange', () => {
    if (playing === undefined || pauseButton.ariaPressed === 'true') return;
    if (document.hidden) video.pause();
    else video.play().catch(reportError);
  });
  setUpVerify(effectWithFrame);
  element('blur-save', HTMLButtonElement).addEventListener('click', () => {
    untilLost(save()).catch((error: unknown) => showFailure(messageOf(error)));
  });
  showOptions();
  showStages({});
  request();
  return request;
}
