import type { Resources } from '../resources.js';

/** The parts of a frame's work, in their order, each a pass of its own. */
export const stages = ['frame', 'network', 'mask', 'blur', 'compose'] as const;
export type Stage = (typeof stages)[number];

export interface StageTimes {
  /** Milliseconds of each stage, as far as they are known; empty with the clock `wall`. */
  readonly stages: Readonly<Partial<Record<Stage, number>>>;
  /** Milliseconds of a whole frame. */
  readonly total: number;
  /** `gpu`: the GPU's own timestamps. `wall`: from the call until the queue was done. */
  readonly clock: 'gpu' | 'wall';
}

/** How many frames may wait for their times to be read; when all do, a frame is not timed. */
const READBACKS = 3;
/** How much a new time moves the one that is shown. */
const SHARE = 0.2;

/** A moving average; `count`: of how many times. */
interface Average { readonly value: number; readonly count: number }

/** Times stages without making a frame wait: timestamps are read when they are there, some frames later. */
export class StageClock {
  readonly #timing: { set: GPUQuerySet; resolved: GPUBuffer; free: GPUBuffer[] } | undefined;
  #stages: Partial<Record<Stage, Average>> = {};
  #wall: Average | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(resources: Resources) {
    const { device } = resources;
    if (!device.features.has('timestamp-query')) return;
    const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    const count = 2 * stages.length;
    this.#timing = {
      set: resources.keep(device.createQuerySet({ label: 'blur times', type: 'timestamp', count })),
      resolved: resources.buffer('times', 8 * count, QUERY_RESOLVE | COPY_SRC),
      free: Array.from({ length: READBACKS }, () => resources.buffer('times readback', 8 * count, COPY_DST | MAP_READ)),
    };
  }

  /** What a stage's pass needs in its descriptor. */
  writes(stage: Stage): { readonly timestampWrites?: GPURenderPassTimestampWrites } {
    if (this.#timing === undefined) return {};
    const first = 2 * stages.indexOf(stage);
    return {
      timestampWrites: {
        querySet: this.#timing.set, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1,
      },
    };
  }

  /** Records the way of the times of the stages that ran out of the GPU. What it gives is to be called after submit. */
  record(encoder: GPUCommandEncoder, ran: readonly Stage[]): () => void {
    const { set, resolved, free } = this.#timing ?? {};
    const readback = free?.pop();
    if (readback === undefined) return () => {};
    encoder.resolveQuerySet(set!, 0, set!.count, resolved!, 0);
    encoder.copyBufferToBuffer(resolved!, 0, readback, 0, readback.size);
    return () => {
      this.#reading = readback.mapAsync(GPUMapMode.READ).then(() => {
        const ticks = new BigUint64Array(readback.getMappedRange());
        for (const stage of ran) {
          const first = 2 * stages.indexOf(stage);
          this.#stages[stage] = moved(this.#stages[stage], Number(ticks[first + 1]! - ticks[first]!) / 1e6);
        }
        readback.unmap();
        free!.push(readback);
      }).catch(() => undefined); // The device was lost, or the effect destroyed.
    };
  }

  addWall(milliseconds: number): void {
    this.#wall = moved(this.#wall, milliseconds);
  }

  /** Resolves when all times that were recorded are known. */
  read(): Promise<void> {
    return this.#reading;
  }

  times(): StageTimes {
    const known = Object.entries(this.#stages).map(([stage, { value }]) => [stage, value] as const);
    if (known.length === 0) return { stages: {}, total: this.#wall?.value ?? 0, clock: 'wall' };
    return { stages: Object.fromEntries(known), total: known.reduce((sum, [, value]) => sum + value, 0), clock: 'gpu' };
  }

  /** Forgets what was measured, for a picture of another size. */
  clear(): void {
    this.#stages = {};
    this.#wall = undefined;
  }
}

/** The first time, which counts what a driver does at first use, is forgotten at the second. */
const moved = (old: Average | undefined, now: number): Average => (old === undefined || old.count === 1
  ? { value: now, count: (old?.count ?? 0) + 1 }
  : { value: old.value + SHARE * (now - old.value), count: old.count + 1 });
