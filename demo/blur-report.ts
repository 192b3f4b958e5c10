import type { EffectOptions } from './blur/background-blur.js';
import { type Stage, stages, type StageTimes } from './blur/clock.js';
import type { PictureSize } from './networks/faces.js';
import { duration, element, make, setText } from './page.js';

/** What the tab is doing; scripts that drive it wait for anything but `working`. */
export type State = 'working' | 'live' | 'done' | 'failed';

const panel = element('background', HTMLElement);
// Numbers for scripts: data-width, data-milliseconds … filled as they become known.
const { dataset } = element('blur-report', HTMLElement);

const names = {
  frame: 'Frame to 256×256', network: 'Network', mask: 'Mask to hair', blur: 'Blur', compose: 'Compose',
} as const;

export function showState(state: State): void {
  panel.dataset['state'] = state;
  if (state === 'working') for (const key of Object.keys(dataset)) delete dataset[key];
  for (const id of ['blur-save', 'blur-verify']) {
    element(id, HTMLButtonElement).disabled = state === 'working' || state === 'failed';
  }
  if (state === 'working') return;
  setText('blur-status', '');
  element('blur-before', HTMLElement).classList.add('past'); // What was drawn stays, while something else loads.
  if (state !== 'failed') setText('blur-error', '');
}

/** Where the picture comes from: a camera's is shown as in a mirror. */
export function showSource(source: 'photo' | 'video' | 'camera'): void {
  panel.dataset['source'] = source;
}

export function showProgress(what: string, share: number): void {
  setText('blur-status', share < 1 ? `${what}… ${Math.round(share * 100)} %` : `${what}…`);
  element('blur-progress', HTMLProgressElement).value = share;
}

export function showFailure(message: string): void {
  setText('blur-error', message);
  for (const id of ['blur-size', 'blur-rate']) setText(id, '');
  showState('failed');
}

/** `layers`: how many of the network's layers there are. */
export function showNetwork(layers: readonly { readonly strategy: unknown }[]): void {
  const ours = layers.filter(({ strategy }) => strategy !== undefined).length;
  setText('blur-network', `${ours} of ${layers.length} layers by the library`);
}

export function showTimes({ stages: known, total, clock }: StageTimes, { width, height }: PictureSize): void {
  setText('blur-size', `${width}×${height}`);
  setText('blur-clock', clock === 'gpu' ? 'A frame on the GPU' : 'A frame, wall time');
  setText('blur-total', total > 0 ? duration(total) : '');
  showStages(known);
  Object.assign(dataset, { width, height, milliseconds: total, clock, stages: JSON.stringify(known) });
}

/** A row for each stage, whether its time is known or not, so that nothing moves when it is. */
export function showStages(known: Readonly<Partial<Record<Stage, number>>>): void {
  const most = Math.max(...Object.values(known));
  element('blur-stages', HTMLElement).replaceChildren(...stages.map((stage) => {
    const time = known[stage];
    const bar = make('span', { class: 'share-bar' });
    bar.style.setProperty('--share', String(time === undefined ? 0 : time / most));
    return make('div', {},
      make('dt', {}, names[stage]), make('dd', {}, time === undefined ? '' : duration(time)),
      make('dd', { class: 'share' }, bar));
  }));
}

/** With what the last frame was drawn, for scripts: `blur 0.6`, `colour 255,128,0`, `picture`, `mask`. */
export function showDrawn({ background, strength, colour }: EffectOptions): void {
  const how = { blur: ` ${strength}`, colour: ` ${colour.map((value) => Math.round(255 * value)).join()}` };
  dataset['drawn'] = background + (background in how ? how[background as keyof typeof how] : '');
  dataset['frames'] = String(Number(dataset['frames'] ?? 0) + 1);
}

/** `undefined`: nothing moves; 0: it is not known yet. */
export function showRate(framesPerSecond: number | undefined): void {
  const text = framesPerSecond ? `${framesPerSecond.toFixed(framesPerSecond < 10 ? 1 : 0)} frames/s` : '';
  setText('blur-rate', text);
  setText('blur-shown', text || (framesPerSecond === undefined ? 'A still picture' : 'A video'));
  if (framesPerSecond) dataset['framesPerSecond'] = String(framesPerSecond);
}
