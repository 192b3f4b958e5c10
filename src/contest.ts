import type { Convolution } from './convolution.js';
import { checked } from './gpu/device.js';
import { BUFFER, MAP_READ, QUERY_RESOLVE } from './gpu/flags.js';
import type { AdapterKind } from './kernels/profile.js';
import type { Choice } from './plan/forward.js';

/** The result of a contest: the winner, and the times of all candidates, in the order of the plan's preference. */
export interface Outcome {
  readonly choice: Choice;
  readonly tried: readonly (Choice & { readonly kernels: readonly string[]; readonly milliseconds: number })[];
}

interface Candidate {
  readonly choice: Choice;
  readonly convolution: Convolution;
  /** How many runs make one sample. */
  runs: number;
  /** Milliseconds of one run, as each sample measured it. */
  readonly times: number[];
}

/** A clock on a device. It measures how long runs take; times below `least` it measures badly. */
interface Clock {
  /** Milliseconds that a sample should take at least. */
  readonly least: number;
  /** Milliseconds of `runs` runs of a candidate in one submit. Rejects where they fail. */
  readonly time: (candidate: Candidate, runs: number) => Promise<number>;
  readonly destroy: () => void;
}

const LABEL = 'sepconv-webgpu tuning';
/** Milliseconds. Browsers and Dawn round timestamps to 65 or 100 us, which is at most 3 % of 3.3 ms. */
const LEAST_BY_TIMESTAMPS = 3.3;
/** Milliseconds. The news that work has ended comes late: a sample this long makes that delay count little. */
const LEAST_BY_WALL_CLOCK = 30;
/** Samples of a candidate. One more goes first and is thrown away, because an idle GPU runs at a low clock. */
const [LEAST_SAMPLES, MOST_SAMPLES] = [3, 7];
/** The most runs of a sample, and the largest factor from the runs of one calibration to those of the next. */
const [MOST_RUNS, GROWTH] = [4096, 32];
/** Medians within this factor count as equal. The plan's preference then decides, so that choices are repeatable. */
const EQUAL = 1.05;
/** A candidate whose median is more than this factor above the best one gets no more samples. */
const HOPELESS = 1.5;
/** The most samples that are spent on finding how many runs a sample needs. */
const MOST_CALIBRATIONS = 4;
/** The most candidates that are tried: the first ones in the order of the plan's preference. */
const MOST_CANDIDATES = 8;
/** Submits that a contest takes at most: calibration, one sample thrown away, the samples, and two empty ones. */
export const MOST_SUBMITS = MOST_CANDIDATES * (MOST_CALIBRATIONS + 1 + MOST_SAMPLES) + 2;

/**
 * Times candidates against each other: each gives one sample in turn, then the next round begins. The winner is the
 * first one, in the order of the plan's preference, whose time cannot be told apart from the best time. Destroys all
 * convolutions. Undefined where there are no candidates, where the tensors need portions, or where work failed: the
 * time of failed work says nothing, and the caller gets the error when the convolution is run.
 */
export async function hold(
  device: GPUDevice, kind: AdapterKind, choices: readonly Choice[], prepare: (choice: Choice) => Promise<Convolution>,
): Promise<Outcome | undefined> {
  const candidates: Candidate[] = [];
  let clock: Clock | undefined;
  try {
    for (const choice of choices.slice(0, MOST_CANDIDATES)) {
      const convolution = await prepare(choice).catch(() => undefined); // One that cannot be prepared is left out.
      if (convolution) candidates.push({ choice, convolution, runs: 1, times: [] });
    }
    const bytes = candidates.map(({ convolution: { inputByteLength, outputByteLength } }) =>
      Math.max(inputByteLength, outputByteLength));
    if (candidates.length === 0 || Math.max(...bytes) > device.limits.maxBufferSize) return undefined;
    clock = await clockOf(device, kind, candidates[0]!.convolution);
    return await compare(clock, candidates);
  } catch {
    return undefined;
  } finally {
    clock?.destroy();
    for (const { convolution } of candidates) convolution.destroy();
  }
}

async function compare(clock: Clock, candidates: readonly Candidate[]): Promise<Outcome> {
  for (const candidate of candidates) await calibrate(clock, candidate);
  for (const candidate of candidates) await clock.time(candidate, candidate.runs); // Thrown away.
  let left = candidates;
  for (let sample = 0; sample < MOST_SAMPLES && (sample < LEAST_SAMPLES || !isClear(left)); sample++) {
    for (const candidate of left) candidate.times.push(await clock.time(candidate, candidate.runs) / candidate.runs);
    const best = Math.min(...left.map(({ times }) => median(times)));
    left = left.filter(({ times }) => median(times) <= HOPELESS * best);
  }
  const best = Math.min(...left.map(({ times }) => median(times)));
  const winner = left.find(({ times }) => median(times) <= EQUAL * best)!;
  const tried = candidates.map(({ choice, convolution: { kernels }, times }) =>
    ({ ...choice, kernels, milliseconds: median(times) }));
  return { choice: winner.choice, tried };
}

