import fc from 'fast-check';
import { UnsupportedError } from '../../src/arguments/errors.js';
import type { DeviceProfile } from '../../src/kernels/profile.js';
import { type PresetName, presetsOfKind } from '../../src/plan/presets.js';
import type { Case } from '../cases.js';
import type { Report } from '../compare.js';
import { type Mutation, places, valueNames } from '../arguments.js';
import type { Implementation } from '../implementations.js';
import type { Environment } from '../page.js';
import { defaultProfile, planOf } from '../plans.js';
import { families, type Family } from './families.js';

/** Presets with every kernel between them, in tiles that compile fast. */
const PRESETS: readonly PresetName[] = ['lightQuads', 'lightRegisters', ...presetsOfKind('gpu')];

/** What was done so far, and what is wrong, each with the command that shows it again. */
export interface Tally {
  families: number;
  geometries: number;
  comparisons: number;
  /** Calls with something wrong in their arguments. */
  arguments: number;
  /** Geometries that the plan refuses because a row does not fit a binding. */
  refused: number;
  /** Largest error as a share of its tolerance, for values between -1 and 1. */
  worst: number;
  /** The same for values of all magnitudes: 1 where a subnormal number was taken for 0. */
  worstWide: number;
  /** The mean share of elements that are not compared, because they may overflow. */
  overflowing: number;
  readonly failures: string[];
}

export const emptyTally = (): Tally => ({
  families: 0, geometries: 0, comparisons: 0, arguments: 0, refused: 0, worst: 0, worstWide: 0, overflowing: 0,
  failures: [],
});

/** Draws the family of one seed, runs it in both strategies, and shrinks it to the smallest geometry that fails. */
export async function fuzzFamily(
  implementation: Implementation, environment: Environment, seed: number, tally: Tally,
): Promise<void> {
  const { features, adapterKind } = environment;
  const presets = PRESETS.filter((name) => features.includes('subgroups') || name !== 'lightQuads');
  const arbitrary = families(
    presets, features.includes('shader-f16') ? ['f32', 'f16'] : ['f32'], adapterKind === 'software');
  let shrinking = false;
  const property = fc.asyncProperty(arbitrary, async (family) => {
    const reports = await check(implementation, environment, family, shrinking ? emptyTally() : tally);
    const failed = reports.find(({ failure }) => failure);
    if (!failed) return;
    shrinking = true;
    throw new Error(`${failed.title} ${failed.failure}`);
  });
  const result = await fc.check(property, { seed, numRuns: 1 });
  tally.families++;
  if (!result.failed) return;
  const [family] = result.counterexample ?? [];
  tally.failures.push(`${seed}: ${String(result.errorInstance)} with limits ${JSON.stringify(family?.limits)}`);
}

async function check(
  implementation: Implementation, environment: Environment, { preset, limits, cases }: Family, tally: Tally,
): Promise<Report[]> {
  const possible = limits.maxStorageBufferBindingSize === undefined
    ? cases
    : cases.filter((one) => fits(one, limits, preset, environment));
  tally.refused += cases.length - possible.length;
  tally.geometries += possible.length;
  if (possible.length === 0) return [];
  const reports = await implementation.evaluate('checkKernels', possible, [preset], 0, limits);
  for (const { worst = 0, overflowing = 0 } of reports) {
    tally.comparisons++;
    if (possible[0]?.exponents) tally.worstWide = Math.max(tally.worstWide, worst);
    else tally.worst = Math.max(tally.worst, worst);
    tally.overflowing += (overflowing - tally.overflowing) / tally.comparisons;
  }
  return reports;
}

/** Draws calls with something wrong in their arguments, each of which must be refused as it should be. */
export async function fuzzArguments(
  implementation: Implementation, seed: number, count: number, tally: Tally,
): Promise<void> {
  const mutation = fc.constantFrom(...Object.keys(places) as Mutation['call'][]).chain((call) =>
    fc.record(
      { call: fc.constant(call), path: fc.constantFrom(...places[call]), value: fc.constantFrom(...valueNames) },
      { noNullPrototype: true }));
  const drawn = fc.sample(mutation, { seed, numRuns: count });
  const failures = await implementation.evaluate('checkArguments', drawn);
  tally.arguments += drawn.length;
  tally.failures.push(...failures.map((failure) => `${seed}: ${failure}`));
}

/** Whether both strategies can do a case within the limits. */
function fits(
  one: Case, limits: Family['limits'], preset: PresetName, { features, adapterKind }: Environment,
): boolean {
  const profile: DeviceProfile = {
    ...defaultProfile, kind: adapterKind === 'gpu' ? 'gpu' : 'software', subgroups: features.includes('subgroups'),
    shaderF16: features.includes('shader-f16'), limits: { ...defaultProfile.limits, ...limits },
  };
  try {
    for (const strategy of ['fused', 'two-pass'] as const) planOf(one, profile, strategy, preset);
    return true;
  } catch (error) {
    if (error instanceof UnsupportedError) return false;
    throw error;
  }
}
