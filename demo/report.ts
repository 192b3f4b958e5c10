import type { Convolution, Strategy, Tensor4D } from 'sepconv-webgpu';
import { type CheckResult, TOLERANCE } from './check.js';
import { RUNS, type TimedRun } from './convolve.js';
import type { FilterWeights } from './filters.js';
import { duration, element, position, setText as text, shapeText } from './page.js';

/** What the page is doing; scripts that drive it wait for anything but `working`. */
export type State = 'working' | 'done' | 'failed';

// Numbers for scripts: data-strategy, data-milliseconds … of #report, filled as they become known.
const { dataset } = element('report', HTMLElement);

export function showState(state: State): void {
  element('photo', HTMLElement).dataset['state'] = state;
  element('save', HTMLButtonElement).disabled = state !== 'done';
}

export const showStatus = (status: string): void => text('status', status);

/** Forgets the last result, at once. Its texts stay until the next ones replace them, dimmed, so that nothing jumps. */
export function showWorking(): void {
  for (const key of Object.keys(dataset)) delete dataset[key];
  text('error', '');
  showVerdict('pending', 'Working…');
  showState('working');
}

export function showFailure(message: string): void {
  text('error', message);
  showVerdict('none', 'No result');
  const filled = [
    'max-error', 'status', 'output-shape', 'gpu-time', 'gpu-clock', 'strategy-taken', 'strategy-asked', 'cpu-time',
  ];
  for (const id of filled) text(id, '');
  showState('failed');
}

export function showRun(
  { output, milliseconds, clock }: TimedRun, { strategy }: Convolution, asked: Strategy,
): void {
  text('output-shape', shapeText(output.shape));
  text('gpu-time', duration(milliseconds));
  text('gpu-clock', clock === 'gpu'
    ? `GPU timestamps, median of ${RUNS}` : `wall time, mean of ${RUNS}: no timestamps here`);
  text('strategy-taken', strategy === 'fused' ? 'Fused, one kernel' : 'Two passes');
  text('strategy-asked', asked === 'auto' ? 'chosen automatically' : 'as you asked');
  Object.assign(dataset, { shape: output.shape.join('x'), strategy, milliseconds, clock });
}

export function showFilter(
  { depthwiseFilter, pointwiseFilter, depthwiseActivation, activation, bias }: FilterWeights,
): void {
  text('filter-shapes', `${shapeText(depthwiseFilter.shape)} → ${shapeText(pointwiseFilter.shape)}`);
  const extras = [
    depthwiseActivation && `${activationText(depthwiseActivation)} between`, bias && 'bias',
    activation && `${activationText(activation)} after`,
  ].filter(Boolean);
  text('activations', extras.join(', ') || 'depthwise → pointwise');
}

export function showCheck({ maxError, milliseconds, worst, actual, expected }: CheckResult, output: Tensor4D): void {
  const agrees = maxError <= TOLERANCE;
  showVerdict(agrees ? 'agrees' : 'differs', agrees ? 'Agrees with the CPU' : 'Differs from the CPU');
  const bound = `Largest error ${maxError.toExponential(1)}, allowed ${TOLERANCE.toExponential(0)}`;
  element('gauge', HTMLElement).style.setProperty('--at', String(gaugePosition(maxError)));
  const values = `${actual.toPrecision(7)}, not ${expected.toPrecision(7)}`;
  text('max-error', agrees ? bound : `${bound}; at ${position(worst, output.shape)}: ${values}`);
  text('cpu-time', duration(milliseconds));
  Object.assign(dataset, { maxError, agrees });
}

/** On the gauge's logarithmic scale, in percent. */
function gaugePosition(maxError: number): number {
  return Math.min(Math.max((Math.log10(maxError) + 9) * 20, 0), 100);
}

function showVerdict(verdict: 'pending' | 'agrees' | 'differs' | 'none', words: string): void {
  const shown = element('verdict', HTMLElement);
  shown.textContent = words;
  shown.dataset['verdict'] = verdict;
}

const activationText = (activation: NonNullable<FilterWeights['activation']>): string =>
  typeof activation === 'string' ? activation : `leakyRelu ${activation.leakyRelu}`;
