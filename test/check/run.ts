import type { Report } from '../compare.js';
import { Awake } from './awake.js';
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
  /** How many there are that these were drawn from. */
  readonly all: number;
  /** Of its own. After these, and what the stages before it have left over, no more of its items begin. */
  readonly seconds: number;
  /** Seconds that one of them may take. */
  readonly patience: number;
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
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  readonly onFailure: (failure: Failure) => void;
}

export interface Log {
  readonly stages: readonly StageFacts[];
  readonly failures: readonly Failure[];
  readonly seconds: number;
  readonly ended?: 'stopped' | 'no device';
  readonly interruptions?: number;
}

/** The check was stopped. */
class StopError extends Error {}
/** An item takes longer than any should. */
class HangError extends Error {}

/** Seconds that a device may take, and those after each refusal: a driver that starts anew takes some. */
const OPENING = 20;
const PAUSES = [1, 2, 4];
/** So many items are prepared ahead: enough kernels for every core of a large machine to compile one. */
const AHEAD = 8;
/** The time of so many hangs at most is given back to the other items. */
const MOST_HANGS = 3;

/**
 * Runs all items of the stages that a device is to have, one after the other. What goes wrong with one of them is a
 * line of the log, and unless it was only a wrong result, the next one gets a new device.
 */
export async function runStages(plan: (lab: Lab) => readonly Stage[], options: RunOptions): Promise<Log> {
  const run = new Run(options);
  try {
    return await run.all(plan);
  } finally {
    run.close();
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #awake = new Awake();
  readonly #failures: Failure[] = [];
  readonly #facts: StageFacts[] = [];
  #lab: Lab | undefined;
  /** Interruptions before the device was there. */
  #interruptions = 0;
  #ended: Log['ended'];
  /** Seconds, each of a hang. */
  readonly #hangs: number[] = [];

  constructor(options: RunOptions) {
    this.#options = options;
  }

  async all(plan: (lab: Lab) => readonly Stage[]): Promise<Log> {
    const lab = await this.#device();
    const stages = lab ? plan(lab) : [];
    for (const stage of stages) await this.#stage(stage, stages);
    await this.#lastNews();
    const { interruptions } = this.#awake;
    return {
      stages: this.#facts, failures: this.#failures, seconds: Math.round(this.#awake.seconds),
      ...(this.#ended && { ended: this.#ended }), ...(interruptions > 0 && { interruptions }),
    };
  }

  close(): void {
    this.#dropDevice();
    this.#awake.close();
  }

  /** Seconds that it has been at work, without those of a few hangs: the others shall not suffer from them. */
  get #now(): number {
    return this.#hangs.slice(0, MOST_HANGS).reduce((left, seconds) => left - seconds, this.#awake.seconds);
  }

  async #stage(stage: Stage, stages: readonly Stage[]): Promise<void> {
    const { name, items, all } = stage;
    const start = this.#now;
    const deadline = stages.slice(0, stages.indexOf(stage) + 1).reduce((sum, { seconds }) => sum + seconds, 0);
    let [done, comparisons, worst, worstOf] = [0, 0, 0, ''];
    let [prepared, preparedOn] = [0, this.#lab];
    for (const item of items) {
      const now = this.#now;
      if (this.#ended || now > deadline) break;
      this.#options.onProgress({ stage: name, title: item.title, ...estimate(stages, stage, done, start, now) });
      const reports = await this.#item(item, stage.patience, (lab) => {
        if (lab !== preparedOn) [prepared, preparedOn] = [done, lab];
        for (; prepared < Math.min(items.length, done + AHEAD); prepared++) items[prepared]!.prepare?.(lab);
      });
      if (!reports) break;
      done++;
      for (const { title, worst: share = 0, where } of reports) {
        comparisons++;
        if (share > worst) [worst, worstOf] = [share, `${title} ${where}`];
      }
    }
    // JSON has no Infinity.
    const most = Math.min(worst, Number.MAX_VALUE);
    this.#facts.push(
      { name, all, done, left: items.length - done, comparisons, worst: most, ...(worstOf && { worstOf }) });
  }

  /**
   * What was compared, after all that went wrong was told; undefined where the check ends. An item in which the page
   * was hidden or the machine asleep is run again on a new device, unless it was wrong: GPUs are lost then, and times
   * are none.
   */
  async #item(
    item: Item, patience: number, prepare: (lab: Lab) => void,
  ): Promise<readonly Report[] | undefined> {
    for (;;) {
      const lab = await this.#device();
      if (!lab) return undefined;
      const { title } = item;
      let [reports, failures]: [readonly Report[], readonly Failure[]] = [[], []];
      try {
        prepare(lab);
        const work = item.run(lab).then(async (made) => {
          await lab.settled();
          return made;
        });
        reports = await this.#within(patience, Promise.race([work, lab.trouble]));
        failures = reports.flatMap(({ title: of, failure }) =>
          (failure === undefined ? [] : [{ kind: 'wrong', title: of, message: failure }]));
      } catch (caught) {
        const error = await causeOf(caught, lab);
        this.#dropDevice();
        if (error instanceof StopError) {
          this.#ended = 'stopped';
          return undefined;
        }
        failures = [{ kind: failureKind(error), title, message: wordsOf(error) }];
      }
      if (this.#isInterrupted && !failures.some(({ kind }) => kind === 'wrong')) continue;
      this.#fail(...failures);
      return reports;
    }
  }

  /**
   * The device, or a new one after trouble and after interruptions; undefined where there is none, or where the check
   * was stopped.
   */
  async #device(): Promise<Lab | undefined> {
    const { open, signal } = this.#options;
    await this.#awake.shown(signal);
    if (this.#isInterrupted) this.#dropDevice();
    for (let refusals = 0; !this.#lab && !this.#ended;) {
      this.#interruptions = this.#awake.interruptions;
      const opening = signal.aborted ? Promise.reject(new StopError()) : open();
      try {
        this.#lab = await this.#within(OPENING, opening);
      } catch (error) {
        void opening.then((late) => late.destroy(), () => undefined);
        if (error instanceof StopError) this.#ended = 'stopped';
        else if (this.#isInterrupted) await this.#awake.shown(signal); // And once more.
        else {
          const kind = failureKind(error);
          this.#fail(
            { kind: kind === 'unsupported' ? 'refused' : kind, title: 'a new device', message: wordsOf(error) });
          if (refusals === PAUSES.length) this.#ended = 'no device';
          else await this.#pause(PAUSES[refusals++]!);
        }
      }
    }
    return this.#ended ? undefined : this.#lab;
  }

  /** Whether the page was hidden or the machine asleep since the last device was asked for. */
  get #isInterrupted(): boolean {
    return this.#awake.interruptions > this.#interruptions;
  }

  /** Waits, unless the check is stopped. */
  #pause(seconds: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#awake.after(seconds, resolve);
      this.#options.signal.addEventListener('abort', () => {
        cancel();
        resolve();
      }, { once: true });
    });
  }

  /** Errors that come late, after all items. */
  async #lastNews(): Promise<void> {
    if (!this.#lab || this.#ended) return;
    try {
      await Promise.race([this.#lab.trouble, new Promise((resolve) => setTimeout(resolve, NEWS))]);
    } catch (error) {
      if (this.#isInterrupted) return;
      this.#fail({ kind: failureKind(error), title: 'after all cases', message: wordsOf(error) });
    }
  }

  #dropDevice(): void {
    this.#lab?.destroy();
    this.#lab = undefined;
  }

  #fail(...failures: readonly Failure[]): void {
    for (const failure of failures) {
      this.#failures.push(failure);
      this.#options.onFailure(failure);
    }
  }

  /** What some work gives, if it does so in time, and before the check is stopped. */
  async #within<T>(seconds: number, work: Promise<T>): Promise<T> {
    const { signal } = this.#options;
    const ended = new AbortController();
    const end = new Promise<never>((_, reject) => {
      const cancel = this.#awake.after(seconds, () => {
        this.#hangs.push(seconds);
        reject(new HangError(`no answer for ${seconds} seconds`));
      });
      signal.addEventListener('abort', () => reject(new StopError()), { signal: ended.signal });
      ended.signal.addEventListener('abort', cancel);
      if (signal.aborted) reject(new StopError()); // By the work itself.
    });
    work.catch(() => undefined); // It may fail when nobody waits any more.
    try {
      return await Promise.race([work, end]);
    } finally {
      ended.abort();
    }
  }
}

/** Milliseconds that the news of a device's loss, or of an error that nobody caught, may lag behind its effects. */
const NEWS = 1000;

/** What made the work fail: WebGPU's own calls fail at a loss before its news, and do not tell of it. */
async function causeOf(error: unknown, lab: Lab): Promise<unknown> {
  if (failureKind(error) !== 'error' || error instanceof StopError) return error;
  const none = new Promise<undefined>((resolve) => setTimeout(resolve, NEWS, undefined));
  return (await Promise.race([none, lab.trouble.catch((trouble: unknown) => trouble)])) ?? error;
}

const wordsOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().slice(0, 500);

/** By the types of errors, and the words of those that the library makes of WebGPU's. */
function failureKind(error: unknown): Failure['kind'] {
  if (error instanceof LossError || hasName(error, 'DeviceLostError')) return 'lost';
  if (error instanceof HangError) return 'hang';
  const message = error instanceof UncapturedError ? error.gpuError.constructor.name : wordsOf(error);
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

export const weightOf = (items: readonly Item[]): number => items.reduce((sum, { weight }) => sum + weight, 0);
