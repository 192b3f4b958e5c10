import { describe, expect, test } from 'vitest';
import type { Dispatch } from '../src/plan/dispatch.js';
import { type DeviceProfile, sizeOf } from '../src/kernels/profile.js';
import { candidatesFor } from '../src/plan/choice.js';
import { type PresetName, presets, presetsOfKind } from '../src/plan/presets.js';
import { type Case, geometryOf } from './cases.js';
import { type KnownReport, knownReports } from './check/known.js';
import type { TimedLayer } from './check/report.js';
import { defaultProfile, planOf } from './plans.js';

/**
 * What plans choose, held against what devices measured: the reports in `test/bench/reports`.
 *
 * Of prototypes, as the H100's: a chosen tile takes at most a tenth longer than the best prototype of its kind, of
 * those with their extents in uniforms. A kernel is taken for the prototype that its tile is, whether or not its slices
 * shuffle. Of this library, as the check of a device writes them: the model's choice against all that tuning tried.
 */

type Kind = 'dw' | 'reg' | 'tile' | 'fused';
/** A layer, and the device that measured its prototypes. */
interface Row extends TimedLayer {
  readonly profile: DeviceProfile;
  readonly adapter: string;
  /** Its report. */
  readonly device: string;
}

/** The device that was measured. */
function profileOf({ device: { kind, name, features, limits } }: KnownReport): DeviceProfile {
  if (kind === 'unknown') throw new Error('a report without a device has no layers');
  return {
    kind, ...sizeOf(name), subgroups: features.includes('subgroups'), shaderF16: features.includes('shader-f16'),
    limits: { ...defaultProfile.limits, ...limits },
  };
}

const rowsOf = (report: KnownReport): readonly Row[] =>
  report.rows.map((row) => (
    { ...row, profile: profileOf(report), adapter: report.device.name, device: report.file }));
const reports = knownReports();
const rows = reports.flatMap(rowsOf).filter(({ prototypes }) => prototypes);

const caseOf = ({ workload, layer }: TimedLayer): Case => ({ name: workload, ...layer });

/** What the prototypes call a kernel's tile. With rates, fused ones were measured with runs of one pixel only. */
function prototypeOf({ kernel, constants: c, params }: Dispatch): string {
  const sums = `R${c['TILE_PIXELS']} C${c['COLUMNS']} LX${c['GROUP_X']} LY${c['GROUP_Y']}`;
  const names: Readonly<Record<string, string>> = {
    'depthwise-block': `dw TW${c['TILE_W']} TH${c['TILE_H']} WG${c['WORKGROUP']}`,
    'pointwise-split': `reg ${sums} S${c['SLICES']}`,
    'pointwise-tiled': `tile ${sums} KC${c['CHUNK']}${c['AHEAD'] ? ' PF1' : ''}`,
    'fused-tiled': `fused ${sums} S${c['SLICES']} KC${c['CHUNK']} TW${Number(params['RW']) > 1 ? 1 : c['TILE_W']} BS0`,
  };
  return names[kernel]!;
}

const timesOf = ({ prototypes = {} }: Row, ...kinds: readonly Kind[]): readonly number[] =>
  Object.entries(prototypes).flatMap(([name, time]) => (kinds.includes(name.split(' ')[0] as Kind) ? [time] : []));
const bestOf = (row: Row, ...kinds: readonly Kind[]): number => Math.min(...timesOf(row, ...kinds));
const dispatchesOf = (row: Row, strategy: 'fused' | 'two-pass', preset?: PresetName): readonly Dispatch[] =>
  planOf(caseOf(row), row.profile, strategy, preset).steps.map(({ dispatch }) => dispatch);
const chosenTime = (row: Row, strategy: 'fused' | 'two-pass'): number =>
  dispatchesOf(row, strategy).reduce((sum, dispatch) => sum + row.prototypes![prototypeOf(dispatch)]!, 0);

const named = (some: readonly Row[]) => some.map((row) => [`${row.workload} (${row.device})`, row] as const);
const measured = (kind: Kind) =>
  named(rows.filter((row) => timesOf(row, kind).length > 0 && !row.lowClock?.includes(kind)));

/** The kernels of the passes, and the prototypes that do what each does. */
const KERNELS: readonly {
  readonly pass: string; readonly strategy: 'fused' | 'two-pass'; readonly step: number;
  /** The one whose figures say whether a row has been measured, and all. */
  readonly kind: Kind; readonly kinds: readonly Kind[];
  /** Measured tiles in the presets. */
  readonly tiles: number;
}[] = [
  { pass: 'depthwise', strategy: 'two-pass', step: 0, kind: 'dw', kinds: ['dw'], tiles: 3 },
  { pass: 'pointwise', strategy: 'two-pass', step: 1, kind: 'tile', kinds: ['reg', 'tile'], tiles: 4 },
  { pass: 'fused', strategy: 'fused', step: 0, kind: 'fused', kinds: ['fused'], tiles: 8 },
];

