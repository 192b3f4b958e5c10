import type { Convolution, EncodeTargets } from './convolution.js';
import { checked } from './gpu/device.js';
import { BUFFER, MAP_READ, QUERY_RESOLVE } from './gpu/flags.js';
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
  /** Of one run: the least of the samples, for other work only ever adds to them. */
  readonly milliseconds: number;
}

/** What a contest came to: the winner, and the times of all, in the order of the plan's preference. */
export interface Outcome {
  readonly choice: Choice;
  readonly tried: readonly (Choice & TuningTrial)[];
}

interface Candidate {
  readonly choice: Choice;
  readonly convolution: Convolution;
  /** Runs of a sample. */
  runs: number;
  /** Milliseconds of a run, a sample each. */
  readonly times: number[];
}

/** Measures on a device how long runs take. */
interface Clock {
  /** A sample should take at least so many milliseconds: shorter times are not told well. */
  readonly least: number;
  /** Milliseconds of so many runs of a candidate, in one submit. Rejects where that fails. */
  readonly time: (candidate: Candidate, runs: number) => Promise<number>;
  readonly destroy: () => void;
}

const LABEL = 'sepconv-webgpu tuning';
/** Timestamps are rounded to 65 or 100 us in browsers and Dawn: that is 3 % of 3.3 ms. */
const LEAST_BY_TIMESTAMPS = 3.3;
/** On software adapters other processes take the same cores, which counts less in longer samples. */
const LEAST_ON_CORES = 10;
/** The wall clock learns late that a sample has ended. In samples of so many milliseconds that counts little. */
const LEAST_BY_WALL_CLOCK = 30;
/**
 * Firefox looks for the end of work every 100 ms, and whenever something is submitted. Where an empty submit takes
 * longer than the first of these milliseconds, an empty one is sent every so many: then 9 ms instead of 70 were
 * measured.
 */
const [LATE, HURRY] = [20, 2];
/** Samples of a candidate. One more comes first and is thrown away, because the clock of an idle GPU is low. */
const [LEAST_SAMPLES, MOST_SAMPLES] = [3, 7];
/** The most runs of a sample, and the factor by which they may grow from one sample to the next. */
const [MOST_RUNS, GROWTH] = [4096, 32];
/** Times that are closer than this are equal: the plan's preference decides, so that choices can be repeated. */
const EQUAL = 1.03;
/** Those that are farther apart than this after a few samples stay so. */
const CLEAR = 1.2;
/** Candidates that take so many times as long as the best so far, in so many samples, get no more. */
const [HOPELESS, FAIR_SAMPLES] = [1.5, 2];
/** Samples of the plan's own choice and of the one that seems faster, which must be faster in these too. */
const FINAL_SAMPLES = 4;
/** After so many milliseconds no more than the fewest samples are taken. */
const BUDGET = 1000;
/**
 * By how much the runs grow that find out whether timestamps tell anything: five times at most, and not after one that
 * took so many milliseconds by the wall clock.
 */
const [PROBE_GROWTH, LONGEST_PROBE] = [8, 200];
/** The most samples that go into finding out how many runs a sample needs. */
const MOST_CALIBRATIONS = 4;
/**
 * The most candidates that are tried: the first ones in the order of the plan's preference. A contest takes at most 161
 * submits: for each candidate 4 to calibrate, 1 that is thrown away and 7 samples, 8 for the final, and 9 to find out
 * about clocks; beside those that hurry Firefox. On a GPU with timestamps 12 candidates take 12 * 8 samples of 3.3 ms,
 * about 0.3 s.
 */
export const MOST_RIVALS = 12;

/**
 * Times candidates against each other, one sample of each in turn. Of those whose times cannot be told from the best,
 * the first in the order of preference wins; where that is not the plan's own choice, the two meet once more. Destroys
 * all convolutions.
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
      if (convolution) candidates.push({ choice, convolution, runs: 1, times: [] });
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

async function compare(clock: Clock, candidates: readonly Candidate[]): Promise<Outcome> {
  for (const candidate of candidates) await calibrate(clock, candidate);
  for (const candidate of candidates) await sampleOf(clock, candidate); // Thrown away.
  const start = performance.now();
  let left = candidates;
  for (let sample = 0; sample < MOST_SAMPLES; sample++) {
    if (sample >= LEAST_SAMPLES && (isClear(left) || performance.now() - start > BUDGET)) break;
    await sampleAll(clock, left);
    if (sample < FAIR_SAMPLES - 1) continue;
    const best = Math.min(...left.map(leastOf));
    left = left.filter((candidate) => leastOf(candidate) <= HOPELESS * best);
  }
  const [own] = candidates;
  let winner = fastest(left);
  if (winner !== own) {
    const final = [own!, winner].map((candidate): Candidate => ({ ...candidate, times: [] }));
    for (let sample = 0; sample < FINAL_SAMPLES; sample++) await sampleAll(clock, final);
    if (fastest(final) === final[0]) winner = own!;
  }
  const tried = candidates.map((candidate) => {
    const { choice, convolution: { kernels } } = candidate;
    return { ...choice, kernels, milliseconds: leastOf(candidate) };
  });
  return { choice: winner.choice, tried };
}

/** The first of those whose times are equal to the best. */
function fastest(candidates: readonly Candidate[]): Candidate {
  const best = Math.min(...candidates.map(leastOf));
  return candidates.find((candidate) => leastOf(candidate) <= EQUAL * best)!;
}

async function sampleAll(clock: Clock, candidates: readonly Candidate[]): Promise<void> {
  for (const candidate of candidates) candidate.times.push(await sampleOf(clock, candidate) / candidate.runs);
}

