import type { Convolution, EncodeTargets } from './convolution.js';
import { checked } from './gpu/device.js';
import { BUFFER, MAP_READ, QUERY_RESOLVE } from './gpu/flags.js';
import type { AdapterKind } from './kernels/profile.js';

/** Measures on a device how long runs take. */
export interface Clock {
  /** A sample should take at least so many milliseconds: shorter times are not told well. */
  readonly least: number;
  /** Samples of a contest, beside those that find out about clocks and runs. */
  readonly most: number;
  /**
   * Milliseconds of so many runs of each convolution, one after the other: in one submit, or each in its own. Rejects
   * where that fails.
   */
  readonly time: (convolutions: readonly Convolution[], runs: number, apart: boolean) => Promise<readonly number[]>;
  readonly destroy: () => void;
}

/** Of a sample, in milliseconds: less than any clock tells, and no 0 to divide by. */
const LEAST_TIME = 1e-6;
const LABEL = 'sepconv-webgpu tuning';
/** The most runs of a sample, and samples of a submit. */
export const [MOST_RUNS, MOST_TOGETHER] = [4096, 96];
/** Timestamps are rounded to 65 or 100 us in browsers and Dawn: that is 3 % of 3.3 ms. */
const ON_GPU = { least: 3.3, most: 92 } as const;
/**
 * On software adapters other processes take the same cores, and samples vary by 20 %, short ones no more than long
 * ones: so they are short, and many. The median of 400 varies by 1 %.
 */
const ON_CORES = { least: 1, most: 1500 } as const;
/** The wall clock learns late that a sample has ended. In samples of so many milliseconds that counts little. */
const BY_WALL_CLOCK = { least: 30, most: 92 } as const;
/**
 * Firefox looks for the end of work every 100 ms, and whenever something is submitted. Where an empty submit takes
 * longer than the first of these milliseconds, an empty one is sent every so many: then 9 ms instead of 70 were
 * measured.
 */
const [LATE, HURRY] = [20, 2];
/**
 * By how much the runs grow that find out whether timestamps tell anything: five times at most, and not after one that
 * took so many milliseconds by the wall clock.
 */
const [PROBE_GROWTH, LONGEST_PROBE] = [8, 200];

/** The device's own timestamps where it has them, else the wall clock without what an empty submit takes. */
export async function clockOf(device: GPUDevice, kind: AdapterKind, first: Convolution): Promise<Clock> {
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
    const targets = await checked(device, LABEL, () => Object.fromEntries(
      Object.entries(first.byteLengths).map(([name, byteLength]) =>
        [name, buffer(byteLength, BUFFER.STORAGE)])) as unknown as EncodeTargets);
    const encode = (
      encoder: GPUCommandEncoder, convolution: Convolution, runs: number, more: object = {},
    ): void => {
      const pass = encoder.beginComputePass({ label: LABEL, ...more });
      for (let run = 0; run < runs; run++) convolution.encode(pass, targets);
      pass.end();
    };
    const idle = await timesOfNothing(device);
    const hurries = Math.max(...idle) > LATE; // Either may have been sent just before Firefox looks.
    const nothing = Math.min(...(hurries ? await timesOfNothing(device, hurries) : idle));
    const byWall: Clock['time'] = async (convolutions, runs) => {
      const times: number[] = [];
      for (const convolution of convolutions) {
        const time = await timedByWall(device, (encoder) => encode(encoder, convolution, runs), hurries);
        times.push(Math.max(LEAST_TIME, time - nothing));
      }
      return times;
    };
    const wall: Clock = { ...BY_WALL_CLOCK, time: byWall, destroy };
    if (!device.features.has('timestamp-query')) return wall;

    const most = 2 * MOST_TOGETHER;
    const [querySet, resolved, readable] = await checked(device, LABEL, () => {
      const queries = device.createQuerySet({ label: LABEL, type: 'timestamp', count: most });
      made.push(queries);
      const onGpu = buffer(8 * most, QUERY_RESOLVE | BUFFER.COPY_SRC);
      return [queries, onGpu, buffer(8 * most, BUFFER.MAP_READ | BUFFER.COPY_DST)] as const;
    });
    const together = async (convolutions: readonly Convolution[], runs: number): Promise<readonly number[]> => {
      const count = 2 * convolutions.length;
      await timedBy(device, (encoder) => {
        for (const [index, convolution] of convolutions.entries()) {
          const [beginningOfPassWriteIndex, endOfPassWriteIndex] = [2 * index, 2 * index + 1];
          const timestampWrites = { querySet, beginningOfPassWriteIndex, endOfPassWriteIndex };
          encode(encoder, convolution, runs, { timestampWrites });
        }
        encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
        encoder.copyBufferToBuffer(resolved, 0, readable, 0, 8 * count);
      }, () => readable.mapAsync(MAP_READ), hurries);
      const stamps = [...new BigUint64Array(readable.getMappedRange())];
      readable.unmap();
      return convolutions.map((_, index) =>
        Math.max(LEAST_TIME, Number(stamps[2 * index + 1]! - stamps[2 * index]!) / 1e6));
    };
    const byTimestamps: Clock['time'] = async (convolutions, runs, apart) => {
      if (!apart) return together(convolutions, runs);
      const times: number[] = [];
      for (const convolution of convolutions) times.push(...await together([convolution], runs));
      return times;
    };
    const settings = kind === 'software' ? ON_CORES : ON_GPU;
    // Some drivers write none. Then more and more runs take no time at all.
    for (let runs = 1; runs <= MOST_RUNS; runs *= PROBE_GROWTH) {
      const start = performance.now();
      const [time] = await together([first], runs);
      if (time! > LEAST_TIME) return { ...settings, time: byTimestamps, destroy };
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

/** The same for no work, twice. */
async function timesOfNothing(device: GPUDevice, hurries = false): Promise<readonly number[]> {
  const time = (): Promise<number> => timedByWall(device, () => undefined, hurries);
  return [await time(), await time()];
}
