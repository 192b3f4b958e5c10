import type { Call } from './arguments/call.js';
import { UnsupportedError } from './arguments/errors.js';
import type { Geometry } from './arguments/geometry.js';
import { given, reading } from './arguments/reading.js';
import type { Convolution } from './convolution.js';
import { checked, measuredOn } from './gpu/device.js';
import { BUFFER } from './gpu/flags.js';
import { LruMap } from './gpu/lru-map.js';
import { type Choice, type ForwardPlan, planForward } from './plan/forward.js';
import type { DeviceProfile } from './kernels/profile.js';
import { presets, presetsFor } from './plan/presets.js';

/** What `exportTuning` gives and `create({ tuning })` takes: plain JSON. */
export interface SavedTuning {
  /** Of this library. */
  readonly version: string;
  /** The adapter's names. */
  readonly adapter: string;
  /** The kind of adapter, and the features and limits of the device that plans depend on. */
  readonly device: unknown;
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
  readonly #choices = new LruMap<Choice>(MOST_CHOICES);
  /** The measurement under way: one at a time, so that none disturbs another. */
  #last: Promise<unknown> = Promise.resolve();

  /** A table of another version, adapter or kind of device, or one that is no table, is ignored. */
  constructor(device: GPUDevice, profile: DeviceProfile, tuning: 'measure' | SavedTuning) {
    this.#device = device;
    this.#profile = profile;
    this.#measures = tuning === 'measure';
    reading('PipelineManager.create: tuning', () => {
      if (typeof tuning !== 'object' || tuning === null || !agrees(tuning, measuredOn(device, profile))) return;
      for (const [key, saved] of Object.entries(tuning.choices ?? {})) {
        const choice = readChoice(saved);
        if (choice) this.#choices.set(key, choice);
      }
    });
  }

