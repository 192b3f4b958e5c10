import type { PipelineManager } from 'sepconv-webgpu';
import type { CheckExtent, CheckReport, Failure } from '../test/check/report.js';
import type { Progress } from '../test/check/run.js';
import { showReport } from './check-report.js';
import { element, make, messageOf, saveAs, setText } from './page.js';
import { keepScreenOn } from './wake.js';

/** Checks the visitor's device when asked to. What checks is the tests' own: it is loaded then. */

const panel = element('gpu-check', HTMLElement);
const startButton = element('check-run', HTMLButtonElement);
const stopButton = element('check-stop', HTMLButtonElement);
const allBox = element('check-all', HTMLInputElement);
const progress = element('check-progress', HTMLProgressElement);
const { dataset } = element('check-report', HTMLElement);
const STAGES: Readonly<Record<string, string>> = {
  kernels: 'Kernels against the CPU:', gradients: 'Gradients against the CPU:', times: 'Times:',
};

let running: AbortController | undefined;
let last: CheckReport | undefined;

async function check(): Promise<void> {
  running = new AbortController();
  const { signal } = running;
  const ended = new AbortController();
  keepScreenOn(ended.signal);
  show('working');
  setText('check-status', 'Asking for a device…');
  setText('check-copied', '');
  element('check-failures', HTMLUListElement).replaceChildren();
  try {
    const { checkDevice } = await import('../test/check/check.js');
    last = await checkDevice({ ...asked(), signal, onProgress, onFailure });
    dataset['report'] = JSON.stringify(last); // For scripts.
    await showReport(last);
    setText('check-status', 'Done: the report is below.');
    show('done');
  } catch (error) {
    setText('check-status', `The check could not be done: ${messageOf(error)}`);
    show('failed');
  } finally {
    for (const id of ['check-left', 'check-now']) setText(id, '');
    running = undefined;
    ended.abort();
  }
}

/** `?seed=7` repeats what a report tells of, `?short` is for tests. */
function asked(): { readonly seed: number; readonly extent: CheckExtent } {
  const words = new URLSearchParams(location.search);
  const seed = Number(words.get('seed') ?? NaN);
  return {
    seed: Number.isInteger(seed) && seed > 0 ? seed : Date.now() % 1e9,
    extent: words.has('short') ? 'short' : allBox.checked ? 'all' : 'drawn',
  };
}

function show(state: 'idle' | 'working' | 'done' | 'failed'): void {
  const working = state === 'working';
  if (working) delete dataset['report'];
  panel.dataset['state'] = state;
  const focused = document.activeElement;
  startButton.hidden = working;
  stopButton.hidden = progress.hidden = !working;
  allBox.disabled = working;
  element('check-report', HTMLElement).hidden = state !== 'done';
  element('check-failures', HTMLElement).hidden = state === 'idle';
  if (state === 'done') startButton.textContent = 'Check again';
  // The button with the focus has gone, and the other one is in its place.
  if (focused === startButton || focused === stopButton) (working ? stopButton : startButton).focus();
}

function onProgress({ stage, title, share, secondsLeft }: Progress): void {
  progress.value = share;
  // A screen reader tells of each part, but not of every second.
  if (element('check-status', HTMLElement).textContent !== STAGES[stage]) setText('check-status', STAGES[stage]!);
  setText('check-left', `about ${secondsLeft < 1.5 ? 'a second' : `${Math.ceil(secondsLeft)} seconds`} left`);
  setText('check-now', title);
}

/** Told at once. */
function onFailure({ kind, title, message }: Failure): void {
  element('check-failures', HTMLUListElement).append(make('li', {}, make('b', {}, kind), ` ${title}: ${message}`));
}

/** Other tabs would take the device while it is timed. */
export const stopCheck = (): void => running?.abort();

async function copy(): Promise<void> {
  const { markdownOf } = await import('../test/check/markdown.js');
  const done = await navigator.clipboard.writeText(markdownOf(last!)).then(() => 'Copied.', (error: unknown) =>
    `The browser does not let this page copy: ${messageOf(error)}`);
  setText('check-copied', done);
}

function download(): void {
  const json = new Blob([`${JSON.stringify(last, undefined, 1)}\n`], { type: 'application/json' });
  const name = last!.device.name.toLowerCase().replaceAll(/\W+/g, '-') || last!.device.kind;
  saveAs(json, `sepconv-webgpu-${name}.json`);
}

/** Sets the tab up. Nothing begins by itself. */
export function openCheck({ adapterKind }: PipelineManager): () => void {
  element('check-smaller', HTMLElement).hidden = adapterKind === 'gpu';
  panel.dataset['adapter'] = adapterKind; // For scripts.
  startButton.disabled = false;
  startButton.addEventListener('click', () => void check());
  stopButton.addEventListener('click', stopCheck);
  element('check-copy', HTMLButtonElement).addEventListener('click', () => void copy());
  element('check-download', HTMLButtonElement).addEventListener('click', download);
  return () => undefined;
}
