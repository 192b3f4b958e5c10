import {
  type Convolution, type ConvolutionDescriptor, type Padding, PipelineManager, type Shape4D, type Strategy,
  type Tensor4D, type TuningEntry,
} from 'sepconv-webgpu';
import { checkAgainstReference, TOLERANCE } from './check.js';
import { runTimed } from './convolve.js';
import { currentManager, shaderSource } from './gpu.js';
import { latest } from './latest.js';
import { duration, element, make, messageOf, onPageError, position, setText, shapeText } from './page.js';
import { random } from './random.js';

type Pattern = 'rings' | 'noise' | 'point';

const panel = element('explore', HTMLElement);
const form = element('geometry-form', HTMLFormElement);
const { dataset } = element('explore-report', HTMLElement);
let result: { input: Tensor4D; output: Tensor4D } | undefined;
/** What the geometry that is shown was prepared from. */
let shown: ConvolutionDescriptor | undefined;
let seed = 1;

const field = (name: string): string => (form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement).value;
const number = (name: string): number => Number(field(name));

function filled(shape: Shape4D, value: (index: number) => number): Tensor4D {
  return { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => value(i)) };
}

/** An input to look at: waves around the middle, noise, or one lit pixel, whose output is the filter itself. */
function inputOf(pattern: Pattern, [H, W, C]: readonly [number, number, number]): Tensor4D {
  const noise = random(17);
  return filled([1, H, W, C], (i) => {
    const [y, x, c] = [Math.floor(i / C / W), Math.floor(i / C) % W, i % C];
    if (pattern === 'noise') return noise();
    if (pattern === 'point') return y === H >> 1 && x === W >> 1 ? 1 : 0;
    return Math.cos((Math.hypot(y - H / 2, x - W / 2) * 24) / Math.max(H, W) + c);
  });
}

async function run(signal: AbortSignal): Promise<void> {
  const [C, M, O] = [number('C'), number('M'), number('O')];
  const input = inputOf(field('pattern') as Pattern, [number('H'), number('W'), C]);
  const next = random(seed);
  const depthwiseFilter = filled([number('KH'), number('KW'), C, M], next);
  const pointwiseFilter = filled([1, 1, C * M, O], next);
  const pixels = Number(field('padding'));
  const padding: Padding = Number.isNaN(pixels) ? field('padding') : [[pixels, pixels], [pixels, pixels]];
  const options = {
    strides: [number('SH'), number('SW')] as const, rate: [number('RH'), number('RW')] as const, padding,
    allowOverparameterized: true, name: 'explorer',
  };
  setText('explore-status', 'Compiling…');
  const manager = await currentManager();
  const descriptor = {
    ...options, inputShape: input.shape, depthwiseFilter, pointwiseFilter, strategy: field('strategy') as Strategy,
  };
  const convolution = await manager.prepare(descriptor);
  try {
    signal.throwIfAborted();
    setText('explore-status', 'Running on the GPU…');
    const timed = await runTimed(manager.device, convolution, input);
    signal.throwIfAborted();
    result = { input, output: timed.output };
    shown = descriptor;
    const channel = element('channel', HTMLInputElement);
    channel.max = String(O - 1);
    channel.value = String(Math.min(channel.valueAsNumber, O - 1));
    drawMaps();
    showRun(convolution, timed, { KH: number('KH'), KW: number('KW'), K: C * M, O });
    setText('explore-status', 'Checking on the CPU…');
    const { maxError, worst, actual, expected } = await checkAgainstReference(
      { input, depthwiseFilter, pointwiseFilter, options, actual: timed.output }, signal);
    const agrees = maxError <= TOLERANCE;
    showVerdict(agrees ? 'agrees' : 'differs', agrees ? 'Agrees with the CPU' : 'Differs from the CPU');
    const bound = `Largest error ${maxError.toExponential(1)}, allowed ${TOLERANCE.toExponential(0)}`;
    const values = `${actual.toPrecision(7)}, not ${expected.toPrecision(7)}`;
    setText('explore-status', agrees ? bound : `${bound}; at ${position(worst, timed.output.shape)}: ${values}`);
    Object.assign(dataset, { maxError, agrees });
    panel.dataset['state'] = 'done';
  } finally {
    convolution.destroy();
  }
}

function showRun(
  { outputShape, strategy, kernels }: Convolution,
  { milliseconds, clock }: { milliseconds: number; clock: 'gpu' | 'wall' },
  { KH, KW, K, O }: { KH: number; KW: number; K: number; O: number },
): void {
  const [, OH, OW] = outputShape;
  const work = OH * OW * K * (KH * KW + O);
  setText('explore-shape', shapeText(outputShape));
  setText('explore-strategy', strategy === 'fused' ? 'Fused, one kernel' : 'Two passes');
  setText('explore-time', duration(milliseconds));
  setText('explore-clock', clock === 'gpu' ? 'GPU timestamps' : 'wall time: no timestamps here');
  setText('explore-work', `${(work / 1e6).toPrecision(3)} M`);
  setText('explore-rate', `multiply-adds, ${((2 * work) / milliseconds / 1e6).toPrecision(3)} GFLOP/s`);
  element('explore-kernels', HTMLElement).replaceChildren(...kernels.map((kernel) => make('details', {},
    make('summary', {}, make('code', {}, kernel)), make('pre', {}, shaderSource(kernel) ?? ''))));
  Object.assign(dataset, { shape: outputShape.join('x'), strategy, kernels: kernels.join(' '), milliseconds });
}

