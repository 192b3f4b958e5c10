import type { Call } from './arguments/call.js';
import { isObject, mustBe, UnsupportedError } from './arguments/errors.js';
import type { Geometry } from './arguments/geometry.js';
import { given, reading } from './arguments/reading.js';
import type { Convolution } from './convolution.js';
import { hold, MOST_RIVALS, type TuningTrial } from './contest.js';
import { measuredOn } from './gpu/device.js';
import { LruMap } from './gpu/lru-map.js';
import { type ForwardPlan, planForward } from './plan/forward.js';
import type { DeviceProfile } from './kernels/profile.js';
import { candidatesFor, type Choice, PASSES } from './plan/choice.js';
import { presetsOfKind } from './plan/presets.js';

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

/** A table to start from, or none, and whether to measure what it lacks. */
export interface TuningTable extends Partial<SavedTuning> {
  /** Default: false. */
  readonly measure?: boolean | undefined;
}

/** What measuring one geometry came to, for people to read and to send in. */
export interface TuningEntry {
  /** The geometry's extents, by name. */
  readonly key: string;
  /** The winner: the first, in the order of the plan's own preference, of those whose times equal the best. */
  readonly chosen: Pick<TuningTrial, 'strategy' | 'presets'>;
  /** What was tried, in the order of the plan's own preference. */
  readonly tried: readonly TuningTrial[];
}

/** Geometries whose choices are kept, and those whose plans are kept until they are measured. */
const [MOST_CHOICES, MOST_RIVAL_LISTS] = [4096, 64];

/** Measured choices of one device. */
export class Tuning {
  readonly #device: GPUDevice;
  readonly #profile: DeviceProfile;
  readonly #measures: boolean;
  readonly #choices = new LruMap<Choice>(MOST_CHOICES);
  readonly #entries = new LruMap<TuningEntry>(MOST_CHOICES);
  readonly #rivalsOf = new LruMap<readonly Rival[]>(MOST_RIVAL_LISTS);
  /** The measurement under way: one at a time, so that none disturbs another. */
  #last: Promise<unknown> = Promise.resolve();

