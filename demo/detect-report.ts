import type { Difference } from './compare.js';
import type { Detector, Picture } from './networks/detector.js';
import { sizeOf } from './networks/detector.js';
import type { Face } from './networks/faces.js';
import { detectors, type DetectorId } from './networks/load.js';
import type { LayerTimes } from './networks/timing.js';
import { LAYER_TOLERANCE } from './networks/verify.js';
import { duration, element, make, setText, shapeText } from './page.js';

/** What the tab is doing; scripts that drive it wait for anything but `working`. */
export type State = 'working' | 'live' | 'done' | 'failed';
export type Totals = { [strategy in 'auto' | 'fused' | 'two-pass' | 'naive']?: number };

const panel = element('detect', HTMLElement);
// Numbers for scripts: data-faces, data-milliseconds … filled as they become known.
const { dataset } = element('detect-report', HTMLElement);
const rows = element('layer-rows', HTMLTableSectionElement);
let errors: Difference[] = [];

export function showState(state: State): void {
  panel.dataset['state'] = state;
  if (state === 'working') for (const key of Object.keys(dataset)) delete dataset[key];
  const nothingShown = state === 'working' || state === 'failed';
  for (const id of ['save-faces', 'verify']) element(id, HTMLButtonElement).disabled = nothingShown;
  element('compare', HTMLButtonElement).disabled = state !== 'done'; // takes longer than a live picture lasts
  if (state !== 'working') setText('detect-status', '');
}

export function showProgress(what: string, share: number): void {
  setText('detect-status', share < 1 ? `${what}… ${Math.round(share * 100)} %` : `${what}…`);
  element('detect-progress', HTMLProgressElement).value = share;
}

export function showFailure(message: string): void {
  setText('detect-error', message);
  for (const id of ['face-count', 'picture-size', 'frame-rate']) setText(id, '');
  showState('failed');
}

export function showLive(framesPerSecond: number | undefined): void {
  if (framesPerSecond === undefined) {
    setText('frame-rate', '');
    return;
  }
  setText('frame-rate', `${framesPerSecond.toFixed(framesPerSecond < 10 ? 1 : 0)} frames/s`);
  dataset['framesPerSecond'] = String(framesPerSecond);
}

/** Draws the picture with a box and a score for each face. `undefined`: not known yet. */
export function showFaces(
  canvas: HTMLCanvasElement, picture: Picture, faces: readonly Face[] | undefined, detector: string,
): void {
  const { width, height } = sizeOf(picture);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d')!;
  context.drawImage(picture, 0, 0);
  setText('picture-size', `${width}×${height}`);
  if (faces === undefined) {
    setText('face-count', 'Looking…');
    return;
  }
  for (const face of faces) drawFace(context, face, Math.max(width, height) / 240);
  setText('face-count', faces.length === 1 ? '1 face' : `${faces.length || 'No'} faces`);
  Object.assign(dataset, { detector, width, height, faces: JSON.stringify(faces) });
}

function drawFace(context: CanvasRenderingContext2D, { score, box: [x, y, width, height] }: Face, line: number): void {
  const outline = (colour: string, thickness: number): void => {
    context.strokeStyle = colour;
    context.lineWidth = thickness;
    context.beginPath();
    context.roundRect(x, y, width, height, line * 2);
    context.stroke();
  };
  outline('rgb(0 0 0 / 0.55)', line * 1.8); // so that the box shows on any picture
  outline('#3fe0cf', line);
  const label = (Math.floor(score * 100) / 100).toFixed(2); // no detector is certain
  context.font = `600 ${line * 7}px system-ui, sans-serif`;
  const labelWidth = context.measureText(label).width + line * 5;
  const labelHeight = line * 9.5;
  const left = Math.min(Math.max(x - line / 2, 0), context.canvas.width - labelWidth);
  const top = y - labelHeight - line * 0.8 < 0 ? Math.max(y, 0) + line : y - labelHeight - line * 0.8;
  context.fillStyle = '#3fe0cf';
  context.beginPath();
  context.roundRect(left, top, labelWidth, labelHeight, line * 1.6);
  context.fill();
  context.fillStyle = '#06231f';
  context.textBaseline = 'middle';
  context.fillText(label, left + line * 2.5, top + labelHeight * 0.54);
}

