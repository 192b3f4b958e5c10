import { expect, test } from 'vitest';
import type { Dispatch } from '../src/plan/dispatch.js';
import type { Case } from './cases.js';
import { defaultProfile, planOf } from './plans.js';

/** How often fused kernels load an input element, counted as their loops go, of one pack of channels. */

const profile = { ...defaultProfile, kind: 'gpu' } as const;
const layerOf = (C: number): Case =>
  ({ name: 'layer', input: [1, 448, 448, C], filter: [3, 3, 1], O: 64, padding: 'SAME' });
const dispatchOf = (C: number, preset: 'gpuRows' | 'gpuManyPixels'): Dispatch =>
  planOf(layerOf(C), profile, 'fused', preset).steps[0]!.dispatch;

/** Of one workgroup of `fused-rows.wgsl` away from edges, for each of its outputs: loads, and different elements. */
function countRows({ constants, params }: Dispatch): { readonly loads: number; readonly different: number } {
  const { TAPS_H = 0, TAPS_W = 0, FRESH = 0, TILE_W = 0, TILE_PIXELS = 0, GROUP_Y = 0 } = constants;
  const [LEAD, SPAN_W] = [Math.ceil(TAPS_H / FRESH) - 1, TILE_W - 1 + TAPS_W];
  const rows = Number(params['TILE_ROWS']);
  const width = TILE_PIXELS * GROUP_Y;
  let loads = 0;
  const different = new Set<string>();
  for (let run = 0; run < width / TILE_W; run++) for (let t = -LEAD; t < rows; t++) {
    for (let v = 0; v < FRESH; v++) for (let i = 0; i < SPAN_W; i++) {
      loads++;
      different.add(`${t + LEAD + v} ${run * TILE_W + i}`);
    }
  }
  // All that the outputs need is among it.
  for (let y = 0; y < rows + TAPS_H - 1; y++) for (let x = 0; x < width + 2; x++) {
    expect(different).toContain(`${y} ${x}`);
  }
  return { loads: loads / (rows * width), different: different.size / (rows * width) };
}

test.each([
  [32, 1.71, 1.18], [64, 1.71, 1.21], [128, 1.71, 1.29],
])('fused-rows, %i channels: for each output %f loads, of %f different elements', (C, loads, different) => {
  const dispatch = dispatchOf(C, 'gpuRows');
  expect(dispatch.kernel).toBe('fused-rows');
  const counted = countRows(dispatch);
  expect(counted.loads).toBeCloseTo(loads, 2);
  expect(counted.different).toBeCloseTo(different, 2);
});

test('fused-tiled loads each input element 4.5 times', () => {
  const { kernel, constants: { TAPS = 0, TILE_W = 1 } } = dispatchOf(32, 'gpuManyPixels');
  expect(kernel).toBe('fused-tiled');
  expect(TAPS * (TILE_W - 1 + TAPS) / TILE_W).toBe(4.5);
});
