import type { Convolution } from './convolution.js';
import { measuredOn } from './gpu/device.js';
import type { Geometry } from './arguments/geometry.js';
import { type Choice, plan, type Strategy } from './plan/plan.js';
import { given, reading } from './arguments/options.js';
import { type DeviceProfile, presets, presetsFor } from './plan/presets.js';
import { Recent } from './gpu/recent.js';

/** What `exportTuning` gives and `create({ tuning })` takes: plain JSON. */
export interface SavedTuning {
  /** Of this library. */
  readonly version: string;
  /** The adapter's names. */
  readonly adapter: string;
  /** The fastest choice for each geometry that was measured; what a choice is may change with the version. */
  readonly choices: Readonly<Record<string, unknown>>;
}

/** Geometries whose choices are kept. */
const MOST_CHOICES = 4096;
const SAMPLES = 3;
/** Milliseconds that a sample should last, for the clock's sake, and runs that it takes at most. */
const [SAMPLE_TIME, MOST_RUNS] = [10, 20];

/** Measured choices of one device. */
export class Tuning {
  readonly #device: GPUDevice;
  readonly #profile: DeviceProfile;
  readonly #measures: boolean;
  readonly #choices = new Recent<Choice>(MOST_CHOICES);
  /** The measurement under way: one at a time, so that none disturbs another. */
  #last: Promise<unknown> = Promise.resolve();

  /** A table of another version or adapter, or one that is no table, is ignored. */
  constructor(device: GPUDevice, profile: DeviceProfile, tuning: 'measure' | SavedTuning) {
    this.#device = device;
    this.#profile = profile;
    this.#measures = tuning === 'measure';
    const { version, adapter } = measuredOn(device);
    reading('PipelineManager.create: tuning', () => {
      if (typeof tuning !== 'object' || tuning === null || tuning.version !== version || tuning.adapter !== adapter) return;
      for (const [key, saved] of Object.entries(tuning.choices ?? {})) {
        const choice = readChoice(saved);
        if (choice) this.#choices.set(key, choice);
      }
    });
  }

  /** The choice for a geometry, measured now if that is wanted and new; undefined: the plan's own. */
  choose(geometry: Geometry, strategy: Strategy, prepare: (choice: Choice) => Promise<Convolution>): Promise<Choice | undefined> {
    const key = [...Object.values(geometry).map((value) => (typeof value === 'object' ? value.kind : value)), strategy].join(' ');
    const choose = async (): Promise<Choice | undefined> => {
      const known = this.#choices.get(key);
      if (known || !this.#measures) return known;
      const choice = await fastest(this.#device, candidates(geometry, this.#profile, strategy), prepare);
      if (choice) this.#choices.set(key, choice);
      return choice;
    };
    if (!this.#measures) return choose();
    const choice = this.#last.then(choose);
    this.#last = choice.catch(() => undefined);
    return choice;
  }

  export(): SavedTuning {
    return { ...measuredOn(this.#device), choices: Object.fromEntries(this.#choices.entries()) };
  }
}

function readChoice(saved: unknown): Choice | undefined {
  if (typeof saved !== 'object' || saved === null) return undefined;
  const { strategy, preset } = { strategy: given(saved, 'strategy'), preset: given(saved, 'preset') } as Partial<Choice>;
  if ((strategy !== 'fused' && strategy !== 'two-pass') || typeof preset !== 'string' || !Object.hasOwn(presets, preset)) return undefined;
  return { strategy, preset };
}

/** What measuring may choose from: the plan's own choice first. */
function candidates(geometry: Geometry, profile: DeviceProfile, wanted: Strategy): readonly Choice[] {
  const own = plan(geometry, profile, wanted);
  const strategies = wanted === 'auto' ? [own.strategy, own.strategy === 'fused' ? 'two-pass' as const : 'fused' as const] : [own.strategy];
  return presetsFor(geometry, profile).flatMap((preset) => strategies.map((strategy) => ({ strategy, preset })));
}

/** The fastest of the choices for one convolution; undefined: none could be measured. */
async function fastest(
  device: GPUDevice, choices: readonly Choice[], prepare: (choice: Choice) => Promise<Convolution>,
): Promise<Choice | undefined> {
  let best: { choice: Choice; time: number } | undefined;
  for (const choice of choices) {
    const convolution = await prepare(choice).catch(() => undefined); // A candidate that cannot run is no candidate.
    if (!convolution) continue;
    const { inputByteLength, outputByteLength } = convolution;
    if (Math.max(inputByteLength, outputByteLength) > device.limits.maxBufferSize) {
      convolution.destroy(); // Only `run` can compute it, in portions.
      return undefined;
    }
    const time = await timeOf(device, convolution);
    if (!best || time < best.time) best = { choice, time };
  }
  return best?.choice;
}

/** Milliseconds of one run by the wall clock, the least of some samples; destroys the convolution. */
async function timeOf(device: GPUDevice, convolution: Convolution): Promise<number> {
  const buffer = (byteLength: number): GPUBuffer =>
    device.createBuffer({ label: 'sepconv-webgpu tuning', size: Math.max(16, byteLength), usage: GPUBufferUsage.STORAGE });
  const [input, output] = [buffer(convolution.inputByteLength), buffer(convolution.outputByteLength)];
  const sample = async (runs: number): Promise<number> => {
    const encoder = device.createCommandEncoder({ label: 'sepconv-webgpu tuning' });
    const pass = encoder.beginComputePass({ label: 'sepconv-webgpu tuning' });
    for (let run = 0; run < runs; run++) convolution.encode(pass, { input, output });
    pass.end();
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return (performance.now() - start) / runs;
  };
  try {
    const first = await sample(1);
    const runs = Math.max(1, Math.min(MOST_RUNS, Math.floor(SAMPLE_TIME / first)));
    let least = Infinity;
    for (let i = 0; i < SAMPLES; i++) least = Math.min(least, await sample(runs));
    return least;
  } finally {
    input.destroy();
    output.destroy();
    convolution.destroy();
  }
}
