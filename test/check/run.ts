import type { Report } from '../compare.js';
import { type Lab, LossError, UncapturedError } from './lab.js';
import type { Failure, StageFacts } from './report.js';

/** One thing to check on a device. */
export interface Item {
  readonly title: string;
  /** Seconds that it may take, by what is known before; what counts is how it compares with others of its stage. */
  readonly weight: number;
  /** Begins what may go on while other items run. */
  readonly prepare?: (lab: Lab) => void;
  /** What was compared. */
  readonly run: (lab: Lab) => Promise<readonly Report[]>;
}

export interface Stage {
  readonly name: string;
  readonly items: readonly Item[];
  /** Of its own. After these, and what the stages before it have left over, no more of its items begin. */
  readonly seconds: number;
}

export interface Progress {
  readonly stage: string;
  readonly title: string;
  /** From 0 to 1. */
  readonly share: number;
  readonly secondsLeft: number;
}

export interface RunOptions {
  /** A new device. */
  readonly open: () => Promise<Lab>;
  /** Seconds that an item may take. */
  readonly patience: number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  readonly onFailure: (failure: Failure) => void;
}

export interface Log {
  readonly stages: readonly StageFacts[];
  readonly failures: readonly Failure[];
  readonly ended?: 'stopped' | 'no device';
}

/** The check was stopped. */
class StopError extends Error {}
/** An item takes longer than any should. */
class HangError extends Error {}

/** So often in a row a device may not be had: a browser that takes GPUs from a page gives none for long. */
const MOST_REFUSALS = 2;

/** So many items are prepared ahead: enough kernels for every core of a large machine to compile one. */
const AHEAD = 8;

/**
 * Runs all items, one after the other. What goes wrong with one of them is a line of the log, and unless it was only
 * a wrong result, the next one gets a new device.
 */
export async function runStages(stages: readonly Stage[], options: RunOptions): Promise<Log> {
  const { open, signal, patience, onProgress, onFailure } = options;
  const failures: Failure[] = [];
  const facts: StageFacts[] = [];
  const fail = (failure: Failure): void => {
    failures.push(failure);
    onFailure(failure);
  };
  const began = performance.now();
  let deadline = 0;
  let lab: Lab | undefined;
  let refusals = 0;
  let ended: Log['ended'];
  for (const stage of stages) {
    const { name, items } = stage;
    const start = secondsSince(began);
    deadline += stage.seconds;
    let [done, prepared, comparisons, worst, worstOf] = [0, 0, 0, 0, ''];
    for (const item of items) {
      const taken = secondsSince(began);
      if (ended || signal.aborted || taken > deadline) break;
      onProgress({ stage: name, title: item.title, ...estimate(stages, stage, done, start, taken) });
      try {
        if (!lab) {
          lab = await within(patience, signal, open());
          [refusals, prepared] = [0, done];
        }
        for (; prepared < Math.min(items.length, done + AHEAD); prepared++) items[prepared]!.prepare?.(lab);
        const reports = await within(patience, signal, Promise.race([item.run(lab), lab.trouble]));
        for (const { title, failure, worst: share = 0, where } of reports) {
          comparisons++;
          if (share > worst) [worst, worstOf] = [share, `${title} ${where}`];
          if (failure !== undefined) fail({ kind: 'wrong', title, message: failure });
        }
      } catch (caught) {
        const error = await causeOf(caught, lab);
        if (!(error instanceof StopError)) fail({ kind: kindOf(error), title: item.title, message: messageOf(error) });
        if (!lab && ++refusals === MOST_REFUSALS) ended = 'no device';
        lab?.destroy();
        lab = undefined;
      }
      done++;
      await new Promise((resolve) => setTimeout(resolve)); // Pages stay responsive.
    }
    if (signal.aborted) ended ??= 'stopped';
    // JSON has no Infinity.
    const most = Math.min(worst, Number.MAX_VALUE);
    facts.push({ name, done, left: items.length - done, comparisons, worst: most, ...(worstOf && { worstOf }) });
  }
  lab?.destroy();
  return { stages: facts, failures, ...(ended && { ended }) };
}

/** What some work gives, if it does so in time, and before the check is stopped. */
async function within<T>(seconds: number, signal: AbortSignal, work: Promise<T>): Promise<T> {
  const ended = new AbortController();
  const end = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(new HangError(`no answer for ${seconds} seconds`)), 1000 * seconds);
    signal.addEventListener('abort', () => reject(new StopError()), { signal: ended.signal });
    ended.signal.addEventListener('abort', () => clearTimeout(timer));
    if (signal.aborted) reject(new StopError()); // By the work itself.
  });
  work.catch(() => undefined); // It may fail when nobody waits any more.
  try {
    return await Promise.race([work, end]);
  } finally {
    ended.abort();
  }
}

/** Milliseconds that the news of a device's loss, or of an error that nobody caught, may lag behind its effects. */
const NEWS = 1000;

/** What made the work fail: WebGPU's own calls fail at a loss before its news, and do not tell of it. */
async function causeOf(error: unknown, lab: Lab | undefined): Promise<unknown> {
  if (!lab || kindOf(error) !== 'error' || error instanceof StopError) return error;
  const none = new Promise<undefined>((resolve) => setTimeout(resolve, NEWS, undefined));
  return (await Promise.race([none, lab.trouble.catch((trouble: unknown) => trouble)])) ?? error;
}

const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().slice(0, 500);

/** By the types of errors, and the words of those that the library makes of WebGPU's. */
function kindOf(error: unknown): Failure['kind'] {
  if (error instanceof LossError || hasName(error, 'DeviceLostError')) return 'lost';
  if (error instanceof HangError) return 'hang';
  const message = error instanceof UncapturedError ? error.gpuError.constructor.name : messageOf(error);
  if (/WebGPU reports out-of-memory|GPUOutOfMemoryError/.test(message)) return 'out-of-memory';
  if (/WebGPU reports validation|GPUValidationError/.test(message)) return 'validation';
  return hasName(error, 'UnsupportedError') ? 'unsupported' : 'error';
}

const hasName = (error: unknown, name: string): boolean => error instanceof Error && error.name === name;

/**
 * How long the rest takes when so many items of a stage are done: by weights, corrected by how long those of the stage
 * took that are done. In seconds since the run began: when the stage did, and now.
 */
function estimate(
  stages: readonly Stage[], stage: Stage, done: number, start: number, now: number,
): Pick<Progress, 'share' | 'secondsLeft'> {
  // As if a first second had gone as the weights say, so that a single item does not decide.
  const pace = (1 + now - start) / (1 + weightOf(stage.items.slice(0, done)));
  const at = stages.indexOf(stage);
  let [end, deadline] = [now, 0];
  for (const [index, { items, seconds }] of stages.entries()) {
    deadline += seconds;
    if (index < at) continue;
    const rest = index === at ? pace * weightOf(items.slice(done)) : weightOf(items);
    end = Math.max(end, Math.min(deadline, end + rest));
  }
  return { secondsLeft: end - now, share: now / (end || 1) };
}

const secondsSince = (start: number): number => (performance.now() - start) / 1000;
export const weightOf = (items: readonly Item[]): number => items.reduce((sum, { weight }) => sum + weight, 0);
