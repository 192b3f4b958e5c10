import type { Convolution } from './convolution.js';
import { adapterName } from './device.js';
import type { Geometry } from './geometry.js';
import { candidates, type Choice, type Strategy } from './plan.js';
import { given, reading } from './options.js';
import { type DeviceProfile, presets } from './presets.js';
import { Recent } from './recent.js';

/** The library's version: what was measured with another is not trusted. */
export const VERSION = '0.1.0';

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

/** Measured choices of one device. */
export class Tuning {
  readonly #device: GPUDevice;
  readonly #profile: DeviceProfile;
  readonly #measures: boolean;
  readonly #choices = new Recent<Choice>(MOST_CHOICES);
  /** The measurement under way: one at a time, so that none disturbs another. */
  #last: Promise<unknown> = Promise.resolve();

  /** A table of another version or adapter, or one that is no table, is ignored. */
  constructor(device: GPUDevice, profile: DeviceProfile, tuning?: 'measure' | SavedTuning) {
    this.#device = device;
    this.#profile = profile;
    this.#measures = tuning === 'measure';
    reading('PipelineManager.create: tuning', () => {
      if (typeof tuning !== 'object' || tuning === null || tuning.version !== VERSION || tuning.adapter !== adapterName(device)) return;
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
      const { fastest } = await import('./measure.js'); // For those alone who measure.
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
    return { version: VERSION, adapter: adapterName(this.#device), choices: Object.fromEntries(this.#choices.entries()) };
  }
}

function readChoice(saved: unknown): Choice | undefined {
  if (typeof saved !== 'object' || saved === null) return undefined;
  const { strategy, preset } = { strategy: given(saved, 'strategy'), preset: given(saved, 'preset') } as Partial<Choice>;
  if ((strategy !== 'fused' && strategy !== 'two-pass') || typeof preset !== 'string' || !Object.hasOwn(presets, preset)) return undefined;
  return { strategy, preset };
}