/** One row per layer, without times yet. */
export function showLayers({ layers, network }: Detector): void {
  setText('detect-error', '');
  setText('layers-title', detectors[network.id as DetectorId].label);
  setText('layers-input', `input ${network.inputSize}×${network.inputSize}`);
  rows.replaceChildren(...layers.map(({ name, label, inputShape, outputShape, strategy, kernels }) => make('tr', {},
    make('th', { scope: 'row' }, name, make('small', {}, label)),
    make('td', { class: 'shape' }, `${shapeText(inputShape.slice(1))} → ${shapeText(outputShape.slice(1))}`),
    make('td', { class: 'kernels' },
      make('b', {}, strategy ?? 'own shader'), ...kernels.map((kernel) => make('code', {}, kernel))),
    make('td', { class: 'time' }),
    make('td', { class: 'share' }, make('span', { class: 'share-bar' })),
    make('td', { class: 'layer-error' }),
  )));
}

/** `wall`: from the picture to the faces, in milliseconds. */
export function showTimes({ milliseconds, clock }: LayerTimes, wall: number): void {
  const total = milliseconds.reduce((a, b) => a + b);
  const most = Math.max(...milliseconds);
  for (const [i, time] of milliseconds.entries()) {
    const row = rows.rows[i]!;
    row.querySelector('.time')!.textContent = duration(time);
    const bar = row.querySelector<HTMLElement>('.share-bar')!;
    bar.style.setProperty('--share', String(time / most));
    bar.textContent = `${((100 * time) / total).toFixed(1)} %`;
  }
  setText('network-time', duration(total));
  setText('network-clock', clock === 'gpu'
    ? 'GPU timestamps, one pass per layer' : 'wall time, one submit per layer: no timestamps here');
  setText('picture-time', duration(wall));
  Object.assign(dataset, { milliseconds: total, clock, wall });
}

/** The totals of the strategies that are known, and which one is being measured; `share`: how much of it is done. */
export function showStrategies(totals: Totals, measuring?: keyof Totals, share = 0): void {
  const names = { 'auto': 'Chosen', 'fused': 'All fused', 'two-pass': 'All in two passes', 'naive': 'Naive' } as const;
  const most = Math.max(0, ...Object.values(totals)) || 1;
  const pending = share > 0 ? `${Math.round(share * 100)} %` : '…';
  element('strategies', HTMLElement).replaceChildren(...Object.entries(names).map(([strategy, name]) => {
    const total = totals[strategy as keyof Totals];
    const bar = make('span', { class: 'share-bar' });
    bar.style.setProperty('--share', String((total ?? 0) / most));
    return make('div', {},
      make('dt', {}, name),
      make('dd', {}, total === undefined ? (measuring === strategy ? pending : '') : duration(total)),
      make('dd', { class: 'share' }, bar));
  }));
  if (measuring === undefined && totals.auto !== undefined) dataset['strategies'] = JSON.stringify(totals);
}

export function clearErrors(): void {
  errors = [];
  for (const cell of rows.querySelectorAll('.layer-error')) cell.textContent = '';
  showVerdict('none', 'Not verified yet');
  showStrategies({});
}

/** The difference of a layer; the first row is the picture, which both sides share. */
export function showError(difference: Difference, layer: number): void {
  errors.push(difference);
  const cell = rows.rows[layer + 1]!.querySelector<HTMLElement>('.layer-error')!;
  cell.textContent = difference.maxError.toExponential(1);
  cell.classList.toggle('bad', !(difference.maxError <= LAYER_TOLERANCE));
  setText('verify-note', `${errors.length} of ${rows.rows.length - 1} layers computed in float64`);
}

export function showVerdict(state: 'none' | 'running' | 'done' | 'failed', words?: string): void {
  const maxError = Math.max(0, ...errors.map((difference) => difference.maxError));
  const agrees = state === 'done' && maxError <= LAYER_TOLERANCE;
  const shown = element('layers-verdict', HTMLElement);
  shown.textContent = words ?? (agrees ? 'Every layer agrees with the CPU' : 'Differs from the CPU');
  shown.dataset['verdict'] =
    state === 'done' ? (agrees ? 'agrees' : 'differs') : state === 'failed' ? 'none' : 'pending';
  if (state === 'none') setText('verify-note', 'Press Verify to compute the same picture on the CPU, layer by layer.');
  if (state !== 'done') return;
  setText('verify-note', `Largest error ${maxError.toExponential(1)} of a layer’s largest value, `
    + `allowed ${LAYER_TOLERANCE.toExponential(0)}`);
  Object.assign(dataset, { maxError, agrees });
}
