import { type PipelineManager, separableConv2d, type Tensor4D } from 'sepconv-webgpu';
import { checkAgainstReference, TOLERANCE } from './check.js';
import { filters, type PhotoFilter } from './filters.js';
import { adapterText, currentManager } from './gpu.js';
import { latest } from './latest.js';
import { Learner } from './learn.js';
import { duration, element, messageOf, onPageError, savePng, setText, shapeText } from './page.js';
import { decodePhoto, drawTensor, photoToTensor } from './photo.js';
import { firstPhoto, type PhotoSource, setUpPhotos } from './photos.js';
import { random } from './random.js';

/** Filters that can be found from one photo; the others are too large, or saturate where nothing is to be learned. */
const LEARNABLE = ['sepia', 'gaussian', 'sharpen', 'edges', 'slope', 'emboss', 'fringe'];

/** Small photos, because what counts is how many steps there are. */
const SIZE = { software: 96, gpu: 256 } as const;
const STEPS = 2000;
/** Milliseconds of steps between two pictures. */
const FRAME = 60;
/** The learning rate falls to a fiftieth: coarse first, then fine. */
const rateAt = (step: number): number => 0.04 * 0.02 ** (step / STEPS);

const panel = element('learn', HTMLElement);
const { dataset } = element('learn-report', HTMLElement);
const output = element('learn-output', HTMLCanvasElement);
const pauseButton = element('learn-pause', HTMLButtonElement);
let source: PhotoSource = firstPhoto();
let seed = 1;
let paused = false;
let resume: (() => void) | undefined;

const chosenFilter = (): PhotoFilter =>
  filters.find(({ id }) => id === element('learn-filter', HTMLSelectElement).value)!;

async function run(signal: AbortSignal): Promise<void> {
  const filter = chosenFilter();
  setText('learn-about', filter.about);
  setText('learn-status', 'Filtering the photo…');
  const manager = await currentManager();
  setText('learn-adapter', adapterText(manager));
  const photo = photoToTensor(await decodePhoto(await source.load(), source.name), SIZE[manager.adapterKind]);
  const teacher = filter.weights(0.5);
  const { depthwiseFilter, pointwiseFilter, ...options } = {
    ...teacher, padding: 'SAME', allowOverparameterized: true, name: filter.id,
  };
  const wanted = await separableConv2d(photo, depthwiseFilter, pointwiseFilter, { ...options, manager });
  signal.throwIfAborted();
  drawTensor(element('learn-wanted', HTMLCanvasElement), wanted);
  setText('learn-shape', shapeText(wanted.shape));
  const shapes = `${shapeText(depthwiseFilter.shape)} → ${shapeText(pointwiseFilter.shape)}`;
  setText('learn-filters', options.bias ? `${shapes} + 3` : shapes);
  setText('learn-status', 'Compiling the gradients…');
  const learner = await Learner.create(manager, { photo, wanted, teacher, random: random(seed), rate: rateAt });
  try {
    await learn(learner, signal);
    setText('learn-status', 'Checking the last picture on the CPU…');
    await check(manager, photo, await learner.weights(), signal);
    panel.dataset['state'] = 'done';
  } finally {
    learner.destroy();
  }
}

/** Steps until there were enough, with a picture and a point of the curve now and then. */
async function learn(learner: Learner, signal: AbortSignal): Promise<void> {
  const losses: number[] = [];
  let batch = 1;
  while (learner.steps < STEPS) {
    const start = performance.now();
    for (let i = 0; i < batch && learner.steps < STEPS; i++) learner.step();
    const { loss, output: picture } = await learner.read();
    const elapsed = performance.now() - start;
    signal.throwIfAborted();
    if (!Number.isFinite(loss)) throw new Error('The loss is no number any more: another start may do better.');
    losses.push(loss);
    drawTensor(output, picture);
    show(losses, learner.steps, elapsed / batch);
    batch = Math.max(1, Math.min(50, Math.round((batch * FRAME) / elapsed)));
    await new Promise(requestAnimationFrame);
    if (paused) await new Promise<void>((resolve) => (resume = resolve));
    signal.throwIfAborted();
  }
}

