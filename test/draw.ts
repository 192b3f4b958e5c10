import { type PresetName, presetsOfKind } from '../src/plan/presets.js';

/**
 * Which presets run which case where. Compiling takes most of the tests' time, so that the cases are shared out:
 *
 * - Chromium: half of the cases of both passes, of these two thirds by quads, a third by another preset.
 * - Node has Chromium's compiler and its driver: an eighth by quads.
 * - Firefox and Deno have the same compiler and the same driver: a quarter of the cases, each by registers in one of
 *   them, by the kernels of GPUs in the other, and in one of them in float16 too.
 *
 * The seed draws the shares and the preset. `CASES=all` takes all of everything.
 */

/** Whether nothing is drawn. */
export const all = process.env['CASES'] === 'all';

/** Presets that `PRESETS` names, which then run every case. */
const named = process.env['PRESETS']?.split(',') as readonly PresetName[] | undefined;

/** Presets of GPUs, or those that have all kernels between them, without the tiles that take longest to compile. */
export const GPU_PRESETS: readonly PresetName[] = named
  ?? (all ? presetsOfKind('gpu') : ['gpu', 'gpuFewPixels', 'gpuFewChannels', 'gpuRows']);

/** One of some values. */
export const drawnFrom = <T>(values: readonly T[], number: number): readonly T[] =>
  (all ? values : [values[number % values.length]!]);

/** One of each `share` values. */
export const drawnShare = <T>(values: readonly T[], share: number, seed: number): readonly T[] =>
  values.filter((_, index) => all || (seed + index) % share === 0);

/** These compute for seconds: in Chromium or in Firefox. */
export const LONG = /^(an input of 331 MB|the largest error)/;

/**
 * Who runs which scenario. Node and Chromium have the same compiler and driver, and so have Firefox and Deno: of either
 * pair one runs it.
 */
export function scenariosOf(
  where: 'Chromium' | 'Node' | 'Firefox' | 'Deno', scenarios: readonly string[], seed: number,
): readonly string[] {
  const isLong = (scenario: string): boolean => LONG.test(scenario);
  const short = scenarios.filter((scenario) => !isLong(scenario));
  const long = scenarios.filter((scenario, index) =>
    isLong(scenario) && (all || ((seed + index) % 2 === 0) === (where === 'Chromium')));
  const [inNode, inDeno] = [drawnShare(short, 4, seed), drawnShare(short, 2, seed)];
  const others = (there: readonly string[]): readonly string[] =>
    [...(all ? short : short.filter((scenario) => !there.includes(scenario))), ...long];
  switch (where) {
    case 'Chromium': return others(inNode);
    case 'Node': return inNode;
    case 'Firefox': return others(inDeno);
    case 'Deno': return inDeno;
  }
}

/** The presets of the case with this index. */
export function presetsOf(
  where: 'Chromium' | 'Node' | 'Firefox' | 'Deno', index: number, seed: number,
): readonly PresetName[] {
  if (named) return named;
  const others: readonly PresetName[] = ['lightRegisters', ...GPU_PRESETS];
  const number = seed + index;
  const within = (share: number): boolean => all || number % share === 0;
  switch (where) {
    case 'Chromium':
      if (all) return ['lightQuads', ...others];
      return within(3) ? drawnFrom(others, Math.floor(number / 3)) : ['lightQuads'];
    case 'Node': return within(8) ? ['lightQuads'] : [];
    case 'Firefox': case 'Deno':
      if (all) return others;
      if (number % 4 > 0) return [];
      return (number % 16 < 8) === (where === 'Firefox') ? ['lightRegisters']
        : drawnFrom(GPU_PRESETS, Math.floor(number / 16));
  }
}

/** Whether the case with this index runs in float16 too, where there is some. */
export const runsHalf = (where: string, index: number): boolean => all || (where === 'Firefox') === (index % 8 < 4);
