import { elements, outputShape } from '../../src/arguments/geometry.js';
import { adapterKindOf } from '../../src/gpu/device.js';
import type { AdapterKind } from '../../src/kernels/profile.js';
import type { TuningTrial } from '../../src/contest.js';
import { PipelineManager } from '../../src/manager.js';
import type { Bounded } from '../bounds.js';
import { Canary } from '../bench/canary.js';
import { deviceTime, queueBehindOtherWork, timeDevice } from '../bench/clock.js';
import {
  COMPARED, type Contender, expectedOf, type Reading, Runner, type Stopwatch, wallTime,
} from '../bench/contender.js';
import { AHEAD, firstLine, type Outcome, repetitionsOf, type Timing, timing } from '../bench/measure.js';
import { ceilingKernels, type Ceilings, measureCeilings, naive, ours, repeat } from '../bench/webgpu.js';
import { leastBytes, operations, tensors, type Workload } from '../bench/workloads.js';
import { geometryOf } from '../cases.js';
import type { Report } from '../compare.js';
import { COMPILE, MULTIPLY_ADD } from './items.js';
import type { Lab } from './lab.js';
import type { CheckReport, ContenderName, TimedLayer } from './report.js';
import type { Item } from './run.js';

/** The benchmark's layers by the library and by a naive kernel, each an item of its own, and the device's ceilings. */

/** Samples, and the milliseconds of runs that make one; what takes longer than the last of these has one sample. */
const [SAMPLES, SAMPLE, SLOW] = [3, 25, 300];

/**
 * Seconds of a contender with a layer, about. A GPU has `AHEAD` milliseconds of other work before each sample and the
 * run that finds out about them; all layers of all contenders need 77 pipelines there, so two thirds of one each.
 */
const PACE = { gpu: ((SAMPLES + 1) * AHEAD + SAMPLES * SAMPLE) / 1000 + COMPILE.gpu * 2 / 3, software: 0.6 };
/** Seconds of a contest of tuning: on a GPU 92 samples of 3.3 ms at least, and to find out how many runs those are. */
const CONTEST = { gpu: 0.6, software: 1.8 };
/** Multiply-adds of a layer that is compared as a whole. Of larger ones, all of them batches, some pixels are. */
const MOST_COMPUTED = 1e8;
/** Seconds for the ceilings: of three kernels `SAMPLES` samples of 100 ms, and two runs before them. */
const CEILINGS = 1.5;
/** Seconds to draw a number, to compute an output beside its sum, and to move a byte to the device or back. */
const [DRAW, OUTPUT, MOVE] = [4e-8, 2.5e-7, 1e-9];

/** What times on one device need. */
interface Timers {
  readonly stopwatch: Stopwatch;
  readonly contenders: Readonly<Record<ContenderName, Contender>>;
  readonly tuning: PipelineManager;
}

/** Collects the figures while items run. */
export class Times {
  clock: CheckReport['clock'];
  ceilings: Ceilings | undefined;
  readonly #rows = new Map<Workload, { -readonly [K in keyof TimedLayer]: TimedLayer[K] }>();
  readonly #timers = new WeakMap<Lab, Promise<Timers>>();
  readonly #canary = new Canary(Infinity);
  #expected: { readonly workload: Workload; readonly values: Bounded } | undefined;

  get rows(): readonly TimedLayer[] {
    return this.#canary.mark([...this.#rows.values()].map(pooled));
  }

  /** The ceilings, then one contender after the other with each layer. */
  items(
    work: readonly { readonly workload: Workload; readonly names: readonly ContenderName[] }[], kind: AdapterKind,
  ): readonly Item[] {
    return [
      { title: 'ceilings', weight: CEILINGS, run: async (lab) => this.#measureCeilings(lab) },
      ...work.flatMap(({ workload, names }) => names.map((name, index): Item => ({
        title: `${workload.name}: ${name}`,
        weight: PACE[kind] + (name === 'tuned' ? CONTEST[kind] : 0) + onCpu(workload, index === 0),
        run: (lab) => this.#time(lab, workload, name),
      }))),
    ];
  }

  /** Of a device; and which clock there is. */
  async #timersOf(lab: Lab): Promise<Timers> {
    const known = this.#timers.get(lab) ?? prepareTimers(lab);
    this.#timers.set(lab, known);
    this.clock = (await known).stopwatch === deviceTime ? 'device' : 'wall';
    return known;
  }