/** The loss, how far it has fallen, and its curve on a logarithmic scale. */
function show(losses: readonly number[], steps: number, milliseconds: number): void {
  const [first, last] = [losses[0]!, losses.at(-1)!];
  const fall = first / last;
  setText('learn-verdict', fall < 2 ? 'Learning…' : `The loss fell ${fall.toPrecision(3)}-fold`);
  setText('learn-status', `Step ${steps} of ${STEPS}, ${duration(milliseconds)} each: forward, backward, update`);
  setText('learn-loss', last.toExponential(2));
  setText('learn-error', `${(Math.sqrt(last) * 255).toPrecision(2)} of 255`);
  setText('learn-speed', `${(1000 / milliseconds).toPrecision(3)} steps/s`);
  const logs = losses.map(Math.log10);
  const [least, most] = [Math.min(...logs), Math.max(...logs)];
  const points = logs.map((log, i) => {
    const x = (i / Math.max(1, losses.length - 1)) * 300;
    const y = 110 - ((log - least) / (most - least || 1)) * 100;
    return `${x},${y}`;
  });
  element('learn-curve', SVGPolylineElement).setAttribute('points', points.join(' '));
  setText('learn-most', (10 ** most).toExponential(0));
  setText('learn-least', (10 ** least).toExponential(0));
  Object.assign(dataset, { steps, loss: last, fall, milliseconds });
}

/** What was learned, run as an app would run it, against the reference on the CPU. */
async function check(
  manager: PipelineManager, photo: Tensor4D, learned: Awaited<ReturnType<Learner['weights']>>, signal: AbortSignal,
): Promise<void> {
  const { depthwiseFilter, pointwiseFilter, ...rest } = learned;
  const options = { ...rest, padding: 'SAME', allowOverparameterized: true };
  const actual = await separableConv2d(photo, depthwiseFilter, pointwiseFilter, { ...options, manager });
  const request = { input: photo, depthwiseFilter, pointwiseFilter, options, actual };
  const { maxError } = await checkAgainstReference(request, signal);
  drawTensor(output, actual);
  const agrees = maxError <= TOLERANCE;
  element('learn-verdict', HTMLElement).dataset['verdict'] = agrees ? 'agrees' : 'differs';
  setText('learn-status', `Learned in ${STEPS} steps; the picture ${agrees ? 'agrees' : 'does NOT agree'} with the CPU `
    + `(error ${maxError.toExponential(1)})`);
  Object.assign(dataset, { maxError, agrees });
}

const requestRun = latest(run, (error) => showFailure(messageOf(error)));

function showFailure(message: string): void {
  setText('learn-failure', message);
  setText('learn-verdict', 'No result');
  element('learn-verdict', HTMLElement).dataset['verdict'] = 'none';
  setText('learn-status', '');
  panel.dataset['state'] = 'failed';
}

function request(): void {
  for (const key of Object.keys(dataset)) delete dataset[key];
  setText('learn-failure', '');
  setText('learn-verdict', 'Starting…');
  element('learn-verdict', HTMLElement).dataset['verdict'] = 'pending';
  panel.dataset['state'] = 'working';
  pause(false);
  requestRun();
}

function pause(value: boolean): void {
  paused = value;
  pauseButton.setAttribute('aria-pressed', String(value));
  pauseButton.textContent = value ? 'Go on' : 'Pause';
  if (value) return;
  resume?.();
  resume = undefined;
}

/** Training takes the GPU, so that it rests while another tab is shown. */
export const pauseLearning = (): void => pause(true);

/** Sets the tab up and starts to learn. Gives what starts over. */
export function openLearner(): () => void {
  onPageError(showFailure);
  element('learn-filter', HTMLSelectElement).replaceChildren(
    ...LEARNABLE.map((id) => new Option(filters.find((filter) => filter.id === id)!.label, id)));
  setUpPhotos('learn-', panel, (photo) => {
    source = photo;
    request();
  });
  element('learn-controls', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault());
  element('learn-filter', HTMLSelectElement).addEventListener('input', request);
  element('learn-again', HTMLButtonElement).addEventListener('click', () => {
    seed += 1;
    request();
  });
  pauseButton.addEventListener('click', () => pause(!paused));
  element('learn-save', HTMLButtonElement).addEventListener('click', () => savePng(output, 'learned'));
  request();
  return request;
}