function showVerdict(verdict: 'pending' | 'agrees' | 'differs' | 'none', words: string): void {
  const shown = element('explore-verdict', HTMLElement);
  shown.textContent = words;
  shown.dataset['verdict'] = verdict;
}

function drawMaps(): void {
  if (result === undefined) return;
  const { input, output } = result;
  const channel = element('channel', HTMLInputElement).valueAsNumber;
  element('channel-value', HTMLOutputElement).value = `${channel} of 0…${output.shape[3] - 1}`;
  drawMap('map-input', input, 0);
  drawMap('map-output', output, channel);
}

/** One channel as colours: orange above zero, teal below, by the largest magnitude. */
function drawMap(id: string, { shape: [, H, W, C], data }: Tensor4D, channel: number): void {
  const canvas = element(id, HTMLCanvasElement);
  canvas.width = W;
  canvas.height = H;
  let most = 0;
  for (let i = channel; i < H * W * C; i += C) most = Math.max(most, Math.abs(data[i]!));
  const image = new ImageData(W, H);
  for (let pixel = 0; pixel < H * W; pixel++) {
    const value = data[pixel * C + channel]! / (most || 1);
    const [r, g, b] = value > 0 ? [255, 160, 64] : [64, 214, 203];
    const share = Math.sqrt(Math.abs(value)); // so that small values show
    image.data.set([18 + (r! - 18) * share, 22 + (g! - 22) * share, 24 + (b! - 24) * share, 255], pixel * 4);
  }
  canvas.getContext('2d')!.putImageData(image, 0, 0);
  setText(`${id}-shape`, `${shapeText([1, H, W, C])}`);
  setText(`${id}-range`, `±${most.toPrecision(3)}`);
}

/** Times every kernel that can compute the geometry, as `tuning: 'measure'` does, and lists what it found. */
async function measure(): Promise<void> {
  const descriptor = shown;
  if (!descriptor) return;
  const button = element('measure', HTMLButtonElement);
  button.disabled = true;
  setText('measure-status', 'Measuring…');
  try {
    const { device } = await currentManager();
    const manager = await PipelineManager.create({ device, tuning: 'measure' });
    try {
      await manager.prepare(descriptor);
      const [entry] = manager.tuningReport();
      const nameOf = (trial: TuningEntry['chosen']): string => `${trial.strategy} ${trial.presets.join(' + ')}`;
      const rows = entry?.tried.map((trial, index) => {
        const marks = [
          ...(index === 0 ? ['auto'] : []), ...(nameOf(trial) === nameOf(entry.chosen) ? ['chosen'] : []),
        ];
        return make('tr', {}, make('td', {}, trial.strategy), make('td', {}, trial.presets.join(' + ')),
          make('td', {}, duration(trial.milliseconds)), make('td', {}, marks.join(', ')));
      });
      element('measured', HTMLElement).replaceChildren(...(rows ?? []));
      const counts = (entry?.tried ?? []).map(({ samples }) => samples);
      const [least, most] = [Math.min(...counts), Math.max(...counts)];
      setText('measure-status', entry ? `Choices: ${entry.tried.length}, ${least}–${most} samples each`
        : 'Nothing could be measured');
    } finally {
      manager.destroy();
    }
  } catch (error) {
    setText('measure-status', messageOf(error));
  } finally {
    button.disabled = false;
  }
}

const requestRun = latest(run, (error) => showFailure(messageOf(error)));

function showFailure(message: string): void {
  result = undefined;
  setText('explore-error', message);
  setText('explore-status', '');
  showVerdict('none', 'No result');
  element('explore-kernels', HTMLElement).replaceChildren();
  shown = undefined;
  for (const name of ['shape', 'strategy', 'time', 'clock', 'work', 'rate']) setText(`explore-${name}`, '');
  panel.dataset['state'] = 'failed';
}

function request(): void {
  for (const key of Object.keys(dataset)) delete dataset[key];
  setText('explore-error', '');
  setText('measure-status', '');
  element('measured', HTMLElement).replaceChildren();
  showVerdict('pending', 'Working…');
  panel.dataset['state'] = 'working';
  if (form.checkValidity()) {
    requestRun();
    return;
  }
  const invalid = [...form.querySelectorAll<HTMLInputElement>('input:invalid')];
  showFailure(invalid.map(({ name, validationMessage }) => `${name}: ${validationMessage}`).join(' '));
}

/** Sets the tab up and runs it for the first time. Gives what runs it again. */
export function openExplorer(): () => void {
  onPageError(showFailure);
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', request);
  element('channel', HTMLInputElement).addEventListener('input', drawMaps);
  element('measure', HTMLButtonElement).addEventListener('click', () => void measure());
  element('reseed', HTMLButtonElement).addEventListener('click', () => {
    seed += 1;
    request();
  });
  request();
  return request;
}