  async #measureCeilings(lab: Lab): Promise<readonly []> {
    queueBehindOtherWork({ gflops: 0 }); // Of another check.
    const { stopwatch } = await this.#timersOf(lab);
    const { default: code } = await import('../bench/ceilings.wgsl?raw');
    const software = lab.profile.kind === 'software';
    const { gflops, gbytes, emptyDispatch } = await measureCeilings(lab.device, code, SAMPLES, stopwatch, software);
    this.ceilings = { gflops: round(gflops), gbytes: round(gbytes), emptyDispatch: round(emptyDispatch) };
    // A software adapter has no clock to raise, and its other work would take the cores.
    if (!software && this.clock === 'device') queueBehindOtherWork(this.ceilings);
    return [];
  }

  async #time(lab: Lab, workload: Workload, name: ContenderName): Promise<readonly Report[]> {
    const title = `${workload.name}: ${name}`;
    const { stopwatch, contenders, tuning } = await this.#timersOf(lab);
    const data = tensors(workload);
    const { layers, name: _, ...layer } = workload;
    const row = this.#rows.get(workload) ?? {
      workload: workload.name, layer, layers, operations: operations(data), leastBytes: leastBytes(data), outcomes: {},
    };
    this.#rows.set(workload, row);
    const end = (outcome: Outcome): void => {
      row.outcomes = { ...row.outcomes, [name]: outcome };
    };
    end({ failure: 'it did not end' }); // Unless it does.
    const runner = new Runner(contenders[name]);
    const measured = tuning.tuningReport().length;
    try {
      const { worst, where, ...check } = await runner.prepare(workload, this.#expectedOf(workload));
      const { failure } = check;
      if (name === 'tuned') {
        const [trials] = tuning.tuningReport().slice(measured);
        if (!trials) throw new Error('tuning measured nothing');
        row.tried = trials.tried.map(rounded);
      }
      const taken = failure === undefined ? await this.#sample(runner, stopwatch) : undefined;
      end({ ...check, ...(taken && (taken.median > 0 ? { timing: taken } : { failure: 'too short for this clock' })) });
      return [{ title, worst, ...(where !== undefined && { where }), ...(failure !== undefined && { failure }) }];
    } catch (error) {
      end({ failure: firstLine(error) });
      throw error;
    } finally {
      await runner.release();
    }
  }

  /** On a GPU, anew where its clock was low. */
  async #sample(runner: Runner, stopwatch: Stopwatch): Promise<Timing> {
    const first = await runner.time(1, stopwatch);
    if (first.milliseconds > SLOW) return timing([round(first.milliseconds)]);
    const repetitions = repetitionsOf(first, SAMPLE);
    const readings: Reading[] = [];
    while (readings.length < SAMPLES) {
      readings.push(await this.#canary.take(() => runner.time(repetitions, stopwatch)));
    }
    const canaries = readings.flatMap(({ canary }) => canary ?? []).map(round);
    const times = timing(readings.map(({ milliseconds }) => round(milliseconds)));
    return { ...times, ...(canaries.length > 0 && { canaries }) };
  }

  /** The contenders of a layer come one after the other. */
  #expectedOf(workload: Workload): Bounded {
    if (this.#expected?.workload !== workload) {
      this.#expected = { workload, values: expectedOf(workload, MOST_COMPUTED) };
    }
    return this.#expected.values;
  }
}

/** Contenders that took the same kernels have each other's samples too: they differ by what else the machine did. */
export function pooled(row: TimedLayer): TimedLayer {
  const outcomes = Object.entries(row.outcomes);
  const pool = (outcome: Outcome): Outcome => {
    if (outcome.detail === undefined || !outcome.timing) return outcome;
    const timings = outcomes.flatMap(([, { detail, timing: one }]) => (detail === outcome.detail && one ? [one] : []));
    const canaries = timings.flatMap((one) => one.canaries ?? []);
    const samples = timings.flatMap((one) => one.samples);
    return { ...outcome, timing: { ...timing(samples), ...(canaries.length > 0 && { canaries }) } };
  };
  return { ...row, outcomes: Object.fromEntries(outcomes.map(([name, outcome]) => [name, pool(outcome)])) };
}

/** Seconds of the CPU for a contender with a layer; its first one's tensors and results are kept for the others. */
function onCpu(workload: Workload, isFirst: boolean): number {
  const geometry = geometryOf(workload);
  const [inputs, outputs] = [elements(workload.input), elements(outputShape(geometry))];
  const { K, KH, KW, O } = geometry;
  const compared = outputs * K > MOST_COMPUTED ? COMPARED * O : outputs;
  const once = inputs * DRAW + compared * (K * (KH * KW / O + 1) * MULTIPLY_ADD + OUTPUT);
  return 4 * (inputs + outputs) * MOVE + (isFirst ? once : 0);
}

async function prepareTimers({ device, manager }: Lab): Promise<Timers> {
  const [{ default: naiveCode }, tuning] = await Promise.all(
    [import('../bench/naive.wgsl?raw'), PipelineManager.create({ device, tuning: 'measure' })]);
  return {
    stopwatch: await stopwatchOf(device), tuning,
    contenders: {
      'auto': ours(manager, 'auto'), 'fused': ours(manager, 'fused'), 'two-pass': ours(manager, 'two-pass'),
      'tuned': ours(tuning, 'auto'), 'naive': naive(device, naiveCode),
    },
  };
}

/** The device's own clock, where it has one that goes: some drivers write no timestamps. */
async function stopwatchOf(device: GPUDevice): Promise<Stopwatch> {
  if (!device.features.has('timestamp-query')) return wallTime;
  const { default: code } = await import('../bench/ceilings.wgsl?raw');
  await timeDevice(device, code);
  const { multiplyAdd, destroy } = await ceilingKernels(device, code, 2 ** 24);
  const groups = adapterKindOf(device) === 'software' ? 64 : 2 ** 14;
  const { milliseconds } = await deviceTime(() => repeat(device, 1, (pass) => multiplyAdd(pass, groups)));
  destroy();
  return milliseconds > 0 ? deviceTime : wallTime;
}

/** No clock tells more. */
const round = (value: number): number => Number(value.toPrecision(4));
const rounded = (trial: TuningTrial): TuningTrial => ({ ...trial, milliseconds: round(trial.milliseconds) });
