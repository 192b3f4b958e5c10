import { type Clock, clockOf, MOST_RUNS, MOST_TOGETHER } from './clock.js';
import type { Convolution } from './convolution.js';
import type { AdapterKind } from './kernels/profile.js';
import type { Choice } from './plan/choice.js';

/** One choice that was tried for a geometry. */
export interface TuningTrial {
  /** `'fused'` or `'two-pass'` */
  readonly strategy: string;
  /** From which preset each pass has its kernel; names may change with the version. */
  readonly presets: readonly string[];
  /** Names of the kernel variants, in the order of their dispatches. */
  readonly kernels: readonly string[];
  /** Of one run: what the median says, in comparison with the others. */
  readonly milliseconds: number;
  /** How many samples say so; what is clearly slower gets fewer. */
  readonly samples: number;
}

/** What a contest came to: the winner, and the times of all, in the order of the plan's preference. */
export interface Outcome {
  readonly choice: Choice;
  readonly tried: readonly (Choice & TuningTrial)[];
}

/** @internal */
export interface Candidate {
  readonly choice: Choice;
  readonly convolution: Convolution;
  /** Milliseconds of its samples, one of each turn until it has dropped out. All have the same number of runs. */
  readonly times: number[];
}

/** The factor by which the runs of a sample may grow, in so many steps at most. */
const [GROWTH, MOST_STEPS] = [32, 4];
/**
 * A submit takes about so many milliseconds. Much longer ones could be taken for a GPU that hangs: samples of more
 * milliseconds than the second number are submitted one by one.
 */
const [SUBMIT, LONG] = [50, 20];
/** Times that are closer than this are equal: the plan's preference decides, so that choices can be repeated. */
const EQUAL = 1.03;
/**
 * What takes more than EQUAL + DOUBT / sqrt(samples) times as long as the best gets no more samples, but for the first
 * few: on cores the median strays by a third of DOUBT / sqrt(samples).
 */
const [DOUBT, FEW] = [0.9, 7];
/** After so many submits or milliseconds no candidate gets more than the fewest samples. */
const [LEAST_SAMPLES, MOST_SUBMITS, BUDGET] = [3, 92, 1500];
/**
 * The most candidates that are tried: the first ones in the order of the plan's preference. A contest takes at most 161
 * submits: for each candidate 1 that is thrown away and 4 to find the runs, 92 for the samples, and 9 to find out about
 * clocks; beside those that hurry Firefox. On a GPU with timestamps 92 samples of 3.3 ms take about 0.3 s.
 */
export const MOST_RIVALS = 12;

/**
 * Times candidates against each other in turn, and compares samples of one turn only: what else the machine does
 * changes from turn to turn, for all alike. All have the same number of runs in a sample, because the first run takes
 * longer. Of those whose times cannot be told from the best, the first in the order of preference wins. Destroys all
 * convolutions.
 *
 * The outcome is undefined where there are no candidates, where tensors need portions, and where work fails: its time
 * says nothing then, and whoever runs it later gets the error.
 */
export async function hold(
  device: GPUDevice, kind: AdapterKind, choices: readonly Choice[], prepare: (choice: Choice) => Promise<Convolution>,
): Promise<Outcome | undefined> {
  const candidates: Candidate[] = [];
  let clock: Clock | undefined;
  let lost = false;
  void device.lost.then(() => (lost = true));
  try {
    for (const choice of choices) {
      const convolution = await prepare(choice).catch(() => undefined); // A candidate that cannot be had is none.
      if (convolution) candidates.push({ choice, convolution, times: [] });
    }
    const bytes = candidates.map(({ convolution: { inputByteLength, outputByteLength } }) =>
      Math.max(inputByteLength, outputByteLength));
    const nothing = candidates.every(({ convolution: { kernels } }) => kernels.length === 0);
    if (nothing || Math.max(...bytes) > device.limits.maxBufferSize) return undefined;
    clock = await clockOf(device, kind, candidates[0]!.convolution);
    const outcome = await compare(clock, candidates);
    return lost ? undefined : outcome;
  } catch {
    return undefined;
  } finally {
    clock?.destroy();
    for (const { convolution } of candidates) convolution.destroy();
  }
}

/** The contest itself, by a clock. @internal */
export async function compare(clock: Clock, candidates: readonly Candidate[]): Promise<Outcome> {
  const time = (those: readonly Candidate[], ...how: readonly [runs: number, apart: boolean]) =>
    clock.time(those.map(({ convolution }) => convolution), ...how);
  await time(candidates, 1, true); // Thrown away: drivers compile, and the clock of an idle GPU is low.
  let [runs, least, most] = [1, 0, 0];
  for (let step = 0; step < MOST_STEPS && least < clock.least && most < SUBMIT && runs < MOST_RUNS; step++) {
    const factor = step === 0 ? 1 : Math.min(GROWTH, 1.2 * clock.least / least, Math.max(1, SUBMIT / most));
    runs = Math.min(MOST_RUNS, Math.ceil(runs * factor));
    const times = await time(candidates, runs, runs === 1);
    [least, most] = [Math.min(...times), Math.max(...times)];
  }
  const start = performance.now();
  const apart = least > LONG;
  let [left, samples, submits] = [candidates, 0, 0];
  do {
    const each = left[0]!.times.length;
    const together = Math.min(MOST_TOGETHER, SUBMIT / least, MOST_RUNS / runs);
    const turns = Math.max(1, Math.floor(together / left.length));
    // Every other turn backwards, so that what becomes faster or slower on the way cancels out.
    const order = Array.from({ length: turns }, (_, turn) => (each + turn) % 2 ? left.toReversed() : left).flat();
    samples += order.length;
    submits += apart ? order.length : 1;
    const enough = samples > clock.most || submits > MOST_SUBMITS || performance.now() - start > BUDGET;
    if (enough && each >= LEAST_SAMPLES) break;
    const times = await time(order, runs, apart);
    for (const [index, candidate] of order.entries()) candidate.times.push(times[index]!);
    const taken = each + turns;
    left = taken < FEW ? left : within(EQUAL + DOUBT / Math.sqrt(taken), left);
  } while (left.length > 1);
  const [winner] = within(EQUAL, left);
  const [reference] = left;
  const unit = median(reference!.times) / runs;
  const tried = candidates.map((candidate) => {
    const { choice, convolution: { kernels }, times } = candidate;
    const milliseconds = unit * ratio(candidate, reference!);
    return { ...choice, presets: [...choice.presets], kernels, milliseconds, samples: times.length };
  });
  return { choice: winner!.choice, tried };
}

/** Those that take at most so many times as long as the best, in comparison with the first. */
function within(factor: number, candidates: readonly Candidate[]): readonly Candidate[] {
  const ratios = candidates.map((candidate) => ratio(candidate, candidates[0]!));
  const best = Math.min(...ratios);
  return candidates.filter((_, index) => ratios[index]! <= factor * best);
}

/** How many times as long one takes as another: the median over the turns that both were in. */
const ratio = (one: Candidate, other: Candidate): number =>
  median(one.times.slice(0, other.times.length).map((time, turn) => time / other.times[turn]!));

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
