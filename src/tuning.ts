import type { Call } from './arguments/call.js';
import { UnsupportedError } from './arguments/errors.js';
import type { Geometry } from './arguments/geometry.js';
import { given, reading } from './arguments/reading.js';
import type { Convolution } from './convolution.js';
import { hold } from './contest.js';
import { measuredOn } from './gpu/device.js';
import { LruMap } from './gpu/lru-map.js';
import { type Choice, type ForwardPlan, planForward } from './plan/forward.js';
import type { DeviceProfile } from './kernels/profile.js';
import { presets, presetsFor } from './plan/presets.js';

/** What `exportTuning` gives and `create({ tuning })` takes: plain JSON. */
export interface SavedTuning {
  /** The version of this library that measured. */
  readonly version: string;
  /** The adapter's names. */
  readonly adapter: string;
  /** The kind of adapter, and the features and limits of the device that plans depend on. */
  readonly device: unknown;
  /** The fastest choice for each geometry that was measured; what a choice is may change with the version. */
  readonly choices: Readonly<Record<string, unknown>>;
}

/** The measurements of one geometry, for people to read and to send in. */
export interface TuningEntry {
  /** The geometry's extents, by name. */
  readonly key: string;
  readonly chosen: { readonly strategy: string; readonly preset: string };
  /** What was tried, in the order of the plan's own preference, with the median time of a run. */
  readonly tried: readonly {
    readonly strategy: string; readonly preset: string;
    readonly kernels: readonly string[]; readonly milliseconds: number;
  }[];
}

/** Geometries whose choices are kept. */
const MOST_CHOICES = 4096;

/** Measured choices of one device. */
export class Tuning {
  readonly #device: GPUDevice;
  readonly #profile: DeviceProfile;
  readonly #measures: boolean;
  readonly #choices = new LruMap<Choice>(MOST_CHOICES);
  readonly #entries = new LruMap<TuningEntry>(MOST_CHOICES);
  /** The measurement under way: one at a time, so that none disturbs another. */
  #last: Promise<unknown> = Promise.resolve();

  /** Ignores a table of another version, adapter or kind of device, and what is not a table at all. */
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

  /** The choice for a geometry, measured now if it is not known and measuring is on; undefined: the plan's own. */
  choose(call: Call, prepare: (choice: Choice) => Promise<Convolution>): Promise<Choice | undefined> {
    const known = (): Choice | undefined => this.#known(call);
    if (!this.#measures) return Promise.resolve(known());
    const choice = this.#last.then(async () => known() ?? this.#measure(call, prepare));
    this.#last = choice.catch(() => undefined);
    return choice;
  }

  /**
   * The plans that `choose` decides between: one where the choice is known; undefined where it leaves it to the plan.
   */
  plansOf(call: Call): readonly ForwardPlan[] | undefined {
    const known = this.#known(call);
    if (known) return [planForward(call, this.#profile, known)];
    if (!this.#measures) return undefined;
    return candidates(call, this.#profile).map((choice) => planForward(call, this.#profile, choice));
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

  /** What was measured so far, the last at the end. */
  report(): readonly TuningEntry[] {
    return [...this.#entries.entries()].map(([, entry]) => entry);
  }

  /** Measures what can run, and keeps the choice and the times; undefined where nothing could be measured. */
  async #measure(call: Call, prepare: (choice: Choice) => Promise<Convolution>): Promise<Choice | undefined> {
    const key = keyOf(call);
    const contest = await hold(this.#device, this.#profile.kind, candidates(call, this.#profile), prepare);
    if (!contest) return undefined;
    const { choice: chosen, tried } = contest;
    this.#choices.set(key, chosen);
    this.#entries.set(key, { key, chosen, tried });
    return chosen;
  }
}

/** Whether a table has all that `here` has, with the same values. What else it has does not matter. */
function agrees(saved: unknown, here: unknown): boolean {
  if (typeof here !== 'object' || here === null) return saved === here;
  if (typeof saved !== 'object' || saved === null) return false;
  return Object.entries(here).every(([name, value]) => agrees(given(saved, name), value));
}

const FIELDS = [
  'N', 'H', 'W', 'C', 'KH', 'KW', 'M', 'OH', 'OW', 'O', 'SH', 'SW', 'RH', 'RW', 'padTop', 'padLeft', 'dtype',
] as const satisfies (keyof Geometry)[];

/** A text that is the same for the same work: the extents by name, the activations and the strategy asked for. */
const keyOf = ({ geometry, strategy }: Call): string => [
  ...FIELDS.map((field) => `${field}=${geometry[field]}`),
  `depthwiseActivation=${geometry.depthwiseActivation.kind}`, `activation=${geometry.activation.kind}`,
  `strategy=${strategy}`,
].join(' ');

function readChoice(saved: unknown): Choice | undefined {
  if (typeof saved !== 'object' || saved === null) return undefined;
  const { strategy, preset } = {
    strategy: given(saved, 'strategy'), preset: given(saved, 'preset'),
  } as Partial<Choice>;
  if (strategy !== 'fused' && strategy !== 'two-pass') return undefined;
  if (typeof preset !== 'string' || !Object.hasOwn(presets, preset)) return undefined;
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