/** Invocations of a workgroup of a prototype, and bytes of its memory. */
function needsOf(prototype: string): { readonly invocations: number; readonly bytes: number } {
  const [kind, ...fields] = prototype.split(' ');
  const tile = Object.fromEntries(fields.map((field) => {
    const [, name, value] = /^([A-Z]+)(\d+)$/.exec(field)!;
    return [name!, Number(value)];
  }));
  const { R = 1, C = 1, LX = 1, LY = 1, S = 1, KC = 0, WG = 0 } = tile;
  const handed = 16 * (S >> 1) * LX * LY * R * C; // Where the round was.
  const round = { dw: 0, reg: 0, tile: 4 * KC * (R * LY + 4 * C * LX), fused: 4 * KC * R * LY }[kind as Kind];
  return { invocations: WG || LX * LY * S, bytes: Math.max(round, handed) };
}

/** A row at WebGPU's default limits and without features, with the prototypes within them. */
function atDefaultLimits(row: Row): Row {
  const { limits } = defaultProfile;
  return {
    ...row,
    profile: { ...row.profile, limits, subgroups: false, shaderF16: false },
    prototypes: Object.fromEntries(Object.entries(row.prototypes!).filter(([name]) => {
      const { invocations, bytes } = needsOf(name);
      return invocations <= limits.maxComputeInvocationsPerWorkgroup && bytes <= limits.maxComputeWorkgroupStorageSize;
    })),
  };
}

const both = measured('fused').filter(([, row]) => timesOf(row, 'dw').length > 0 && !row.lowClock);

describe.each<[string, (row: Row) => Row]>([
  ["the library's own device", (row) => row], ['a device with the default limits', atDefaultLimits],
])('on %s', (_, on) => {
  for (const { pass, strategy, step, kind, kinds } of KERNELS) {
    test.each(measured(kind))(`the ${pass} tile takes at most 1.10 of the best prototype: %s`, (_name, given) => {
      const row = on(given);
      const name = prototypeOf(dispatchesOf(row, strategy)[step]!);
      expect(row.prototypes![name], name).toBeLessThanOrEqual(1.1 * bestOf(row, ...kinds));
    });
  }
  test.each(both)('one kernel or two, whichever takes at most 1.10 of the better: %s', (_name, given) => {
    const row = on(given);
    const times = { 'fused': bestOf(row, 'fused'), 'two-pass': bestOf(row, 'dw') + bestOf(row, 'reg', 'tile') };
    const { strategy } = candidatesFor(geometryOf(caseOf(row)), row.profile)[0]!;
    expect(times[strategy as 'fused']).toBeLessThanOrEqual(1.1 * Math.min(times.fused, times['two-pass']));
  });
  test.each(both)('and its kernels take at most 1.10 of the best prototypes in all: %s', (_name, given) => {
    const row = on(given);
    const { strategy } = candidatesFor(geometryOf(caseOf(row)), row.profile)[0]!;
    const best = Math.min(bestOf(row, 'fused'), bestOf(row, 'dw') + bestOf(row, 'reg', 'tile'));
    expect(chosenTime(row, strategy as 'fused')).toBeLessThanOrEqual(1.1 * best);
  });
});

test('both one kernel and two are chosen', () => {
  const chosen = both.map(([, row]) => candidatesFor(geometryOf(caseOf(row)), row.profile)[0]!.strategy);
  expect(new Set(chosen).size).toBe(2);
});

/**
 * Fewer of them would not do: for each there is a row in which only this one takes at most 1.10 of the best prototype.
 * Nor would fewer others: test/bench/README.md.
 */
describe('every measured tile of the presets is the only good one somewhere', () => {
  const timed = presetsOfKind('gpu').filter((name) => !presets[name].untimed);
  test.each(KERNELS)('$pass', ({ strategy, step, kinds, tiles: count }) => {
    const tiles = new Set<string>();
    const needed = new Set<string>();
    for (const row of rows) {
      if (timesOf(row, ...kinds).length === 0 || kinds.some((kind) => row.lowClock?.includes(kind))) continue;
      if (row.layer.rate !== 1) continue; // Two tiles have one prototype there.
      const names = timed.map((preset) => prototypeOf(dispatchesOf(row, strategy, preset)[step]!));
      const times = new Map(names.flatMap((name) => (row.prototypes![name] ? [[name, row.prototypes![name]]] : [])));
      const good = [...times].filter(([, time]) => time <= 1.1 * bestOf(row, ...kinds));
      for (const name of times.keys()) tiles.add(name);
      if (good.length === 1) needed.add(good[0]![0]);
    }
    expect([...needed].sort()).toEqual([...tiles].sort());
    expect(needed.size).toBe(count);
  });
});