  /** A table of another version, adapter or kind of device, or one that is no table, is ignored. */
  constructor(device: GPUDevice, profile: DeviceProfile, tuning: 'measure' | TuningTable) {
    this.#device = device;
    this.#profile = profile;
    this.#measures = reading('PipelineManager.create: tuning', () => {
      if (!isObject(tuning)) return tuning === 'measure';
      const choices = agrees(tuning, measuredOn(device, profile)) ? tuning.choices ?? {} : {};
      for (const [key, saved] of Object.entries(choices)) {
        const choice = readChoice(saved, profile);
        if (choice) this.#choices.set(key, choice);
      }
      const measure = given(tuning, 'measure') ?? false;
      if (typeof measure === 'boolean') return measure;
      throw mustBe('PipelineManager.create: tuning.measure', 'true or false', measure);
    });
  }

  /** Those of some calls that `choose` would measure, one of each geometry. */
  unknown(calls: readonly Call[]): readonly Call[] {
    if (!this.#measures) return [];
    const different = new Map(calls.map((call) => [keyOf(call), call]));
    return [...different.values()].filter((call) => !this.#known(call) && this.#rivals(call).length > 1);
  }

  /** The choice for a geometry, measured now if that is wanted and new; undefined: the plan's own. */
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
    return this.#measures ? this.#rivals(call).map(({ plan }) => plan) : undefined;
  }

  export(): SavedTuning {
    const choices = structuredClone(Object.fromEntries(this.#choices.entries()));
    return { ...measuredOn(this.#device, this.#profile), choices };
  }

  /** A choice from a table counts where this device can run it. */
  #known(call: Call): Choice | undefined {
    const choice = this.#choices.get(keyOf(call));
    if (!choice || (call.strategy !== 'auto' && call.strategy !== choice.strategy)) return undefined;
    return planWith(call, this.#profile, choice) ? choice : undefined;
  }

  /** What is measured for a geometry. The last ones are kept: `warmUp` asks for all before any is measured. */
  #rivals(call: Call): readonly Rival[] {
    const key = `${keyOf(call)} ${[...call.borrowed].sort().join(' ')}`;
    const known = this.#rivalsOf.get(key);
    if (known) return known;
    const rivals = rivalsFor(call, this.#profile);
    this.#rivalsOf.set(key, rivals);
    return rivals;
  }

  /** What was measured so far, the last at the end. */
  report(): readonly TuningEntry[] {
    return [...this.#entries.entries()].map(([, entry]) => structuredClone(entry));
  }

  /** Measures what can run, and keeps the choice and the times; undefined where nothing could be measured. */
  async #measure(call: Call, prepare: (choice: Choice) => Promise<Convolution>): Promise<Choice | undefined> {
    const key = keyOf(call);
    const rivals = this.#rivals(call);
    if (rivals.length < 2) return undefined; // Nothing to choose.
    const contest = await hold(this.#device, this.#profile.kind, rivals.map(({ choice }) => choice), prepare);
    if (!contest) return undefined;
    const { choice: chosen, tried } = contest;
    this.#choices.set(key, chosen);
    this.#entries.set(key, { key, chosen, tried });
    return chosen;
  }
}

/** Whether a table says of itself what is so here, whatever else it says. */
function agrees(saved: unknown, here: unknown): boolean {
  if (!isObject(here)) return saved === here;
  if (!isObject(saved)) return false;
  return Object.entries(here).every(([name, value]) => agrees(given(saved, name), value));
}

const FIELDS = [
  'N', 'H', 'W', 'C', 'KH', 'KW', 'M', 'OH', 'OW', 'O', 'SH', 'SW', 'RH', 'RW', 'padTop', 'padLeft', 'dtype', 'passes',
  'residual', 'inputScale',
] as const satisfies (keyof Geometry)[];

/** The same text for the same work: extents by name, and what follows each pass. */
const keyOf = ({ geometry, strategy }: Call): string => [
  ...FIELDS.map((field) => `${field}=${geometry[field]}`),
  `depthwiseActivation=${geometry.depthwiseActivation.kind}`, `activation=${geometry.activation.kind}`,
  `strategy=${strategy}`,
].join(' ');

/** A choice of a table; undefined where it is none, or none for this kind of adapter. */
function readChoice(saved: unknown, { kind }: DeviceProfile): Choice | undefined {
  if (!isObject(saved)) return undefined;
  const { strategy, presets: names } = {
    strategy: given(saved, 'strategy'), presets: given(saved, 'presets'),
  } as Partial<Choice>;
  if (typeof strategy !== 'string' || !Object.hasOwn(PASSES, strategy) || !Array.isArray(names)) return undefined;
  const known = presetsOfKind(kind);
  const read = PASSES[strategy].map((_, index) => known.find((name) => name === names[index]));
  if (names.length !== read.length || !read.every((name) => name !== undefined)) return undefined;
  return { strategy, presets: read };
}

/**
 * Choices that take at most so many times as long as the best one, as a GPU's model has it, are measured, and the first
 * few in any case. In the 18 layers that an H100 measured at a steady clock, the fastest of each kernel's tiles is
 * within 1.07 of the model's best; other GPUs differ from it.
 */
const [UNCLEAR, LEAST_RIVALS] = [1.5, 6];

interface Rival { readonly choice: Choice; readonly plan: ForwardPlan }

/**
 * What can run here and is not clearly slower, in the order of the plan's preference. Choices that come to the same
 * kernels and grids are one.
 * @throws UnsupportedError where nothing can run
 */
function rivalsFor(call: Call, profile: DeviceProfile): readonly Rival[] {
  const own = planForward(call, profile);
  const all = candidatesFor(call.geometry, profile).filter(({ strategy }) =>
    call.strategy === 'auto' || strategy === own.strategy);
  const distinct = new Map<string, Rival>();
  for (const { strategy, presets, time } of [{ ...own, time: 0 }, ...all]) {
    if (distinct.size >= LEAST_RIVALS && time > UNCLEAR * all[0]!.time) break;
    const choice = { strategy, presets };
    const plan = planWith(call, profile, choice);
    if (!plan) continue;
    const work = plan.portions.flatMap(({ steps }) => steps.map(({ dispatch: { name, grid } }) => [name, grid]));
    const key = JSON.stringify(work);
    if (!distinct.has(key)) distinct.set(key, { choice, plan });
  }
  return [...distinct.values()].slice(0, MOST_RIVALS);
}

/** The plan of a choice; undefined where the device cannot run it. */
function planWith(call: Call, profile: DeviceProfile, choice: Choice): ForwardPlan | undefined {
  try {
    return planForward(call, profile, choice);
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined;
    throw error;
  }
}