const sampleOf = (clock: Clock, candidate: Candidate): Promise<number> => clock.time(candidate, candidate.runs);

/** Finds how many runs make a sample that the clock can tell. */
async function calibrate(clock: Clock, candidate: Candidate): Promise<void> {
  for (let step = 0; step < MOST_CALIBRATIONS; step++) {
    const time = await sampleOf(clock, candidate);
    if (time >= clock.least || candidate.runs === MOST_RUNS) return;
    const factor = Math.min(GROWTH, Math.max(2, 1.2 * clock.least / Math.max(time, clock.least / GROWTH)));
    candidate.runs = Math.min(MOST_RUNS, Math.ceil(candidate.runs * factor));
  }
}

/** Whether all but the best are apart from it by more than samples vary. */
function isClear(candidates: readonly Candidate[]): boolean {
  const best = Math.min(...candidates.map(leastOf));
  return candidates.every((candidate) => leastOf(candidate) === best || leastOf(candidate) > CLEAR * best);
}

/** The least of the samples: other work only ever adds to them. */
const leastOf = ({ times }: Candidate): number => Math.min(...times);

/** The device's own timestamps where it has them, else the wall clock without what an empty submit takes. */
async function clockOf(device: GPUDevice, kind: AdapterKind, first: Convolution): Promise<Clock> {
  const made: (GPUBuffer | GPUQuerySet)[] = [];
  const buffer = (size: number, usage: GPUBufferUsageFlags): GPUBuffer => {
    const one = device.createBuffer({ label: LABEL, size: Math.max(16, size), usage });
    made.push(one);
    return one;
  };
  const destroy = (): void => {
    for (const one of made) one.destroy();
  };
  try {
    const targets = await checked(device, LABEL, () => Object.fromEntries(Object.entries(first.byteLengths).map(
      ([name, byteLength]) => [name, buffer(byteLength, BUFFER.STORAGE)])) as unknown as EncodeTargets);
    const encode = (encoder: GPUCommandEncoder, convolution: Convolution, runs: number, more: object = {}): void => {
      const pass = encoder.beginComputePass({ label: LABEL, ...more });
      for (let run = 0; run < runs; run++) convolution.encode(pass, targets);
      pass.end();
    };
    const empty = await timeOfNothing(device);
    const hurries = empty > LATE;
    const nothing = hurries ? await timeOfNothing(device, hurries) : empty;
    const byWall = async ({ convolution }: Pick<Candidate, 'convolution'>, runs: number): Promise<number> =>
      Math.max(0, await timedByWall(device, (encoder) => encode(encoder, convolution, runs), hurries) - nothing);
    const wall: Clock = { least: LEAST_BY_WALL_CLOCK, time: byWall, destroy };
    if (!device.features.has('timestamp-query')) return wall;

    const [querySet, resolved, readable] = await checked(device, LABEL, () => {
      const queries = device.createQuerySet({ label: LABEL, type: 'timestamp', count: 2 });
      made.push(queries);
      const onGpu = buffer(16, QUERY_RESOLVE | BUFFER.COPY_SRC);
      return [queries, onGpu, buffer(16, BUFFER.MAP_READ | BUFFER.COPY_DST)] as const;
    });
    const byTimestamps = async ({ convolution }: Pick<Candidate, 'convolution'>, runs: number): Promise<number> => {
      await timedBy(device, (encoder) => {
        const timestampWrites = { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
        encode(encoder, convolution, runs, { timestampWrites });
        encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
        encoder.copyBufferToBuffer(resolved, 0, readable, 0, 16);
      }, () => readable.mapAsync(MAP_READ), hurries);
      const [start, end] = new BigUint64Array(readable.getMappedRange()) as unknown as [bigint, bigint];
      readable.unmap();
      return Math.max(0, Number(end - start) / 1e6); // 0: less than the clock tells.
    };
    // Some drivers write none. Then more and more runs take no time at all.
    const least = kind === 'software' ? LEAST_ON_CORES : LEAST_BY_TIMESTAMPS;
    for (let runs = 1; runs <= MOST_RUNS; runs *= PROBE_GROWTH) {
      const start = performance.now();
      if (await byTimestamps({ convolution: first }, runs) > 0) return { least, time: byTimestamps, destroy };
      if (performance.now() - start > LONGEST_PROBE) break;
    }
    return wall;
  } catch (error) {
    destroy();
    throw error;
  }
}

type Recorder = (encoder: GPUCommandEncoder) => void;

/** Milliseconds from submitting work to what tells its end. Rejects where WebGPU finds something wrong with it. */
async function timedBy(
  device: GPUDevice, record: Recorder, end: () => Promise<undefined>, hurries: boolean,
): Promise<number> {
  const { ended } = await checked(device, LABEL, () => {
    const encoder = device.createCommandEncoder({ label: LABEL });
    record(encoder);
    const commands = encoder.finish();
    const start = performance.now();
    device.queue.submit([commands]);
    const done = end().then(() => performance.now() - start);
    done.catch(() => undefined); // Reported below, after the scopes, whose errors say more.
    return { ended: done };
  });
  const timer = hurries ? setInterval(() => device.queue.submit([]), HURRY) : undefined;
  try {
    return await ended;
  } finally {
    clearInterval(timer);
  }
}

/** Milliseconds until the caller knows that the work is done. */
const timedByWall = (device: GPUDevice, record: Recorder, hurries: boolean): Promise<number> =>
  timedBy(device, record, () => device.queue.onSubmittedWorkDone(), hurries);

/** The same for no work: the least of two. */
async function timeOfNothing(device: GPUDevice, hurries = false): Promise<number> {
  const time = (): Promise<number> => timedByWall(device, () => undefined, hurries);
  return Math.min(await time(), await time());
}