describe('at least 0.6 of the GFLOP/s of the plain layer nearest in size', () => {
  const operationsOf = (one: Case): number => {
    const { N, OH, OW, K, KH, KW, O } = geometryOf(one);
    return 2 * N * OH * OW * K * (KH * KW + O);
  };

  /** Of the two passes that are chosen. */
  const measuredSpeed = (workload: string): number => {
    const row = rows.find((one) => one.workload === `${workload}, batch 32`)!;
    return operationsOf(caseOf(row)) / chosenTime(row, 'two-pass');
  };
  test.each([
    ['56x56 64->64, 5x5', '56x56 128->128'], ['28x28 256->256, rate 2', '28x28 256->256'],
  ])('measured: %s', (workload, plain) => {
    expect(measuredSpeed(workload)).toBeGreaterThanOrEqual(0.6 * measuredSpeed(plain));
  });

  /** Of what is chosen, by the model. */
  const speed = (one: Case): number =>
    operationsOf(one) / candidatesFor(geometryOf(one), rows[0]!.profile)[0]!.time;
  type Layer = readonly [size: number, C: number, O: number, taps?: number, M?: number, rate?: number];
  const layerOf = ([size, C, O, taps = 3, M = 1, rate = 1]: Layer, N: number): Case =>
    ({ name: 'layer', input: [N, size, size, C], filter: [taps, taps, M], O, padding: 'SAME', rate });
  test.each<[string, Layer, Layer]>([
    ['5x5', [56, 64, 64, 5], [56, 64, 64]], ['5x5, late', [14, 512, 512, 5], [14, 512, 512]],
    ['7x7', [56, 64, 64, 7], [56, 64, 64]], ['7x7, late', [14, 512, 512, 7], [14, 512, 512]],
    ['multiplier 2', [56, 32, 128, 3, 2], [56, 64, 128]], ['multiplier 2, late', [14, 256, 512, 3, 2], [14, 512, 512]],
    ['rate 2', [28, 256, 256, 3, 1, 2], [28, 256, 256]], ['rate 2, late', [14, 512, 512, 3, 1, 2], [14, 512, 512]],
  ])('by the model: %s', (_, layer, plain) => {
    for (const N of [1, 32]) {
      const share = speed(layerOf(layer, N)) / speed(layerOf(plain, N));
      expect(share, `batch ${N}`).toBeGreaterThanOrEqual(0.6);
    }
  });
});

/**
 * Of this library, what tuning tried: how many times as long as the best of it the model's choice may take. As for
 * prototypes 1.10, and what a median may stray: on cores 0.9 / sqrt(samples), on GPUs 0.03. By these a contest gives
 * candidates up, and takes others to be equal (`DOUBT` and `EQUAL` in src/contest.ts).
 */
const mostOf = ({ kind }: DeviceProfile, samples: number): number =>
  1.1 + (kind === 'gpu' ? 0.03 : 0.9 / Math.sqrt(samples));
const tuned = reports.flatMap(rowsOf).filter(({ tried }) => tried);

/** The GPUs that the model's constants were measured on. Those of others are guessed, and may be wrong. */
const MEASURED = /h100/i;

describe('the model against what tuning tried', () => {
  const key = ({ strategy, presets }: { readonly strategy: string; readonly presets: readonly string[] }): string =>
    `${strategy} ${presets.join(' ')}`;
  /** The trial of what the model chooses, unless the model has changed since that report. */
  const ownTrial = (row: Row) => {
    const chosen = key(candidatesFor(geometryOf(caseOf(row)), row.profile)[0]!);
    return row.tried!.find((trial) => key(trial) === chosen);
  };
  test.for(named(tuned))('%s', ([name, row], { skip }) => {
    const own = ownTrial(row);
    const tell = (why: string): never => {
      console.log(`NOT HELD on ${name}: ${why}`);
      return skip(why);
    };
    if (!own) return tell('the model has changed since, and what it chooses was not tried there');
    const times = own.milliseconds / Math.min(...row.tried!.map(({ milliseconds }) => milliseconds));
    const most = mostOf(row.profile, own.samples);
    const guessed = row.profile.kind === 'gpu' && !MEASURED.test(row.adapter);
    if (guessed && times > most) {
      return tell(`the guessed model is wrong: ${key(own)} takes ${times.toFixed(2)} times as long as the best`);
    }
    expect(times, key(own)).toBeLessThanOrEqual(most);
  });
  test('there is some of two devices at least', () => {
    expect(new Set(tuned.filter(ownTrial).map(({ device }) => device)).size).toBeGreaterThan(1);
  });
});
