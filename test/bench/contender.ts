import { resolveGeometry } from '../../src/arguments/geometry.js';
import { type Bounded, boundedAfter, boundedSeparable } from '../bounds.js';
import type { Problem } from '../cases.js';
import { compare, type Comparison } from '../compare.js';
import { random } from '../random.js';
import { type Tensors, tensors, type Workload } from './workloads.js';

/** One of those that are compared, on a device of its own. */
export interface Contender {
  /** Uploads a layer's input and weights, and compiles what it needs; a block's too, where it knows blocks. */
  prepare(problem: Tensors): Promise<Prepared>;
}

export interface Prepared {
  /** What runs, where that can be told. */
  readonly detail?: string;
  /** Runs the layer so many times; resolves when the device is done. */
  run(repetitions: number): Promise<void>;
  /** The last run's result, dense `[N, OH, OW, O]`. */
  read(): Promise<Float32Array>;
  release(): void | Promise<void>;
}

/** How a contender did before it is timed. */
export interface Check {
  readonly detail?: string;
  /** Largest error relative to the largest expected value. */
  readonly maxError: number;
  /** What is wrong with the result; it is not timed then. */
  readonly failure?: string;
}

/** With where the result is worst. */
export type Compared = Check & Pick<Comparison, 'worst' | 'where'>;

/** What a clock tells of some work, in milliseconds. */
export interface Reading {
  /** From its beginning to its end, or that the device worked on it. */
  readonly milliseconds: number;
  /** Until all was submitted. */
  readonly recording?: number;
  /** What an empty dispatch took just before: longer where the device has lowered its clock. */
  readonly canary?: number;
}
export type Stopwatch = (work: () => Promise<unknown>) => Promise<Reading>;

/** From the beginning to the end of some work. */
export const wallTime: Stopwatch = async (work) => {
  const start = performance.now();
  await work();
  return { milliseconds: performance.now() - start };
};

/** Takes a contender through the layers: in a page or in Node. */
export class Runner {
  readonly #contender: Contender;
  readonly #shape: 'output' | 'row';
  #prepared: Prepared | undefined;

  /** What is compared is the layer's output, or one row of other numbers. */
  constructor(contender: Contender, shape: 'output' | 'row' = 'output') {
    this.#contender = contender;
    this.#shape = shape;
  }

  /** Runs a layer and compares the result, or its pixels that there are, with `expected`. */
  async prepare(workload: Workload, expected: Bounded): Promise<Compared> {
    const problem = tensors(workload);
    this.#prepared = await this.#contender.prepare(problem);
    await this.#prepared.run(2); // The second run must not find what the first has left.
    const { N, OH, OW, O } = problem.geometry;
    const actual = await this.#prepared.read();
    const pixels = expected.values.length < N * OH * OW * O ? comparedPixels(problem) : undefined;
    const { maxError, worst, where, failure } = this.#shape === 'row'
      ? compare(actual, expected, [1, 1, actual.length, 1], 1)
      : pixels ? compare(at(actual, pixels, O), expected, [1, 1, pixels.length, O], O)
        : compare(actual, expected, [N, OH, OW, O], O);
    const { detail } = this.#prepared;
    return {
      maxError, worst, ...(where !== undefined && { where }), ...(detail !== undefined && { detail }),
      ...(failure !== undefined && { failure: `wrong ${failure}` }),
    };
  }

  /** What one of so many runs in a row takes. */
  async time(repetitions: number, clock = wallTime): Promise<Reading> {
    const { milliseconds, recording, ...reading } = await clock(() => this.#prepared!.run(repetitions));
    return {
      ...reading, milliseconds: milliseconds / repetitions,
      ...(recording !== undefined && { recording: recording / repetitions }),
    };
  }

  async release(): Promise<void> {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    await prepared?.release();
  }
}

/** Of layers with more multiply-adds only some pixels are compared, because the reference of all would take minutes. */
const MOST_COMPUTED = 5e8;
/** So many. */
export const COMPARED = 256;

/** A layer's output, or that of its pixels which are compared where it has more multiply-adds. */
export function expectedOf(workload: Workload, most = MOST_COMPUTED): Bounded {
  const problem = tensors(workload);
  if (problem.expand) return boundedAfter(problem.expand, problem);
  const { geometry: { N, OH, OW, K, O } } = problem;
  return boundedSeparable(N * OH * OW * K * O > most ? patches(problem, comparedPixels(problem)) : problem);
}

/** The pixels of a large layer's output that are compared, the same in a page and in Node. */
function comparedPixels({ geometry: { N, OH, OW } }: Problem): readonly number[] {
  const count = N * OH * OW;
  const next = random(count);
  return [0, count - 1, ...Array.from({ length: COMPARED - 2 }, () => Math.floor(next() * count))];
}

/** What some pixels of an output read, as images of a batch that have one output pixel each. */
function patches({ geometry, ...data }: Problem, pixels: readonly number[]): Problem {
  const { H, W, C, KH, KW, M, K, OH, OW, O, SH, SW, RH, RW, padTop, padLeft } = geometry;
  const [height, width] = [(KH - 1) * RH + 1, (KW - 1) * RW + 1];
  const input = new Float32Array(pixels.length * height * width * C);
  for (const [index, pixel] of pixels.entries()) {
    const [n, oy, ox] = [Math.floor(pixel / OW / OH), Math.floor(pixel / OW) % OH, pixel % OW];
    for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) {
      const [y, x] = [oy * SH - padTop + i, ox * SW - padLeft + j];
      if (y < 0 || y >= H || x < 0 || x >= W) continue;
      const from = ((n * H + y) * W + x) * C;
      input.set(data.input.subarray(from, from + C), ((index * height + i) * width + j) * C);
    }
  }
  const shapes = {
    input: [pixels.length, height, width, C], depthwiseFilter: [KH, KW, C, M], pointwiseFilter: [1, 1, K, O],
  };
  const options = { padding: 'VALID', rate: [RH, RW], allowOverparameterized: true } as const;
  return { ...data, input, geometry: resolveGeometry(shapes, options) };
}

/** The values of some pixels. */
function at(data: Float32Array, pixels: readonly number[], channels: number): Float32Array {
  const values = new Float32Array(pixels.length * channels);
  for (const [index, pixel] of pixels.entries()) {
    values.set(data.subarray(pixel * channels, (pixel + 1) * channels), index * channels);
  }
  return values;
}

/** Zeros around the input: `[[top, bottom], [left, right]]`. */
export function paddingOf(
  { geometry: { H, W, KH, KW, OH, OW, SH, SW, RH, RW, padTop, padLeft } }: Problem,
): [[number, number], [number, number]] {
  const end = (start: number, extent: number, kernel: number, output: number, stride: number, rate: number): number =>
    Math.max(0, (output - 1) * stride + (kernel - 1) * rate + 1 - extent - start);
  return [[padTop, end(padTop, H, KH, OH, SH, RH)], [padLeft, end(padLeft, W, KW, OW, SW, RW)]];
}

/** Swaps the inner axes of `[outer, rows, columns]`: `[N, H*W, C]` to `[N, C, H*W]` and back. */
export function transposed(
  data: Float32Array, outer: number, rows: number, columns: number,
): Float32Array<ArrayBuffer> {
  const result = new Float32Array(data.length);
  for (let n = 0; n < outer; n++) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) result[(n * columns + c) * rows + r] = data[(n * rows + r) * columns + c]!;
    }
  }
  return result;
}