  /** The choice for a geometry, measured now if that is wanted and new; undefined: the plan's own. */
  choose(call: Call, prepare: (choice: Choice) => Promise<Convolution>): Promise<Choice | undefined> {
    const known = (): Choice | undefined => this.#known(call);
    if (!this.#measures) return Promise.resolve(known());
    const choice = this.#last.then(async () =>
      known() ?? this.#keep(call, await fastest(this.#device, candidates(call, this.#profile), prepare)));
    this.#last = choice.catch(() => undefined);
    return choice;
  }

  /**
   * The plans that `choose` decides between: one where the choice is known; undefined where it leaves it to the plan.
   */
  plansOf(call: Call): readonly ForwardPlan[] | undefined {
    const known = this.#known(call);
    if (known) return [planForward(call, this.#profile, known)];
    return this.#measures ? candidates(call, this.#profile).map(
      (choice) => planForward(call, this.#profile, choice)
    ) : undefined;
  }

  export(): SavedTuning {
    return { ...measuredOn(this.#device, this.#profile), choices: Object.fromEntries(this.#choices.entries()) };
  }

  /** A choice from a table counts where this device can run it. */
  #known(call: Call): Choice | undefined {
    const choice = this.#choices.get(keyOf(call));
    if (!choice) return undefined;
    const can = candidates(call, this.#profile);
    const here = can.some(({ strategy, preset }) => strategy === choice.strategy && preset === choice.preset);
    return here ? choice : undefined;
  }

  #keep(call: Call, choice: Choice | undefined): Choice | undefined {
    if (choice) this.#choices.set(keyOf(call), choice);
    return choice;
  }
}

/** Whether a table says of itself what is so here, whatever else it says. */
function agrees(saved: unknown, here: unknown): boolean {
  if (typeof here !== 'object' || here === null) return saved === here;
  if (typeof saved !== 'object' || saved === null) return false;
  return Object.entries(here).every(([name, value]) => agrees(given(saved, name), value));
}

const FIELDS = [
  'N', 'H', 'W', 'C', 'KH', 'KW', 'M', 'OH', 'OW', 'O', 'SH', 'SW', 'RH', 'RW', 'padTop', 'padLeft', 'dtype',
] as const satisfies (keyof Geometry)[];

/** The same text for the same work: extents by name, and what follows each pass. */
const keyOf = ({ geometry, strategy }: Call): string => [
  ...FIELDS.map(
    (field) => `${field}=${geometry[field]}`
  ), geometry.depthwiseActivation.kind, geometry.activation.kind, strategy,
].join(' ');

function readChoice(saved: unknown): Choice | undefined {
  if (typeof saved !== 'object' || saved === null) return undefined;
  const { strategy, preset } = {
    strategy: given(saved, 'strategy'), preset: given(saved, 'preset'),
  } as Partial<Choice>;
  if ((
    strategy !== 'fused' && strategy !== 'two-pass'
  ) || typeof preset !== 'string' || !Object.hasOwn(presets, preset)) return undefined;
  return { strategy, preset };
}

/** What can run here, the plan's own choice first. @throws UnsupportedError where nothing can */
function candidates(call: Call, profile: DeviceProfile): readonly Choice[] {
  const own = planForward(call, profile).strategy;
  const strategies = call.strategy === 'auto' ? [own, own === 'fused' ? 'two-pass' as const : 'fused' as const] : [own];
  return presetsFor(call.geometry, profile).flatMap((preset) => strategies.map((strategy) => ({ strategy, preset })))
    .filter((choice) => runs(call, profile, choice));
}

function runs(call: Call, profile: DeviceProfile, choice: Choice): boolean {
  try {
    planForward(call, profile, choice);
    return true;
  } catch (error) {
    if (error instanceof UnsupportedError) return false;
    throw error;
  }
}

/** The fastest of the choices for one convolution; undefined: none could be measured, or the work of one failed. */
async function fastest(
  device: GPUDevice, choices: readonly Choice[], prepare: (choice: Choice) => Promise<Convolution>,
): Promise<Choice | undefined> {
  let best: { choice: Choice; time: number } | undefined;
  for (const choice of choices) {
    const convolution = await prepare(choice).catch(() => undefined); // A candidate that cannot be had is none.
    if (!convolution) continue;
    const { inputByteLength, outputByteLength } = convolution;
    if (Math.max(inputByteLength, outputByteLength) > device.limits.maxBufferSize) {
      convolution.destroy(); // Only `run` can compute it, in portions.
      return undefined;
    }
    // The time of work that failed says nothing, nor does that of others beside it. `prepare` or `run` will tell of it.
    const time = await timeOf(device, convolution).catch(() => undefined);
    if (time === undefined) return undefined;
    if (!best || time < best.time) best = { choice, time };
  }
  return best?.choice;
}

/**
 * Milliseconds of one run by the wall clock, the least of some samples; destroys the convolution. Rejects if work
 * fails.
 */
async function timeOf(device: GPUDevice, convolution: Convolution): Promise<number> {
  const label = 'sepconv-webgpu tuning';
  const made: GPUBuffer[] = [];
  const buffer = (byteLength: number): GPUBuffer => {
    const one = device.createBuffer({ label, size: Math.max(16, byteLength), usage: BUFFER.STORAGE });
    made.push(one);
    return one;
  };
  const sample = async ({ input, output }: Record<'input' | 'output', GPUBuffer>, runs: number): Promise<number> => {
    const done = await checked(device, label, () => {
      const encoder = device.createCommandEncoder({ label });
      const pass = encoder.beginComputePass({ label });
      for (let run = 0; run < runs; run++) convolution.encode(pass, { input, output });
      pass.end();
      const start = performance.now();
      device.queue.submit([encoder.finish()]);
      const ended = device.queue.onSubmittedWorkDone().then(() => performance.now() - start);
      ended.catch(() => undefined); // Reported below, after the scopes, whose errors say more.
      return { ended };
    });
    return (await done.ended) / runs;
  };
  try {
    const { inputByteLength, outputByteLength } = convolution;
    const targets = await checked(
      device, label, () => ({ input: buffer(inputByteLength), output: buffer(outputByteLength) })
    );
    const first = await sample(targets, 1);
    const runs = Math.max(1, Math.min(MOST_RUNS, Math.floor(SAMPLE_TIME / first)));
    let least = Infinity;
    for (let i = 0; i < SAMPLES; i++) least = Math.min(least, await sample(targets, runs));
    return least;
  } finally {
    for (const one of made) one.destroy();
    convolution.destroy();
  }
}
