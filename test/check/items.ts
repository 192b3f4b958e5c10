import { elements, outputShape } from '../../src/arguments/geometry.js';
import type { DeviceProfile } from '../../src/kernels/profile.js';
import { type PresetName, presetsOfKind } from '../../src/plan/presets.js';
import type { Plan } from '../../src/plan/steps.js';
import { type Case, cases, geometryOf, gradientCases } from '../cases.js';
import { checkGradientSteps } from '../gradient-checks.js';
import { checkKernelSteps, plansOfCase } from '../kernel-checks.js';
import { backwardPlanOf, kindOf } from '../plans.js';
import { random } from '../random.js';
import type { Lab } from './lab.js';
import type { Item } from './run.js';

/**
 * Which cases are checked by which preset. Compiling takes most of the time, so that the seed draws pairs of them until
 * there are enough pipelines: first every case by one of the presets, then by the next.
 */

/** How much is drawn; all where it is infinite. */
export interface Drawn {
  /** Distinct pipelines of the forward pass at most. */
  readonly pipelines: number;
  /** Cases of the backward pass. */
  readonly gradients: number;
}

/**
 * Seconds to compile a kernel. With an H100's driver, on 16 cores, 17 to 25 a second were measured; a software adapter
 * compiles 4 of those with small workgroups.
 */
export const COMPILE = { gpu: 1 / 17, software: 0.25 } as const;
/** Seconds of an item for submitting and reading back. */
const OVERHEAD = 0.02;
/** Seconds of the reference for a multiply-add: three float64 sums, on one of two busy cores. */
export const MULTIPLY_ADD = 8e-9;

/**
 * Software adapters get the light presets more often, and small workgroups: of large ones with barriers SwiftShader
 * compiles for seconds each.
 */
const ON_SOFTWARE: readonly PresetName[] =
  ['lightQuads', 'lightRegisters', 'lightQuads', 'quads', 'lightRegisters', 'registers'];
const SMALL_WORKGROUPS = { maxComputeInvocationsPerWorkgroup: 16 };

/** The presets that suit a device, in the order in which cases take them. */
function presetsFor({ kind, subgroups }: DeviceProfile, all = false): readonly PresetName[] {
  return kind === 'gpu' || all ? presetsOfKind(kind) : ON_SOFTWARE.filter((name) => subgroups || !/quad/i.test(name));
}

const within = (profile: DeviceProfile): DeviceProfile => (profile.kind === 'gpu' ? profile
  : { ...profile, limits: { ...profile.limits, ...SMALL_WORKGROUPS } });

export function kernelItems(profile: DeviceProfile, seed: number, { pipelines }: Drawn): readonly Item[] {
  const limited = within(profile);
  const all = pipelines === Infinity;
  const presets = presetsFor(profile, all);
  // On a software adapter a large case takes a second of the processor that it runs on.
  const some = cases.filter(({ name }) => all || profile.kind === 'gpu' || !/^large|^65x65/.test(name));
  const drawn = shuffled(some, seed);
  const compiled = new Set<string>();
  const items: Item[] = [];
  for (let turn = 0; turn < presets.length; turn++) for (const [index, one] of drawn.entries()) {
    const preset = presets[(index + turn) % presets.length]!;
    const half = profile.shaderF16 && (all || (index + turn) % 3 === 0);
    for (const dtype of new Set([...(half && !all ? [] : [one.dtype ?? 'f32']), ...(half ? ['f16'] as const : [])])) {
      const stored: Case = { ...one, dtype };
      const plans = plansOfCase(stored, limited, preset);
      const { weight, names } = weigh(stored, plans, limited, compiled);
      if (compiled.size + names.length > pipelines) return items;
      for (const name of names) compiled.add(name);
      items.push({
        title: `${one.name} ${dtype} [${preset}]`, weight, prepare: (lab) => compile(lab, plans),
        run: ({ device, pipelines: cache }) => checkKernelSteps(
          device, cache, limited, [{ ...stored, name: `${one.name} ${dtype}` }], [preset], seed + index),
      });
    }
  }
  return items;
}

/** How many there are: every case by every preset, in each type that the device has. */
export function countOfKernelItems(profile: DeviceProfile): number {
  const types = cases.reduce((sum, { dtype }) => sum + (profile.shaderF16 && dtype !== 'f16' ? 2 : 1), 0);
  return types * presetsFor(profile, true).length;
}

export function gradientItems(profile: DeviceProfile, seed: number, { gradients }: Drawn): readonly Item[] {
  const limited = within(profile);
  const presets = presetsFor(profile);
  const compiled = new Set<string>();
  return shuffled(gradientCases, seed).slice(0, gradients).map((one, index): Item => {
    const preset = presets[index % presets.length]!;
    const plan = backwardPlanOf(one, { ...limited, kind: kindOf(preset) }, preset);
    const { weight, names } = weigh(one, [plan], limited, compiled);
    for (const name of names) compiled.add(name);
    return {
      title: `gradients of ${one.name} [${preset}]`, weight, prepare: (lab) => compile(lab, [plan]),
      run: async ({ device, pipelines }) => {
        const reports = await checkGradientSteps(device, pipelines, limited, [one], [preset], seed + index);
        return reports.map((report) => ({ ...report, title: `gradients of ${report.title}` }));
      },
    };
  });
}

function compile({ pipelines }: Lab, plans: readonly Plan[]): void {
  for (const { dispatch } of plans.flatMap(({ steps }) => steps)) {
    pipelines.pipeline(dispatch).catch(() => undefined); // Told when the case runs.
  }
}

/** Seconds that a case may take, and the pipelines that it needs and that are not compiled yet. */
function weigh(
  one: Case, plans: readonly Plan[], { kind }: DeviceProfile, compiled: ReadonlySet<string>,
): { readonly weight: number; readonly names: readonly string[] } {
  const names = new Set(plans.flatMap(({ steps }) => steps.map(({ dispatch: { name } }) => name)));
  const unknown = [...names].filter((name) => !compiled.has(name));
  const geometry = geometryOf(one);
  const { KH, KW, K, O } = geometry;
  const multiplyAdds = elements(outputShape(geometry)) / Math.max(1, O) * K * (KH * KW + O);
  return { weight: OVERHEAD + unknown.length * COMPILE[kind] + multiplyAdds * MULTIPLY_ADD, names: unknown };
}

/** All of them in an order that the seed decides. */
export function shuffled<T>(values: readonly T[], seed: number): readonly T[] {
  const next = random(seed);
  return values.map((value) => ({ value, key: next() })).toSorted((a, b) => a.key - b.key).map(({ value }) => value);
}