/** Finds how many runs make a sample long enough for the clock. */
async function calibrate(clock: Clock, candidate: Candidate): Promise<void> {
  for (let step = 0; step < MOST_CALIBRATIONS; step++) {
    const time = await clock.time(candidate, candidate.runs);
    if (time >= clock.least || candidate.runs === MOST_RUNS) return;
    const factor = Math.min(GROWTH, Math.max(2, 1.2 * clock.least / Math.max(time, clock.least / GROWTH)));
    candidate.runs = Math.min(MOST_RUNS, Math.ceil(candidate.runs * factor));
  }
}

/** Whether the winner is clear: no candidate's median lies so near the limit `EQUAL` that its spread could cross it. */
function isClear(candidates: readonly Candidate[]): boolean {
  const best = Math.min(...candidates.map(({ times }) => median(times)));
  return candidates.every(({ times }) => {
    const ratio = median(times) / best;
    return ratio <= 1 || ratio > EQUAL + spread(times) || ratio < EQUAL - spread(times);
  });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The median distance of the samples from their median, as a share of that median. */
const spread = (times: readonly number[]): number => median(times.map((time) => Math.abs(time / median(times) - 1)));

/** The GPU's timestamps where it has them; else the wall clock, less the time of an empty submit. */
async function clockOf(
  device: GPUDevice, kind: AdapterKind, { inputByteLength, outputByteLength }: Convolution,
): Promise<Clock> {
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
    const targets = await checked(device, LABEL, () => ({
      input: buffer(inputByteLength, BUFFER.STORAGE), output: buffer(outputByteLength, BUFFER.STORAGE),
    }));
    const encode = (encoder: GPUCommandEncoder, { convolution }: Candidate, runs: number, more: object = {}): void => {
      const pass = encoder.beginComputePass({ label: LABEL, ...more });
      for (let run = 0; run < runs; run++) convolution.encode(pass, targets);
      pass.end();
    };
    const byWall = (record: (encoder: GPUCommandEncoder) => void): Promise<number> => timedByWall(device, record);
    if (kind === 'software' || !device.features.has('timestamp-query')) {
      const empty = Math.min(await byWall(() => undefined), await byWall(() => undefined));
      const time = async (candidate: Candidate, runs: number): Promise<number> =>
        Math.max(0, await byWall((encoder) => encode(encoder, candidate, runs)) - empty);
      return { least: LEAST_BY_WALL_CLOCK, time, destroy };
    }
    const [querySet, resolved, readable] = await checked(device, LABEL, () => {
      const queries = device.createQuerySet({ label: LABEL, type: 'timestamp', count: 2 });
      made.push(queries);
      return [
        queries, buffer(16, QUERY_RESOLVE | BUFFER.COPY_SRC), buffer(16, BUFFER.MAP_READ | BUFFER.COPY_DST),
      ] as const;
    });
    const time = async (candidate: Candidate, runs: number): Promise<number> => {
      const wall = await byWall((encoder) => {
        const timestampWrites = { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
        encode(encoder, candidate, runs, { timestampWrites });
        encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
        encoder.copyBufferToBuffer(resolved, 0, readable, 0, 16);
      });
      await readable.mapAsync(MAP_READ);
      const [start, end] = new BigUint64Array(readable.getMappedRange()) as unknown as [bigint, bigint];
      const milliseconds = Number(end - start) / 1e6;
      readable.unmap();
      return milliseconds > 0 ? milliseconds : wall; // Some drivers write no timestamps.
    };
    return { least: LEAST_BY_TIMESTAMPS, time, destroy };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Milliseconds from submitting to the end of the work. Rejects where WebGPU finds something wrong with it. */
async function timedByWall(device: GPUDevice, record: (encoder: GPUCommandEncoder) => void): Promise<number> {
  const { ended } = await checked(device, LABEL, () => {
    const encoder = device.createCommandEncoder({ label: LABEL });
    record(encoder);
    const commands = encoder.finish();
    const start = performance.now();
    device.queue.submit([commands]);
    const done = device.queue.onSubmittedWorkDone().then(() => performance.now() - start);
    done.catch(() => undefined); // Reported below, after the scopes, whose errors say more.
    return { ended: done };
  });
  return ended;
}
