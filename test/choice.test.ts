import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Dispatch } from '../src/plan/dispatch.js';
import { type DeviceProfile, sizeOf } from '../src/kernels/profile.js';
import { candidatesFor } from '../src/plan/choice.js';
import { type Case, geometryOf } from './cases.js';
import { defaultProfile, planOf } from './plans.js';

/**
 * What plans choose on a GPU, held against what an H100 measured of prototypes: a chosen tile takes at most a tenth
 * longer than the best prototype of its kind, of those with their extents in uniforms. A kernel is taken for the
 * prototype that its tile is, whether or not its slices shuffle.
 */

type Kind = 'dw' | 'reg' | 'tile' | 'fused';
interface Row {
  readonly id: string;
  readonly batch: number;
  readonly shape: Readonly<Record<'N' | 'H' | 'W' | 'C' | 'O' | 'M' | 'kernel' | 'stride' | 'rate', number>>;
  /** Kinds of which it tells nothing: their first variants were measured at a low clock. */
  readonly lowClock?: readonly Kind[];
  /** By the prototype's name. */
  readonly us: Readonly<Record<string, number>>;
}
const { rows } = JSON.parse(
  readFileSync(new URL('bench/measured/h100.json', import.meta.url), 'utf8')
) as { rows: readonly Row[] };

/** The device that was measured. */
const profile: DeviceProfile = {
  ...defaultProfile, kind: 'gpu', ...sizeOf('nvidia nvidia-h100-80gb-hbm3 NVIDIA: 580.159.04'),
  limits: { ...defaultProfile.limits, maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupStorageSize: 49152 },
};

const caseOf = ({ id, batch, shape: { N, H, W, C, O, M, kernel, stride, rate } }: Row): Case =>
  ({
    name: `${id}, batch ${batch}`, input: [N, H, W, C], filter: [kernel, kernel, M], O, strides: stride, rate,
    padding: 'SAME',
  });

/** What the prototypes call a kernel's tile. With rates, fused ones were measured with runs of one pixel only. */
function prototypeOf({ kernel, constants: c, params }: Dispatch): string {
  const sums = `R${c['TILE_PIXELS']} C${c['COLUMNS']} LX${c['GROUP_X']} LY${c['GROUP_Y']}`;
  const names: Readonly<Record<string, string>> = {
    'depthwise': `dw TW${c['TILE_W']} TH${String(params['TILE_ROWS'])} WG${c['WORKGROUP']}`,
    'pointwise-split': `reg ${sums} S${c['SLICES']}`,
    'pointwise-tiled': `tile ${sums} KC${c['CHUNK']}${c['AHEAD'] ? ' PF1' : ''}`,
    'fused-tiled': `fused ${sums} S${c['SLICES']} KC${c['CHUNK']} TW${Number(params['RW']) > 1 ? 1 : c['TILE_W']} BS0`,
  };
  return names[kernel]!;
}

const timesOf = ({ us }: Row, ...kinds: readonly Kind[]): readonly number[] =>
  Object.entries(us).flatMap(([name, time]) => (kinds.includes(name.split(' ')[0] as Kind) ? [time] : []));
const bestOf = (row: Row, ...kinds: readonly Kind[]): number => Math.min(...timesOf(row, ...kinds));
const dispatchesOf = (row: Row, strategy: 'fused' | 'two-pass'): readonly Dispatch[] =>
  planOf(caseOf(row), profile, strategy).steps.map(({ dispatch }) => dispatch);

const named = (some: readonly Row[]) => some.map((row) => [`${row.id}, batch ${row.batch}`, row] as const);
const measured = (kind: Kind) =>
  named(rows.filter((row) => timesOf(row, kind).length > 0 && !row.lowClock?.includes(kind)));

describe('the chosen tile of a kernel takes at most 1.10 of the best prototype', () => {
  test.each(measured('dw'))('depthwise: %s', (_, row) => {
    const name = prototypeOf(dispatchesOf(row, 'two-pass')[0]!);
    expect(row.us[name], name).toBeLessThanOrEqual(1.1 * bestOf(row, 'dw'));
  });
  test.each(measured('tile'))('pointwise: %s', (_, row) => {
    const name = prototypeOf(dispatchesOf(row, 'two-pass')[1]!);
    expect(row.us[name], name).toBeLessThanOrEqual(1.1 * bestOf(row, 'reg', 'tile'));
  });
  test.each(measured('fused'))('fused: %s', (_, row) => {
    const name = prototypeOf(dispatchesOf(row, 'fused')[0]!);
    expect(row.us[name], name).toBeLessThanOrEqual(1.1 * bestOf(row, 'fused'));
  });
});

describe('what the model says', () => {
  const both = measured('fused').filter(([, row]) => timesOf(row, 'dw').length > 0 && !row.lowClock);
  test.each(both)('one kernel or two, whichever takes at most 1.10 of the better: %s', (_, row) => {
    const times = { 'fused': bestOf(row, 'fused'), 'two-pass': bestOf(row, 'dw') + bestOf(row, 'reg', 'tile') };
    const { strategy } = candidatesFor(geometryOf(caseOf(row)), profile)[0]!;
    expect(times[strategy as 'fused']).toBeLessThanOrEqual(1.1 * Math.min(times.fused, times['two-pass']));
  });
  test('both are chosen', () => {
    const chosen = both.map(([, row]) => candidatesFor(geometryOf(caseOf(row)), profile)[0]!.strategy);
    expect(new Set(chosen).size).toBe(2);
  });
});

describe('at least 0.6 of the GFLOP/s of the plain layer nearest in size', () => {
  /** Operations in a microsecond, of the two passes that are chosen. */
  const speedOf = (id: string): number => {
    const row = rows.find((one) => one.id === id && one.batch === 32)!;
    const { N, OH, OW, K, KH, KW, O } = geometryOf(caseOf(row));
    const us = dispatchesOf(row, 'two-pass').reduce((sum, dispatch) => sum + row.us[prototypeOf(dispatch)]!, 0);
    return 2 * N * OH * OW * K * (KH * KW + O) / us;
  };
  test.each([['5x5', 'k5', 'mn03'], ['rate 2', 'd2', 'mn05']])('%s', (_, id, plain) => {
    expect(speedOf(id)).toBeGreaterThanOrEqual(0.6 * speedOf(plain));
  });
});
