import type { PlannedStrategy } from '../arguments/descriptor.js';
import { elements, type Geometry, outputShape } from '../arguments/geometry.js';
import { gpuTime } from '../kernels/gpu-time.js';
import type { DeviceProfile } from '../kernels/profile.js';
import { firstFitting, type KernelChoice, type PresetName, presets, presetsOfKind } from './presets.js';

/** What a plan decides, and measuring can decide instead. */
export interface Choice {
  readonly strategy: PlannedStrategy;
  /** From which preset each pass has its kernel, in the order of the passes; where there is one, it is for all. */
  readonly presets: readonly PresetName[];
}
/** A choice, and how long the model says that it takes: in microseconds on a GPU, 0 where it only says an order. */
export interface Candidate extends Choice { readonly time: number }

/** The passes of each strategy, in their order. */
export const PASSES = {
  'fused': ['fused'], 'two-pass': ['depthwise', 'pointwise'], 'depthwise': ['depthwise'], 'pointwise': ['pointwise'],
} as const;
type Pass = (typeof PASSES)[PlannedStrategy][number];

/** The passes of a choice, each with its kernel. */
export const kernelsOf = (
  { strategy, presets: names }: Choice, geometry: Geometry, profile: DeviceProfile,
): readonly KernelChoice[] =>
  PASSES[strategy].map((pass, index) =>
    firstFitting(presets[names[index] ?? names[0]!][pass], geometry, profile));

/**
 * All choices for a geometry, the best first. On a GPU the model's times decide, on software adapters `ordered`.
 * `names` restricts the presets to one for each pass.
 */
export function candidatesFor(
  geometry: Geometry, profile: DeviceProfile, names?: readonly PresetName[],
): readonly Candidate[] {
  return profile.kind === 'gpu' ? timed(geometry, profile, names) : ordered(geometry, profile, names);
}

/** Kernels whose times differ by less are equal to the model: the first preset of the table is taken. */
const EQUAL = 1.03;

function timed(geometry: Geometry, profile: DeviceProfile, names?: readonly PresetName[]): readonly Candidate[] {
  const suited = names ? undefined : presetsOfKind('gpu').filter((name) => presets[name].suits?.(geometry) ?? true);
  /** The kernels of a pass with their times, the one that is taken first. */
  const kernelsOfPass = (pass: Pass, index: number): readonly Timed[] => {
    const all = (suited ?? [names![index] ?? names![0]!]).map((name) => {
      const { kernel, tile } = firstFitting(presets[name][pass], geometry, profile);
      const cut = kernel.cut(geometry, tile);
      return { name, kernel, tile, time: gpuTime(cut, cut.effort!, profile) };
    });
    const different = all.filter(({ kernel, tile }, at) => // Presets share kernels.
      all.findIndex((one) => one.kernel === kernel && one.tile === tile) === at);
    const eligible = different.filter(({ name }) => names ?? !presets[name].untimed);
    const best = Math.min(...eligible.map(({ time }) => time));
    const taken = eligible.find(({ time }) => time <= EQUAL * best)!;
    return [taken, ...different.filter((one) => one !== taken)];
  };
  const { passes } = geometry;
  if (passes !== 'both') {
    return kernelsOfPass(passes, 0).map(({ name, time }) => ({ strategy: passes, presets: [name], time }));
  }
  const [depthwise, pointwise] = PASSES['two-pass'].map(kernelsOfPass) as [readonly Timed[], readonly Timed[]];
  const [fused, twoPass] = [
    kernelsOfPass('fused', 0).map(({ name, time }): Candidate => ({ strategy: 'fused', presets: [name], time })),
    depthwise.flatMap((first) => pointwise.map((second): Candidate =>
      ({ strategy: 'two-pass', presets: [first.name, second.name], time: first.time + second.time }))),
  ];
  const taken = fused[0]!.time <= twoPass[0]!.time ? fused[0]! : twoPass[0]!;
  return [taken, ...[...fused, ...twoPass].filter((one) => one !== taken).sort((a, b) => a.time - b.time)];
}

interface Timed { readonly name: PresetName; readonly time: number }

/**
 * The presets of a software adapter, for heavy and for light convolutions, by the strategy that takes less time and by
 * the other; then each pass by another preset, then all passes.
 */
function ordered(geometry: Geometry, profile: DeviceProfile, names?: readonly PresetName[]): readonly Candidate[] {
  const [heavy, light] = profile.subgroups ? ['quads', 'lightQuads'] as const
    : ['registers', 'lightRegisters'] as const;
  const [first, other]: readonly PresetName[] = isLight(geometry) ? [light, heavy] : [heavy, light];
  const { passes } = geometry;
  if (passes !== 'both') {
    return (names?.slice(0, 1) ?? [first!, other!]).map((name) => ({ strategy: passes, presets: [name], time: 0 }));
  }
  const ways: Readonly<Record<'fused' | 'two-pass', readonly (readonly PresetName[])[]>> = names
    ? { 'fused': [names.slice(0, 1)], 'two-pass': [names] }
    : {
      'fused': [[first!], [other!]],
      'two-pass': [[first!, first!], [first!, other!], [other!, first!], [other!, other!]],
    };
  const strategies = isQuickerFused(geometry, profile, ways.fused[0]![0]!)
    ? ['fused', 'two-pass'] as const : ['two-pass', 'fused'] as const;
  return ways['two-pass'].flatMap((_, rank) => strategies.flatMap((strategy) => {
    const way = ways[strategy][rank];
    return way ? [{ strategy, presets: way, time: 0 }] : [];
  }));
}

/** A convolution of fewer multiply-adds takes at most about 2 ms on SwiftShader: compiling for a second never pays. */
const LIGHT = 8e6;
const isLight = (geometry: Geometry): boolean => {
  const { passes, KH, KW, K } = geometry;
  return elements(outputShape(geometry)) * (passes === 'depthwise' ? KH * KW : K) < LIGHT;
};

/**
 * By what factor the fused kernel must cost less for a light convolution, whose costs say less. On SwiftShader two
 * passes took 1.04 to 1.8 times as long where the costs say 1.28 to 1.6, 0.7 to 1.4 times where they say 0.9 to 1.06.
 */
const CLEARLY = 1.25;

/**
 * Whether one kernel takes less time than two on a software adapter. The fused one computes the depthwise pass again
 * for every tile of output channels, but never stores its result or loads it.
 *
 * With subgroups all three kernels have costs, which count loads and stores; the costs decide. Without subgroups two
 * passes are taken, which compile faster.
 */
function isQuickerFused(geometry: Geometry, profile: DeviceProfile, preset: PresetName): boolean {
  // NaN where a kernel has no cost: then nothing is less.
  const costOf = (strategy: PlannedStrategy): number =>
    kernelsOf({ strategy, presets: [preset] }, geometry, profile)
      .reduce((sum, { kernel, tile }) => sum + (kernel.cut(geometry, tile).cost ?? NaN), 0);
  return costOf('fused') * (isLight(geometry) ? CLEARLY : 1) < costOf('two-pass');
}
