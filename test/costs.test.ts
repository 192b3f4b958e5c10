import { expect, test } from 'vitest';
import { candidatesFor } from '../src/plan/choice.js';
import { type Case, geometryOf } from './cases.js';
import { defaultProfile } from './plans.js';

/** What the cost model chooses for the layers that the benchmark's notes report, with the ratio that they reckon. */

type More = Partial<Case> & { readonly taps?: number };
type Layer = readonly [size: number, C: number, O: number, reckoned: number, more?: More];
const layers: readonly Layer[] = [
  [112, 32, 64, 1.34], [112, 32, 32, 1.47], [112, 64, 32, 1.52], [112, 16, 64, 1.27], [56, 64, 64, 1.4],
  [56, 32, 96, 1.27], [56, 96, 48, 1.19], [56, 128, 64, 1.18], [56, 128, 32, 1.36], [56, 256, 16, 1.5],
  [56, 64, 64, 2.14, { taps: 9 }], [56, 64, 128, 1.47, { taps: 9 }], [56, 32, 128, 0.93, { filter: [3, 3, 2] }],
  [112, 64, 128, 0.86, { strides: 2 }], [56, 64, 64, 1.06, { taps: 5 }], [56, 64, 64, 0.88, { taps: 7 }],
  [56, 128, 128, 0.85], [28, 128, 128, 0.85], [28, 256, 256, 0.74], [14, 512, 512, 0.66],
  [112, 32, 32, 1.14, { taps: 7 }], [28, 256, 64, 1.23], [128, 3, 3, 4.93, { taps: 9 }],
  // From the expanded channels of MobileNetV2's and EfficientNet-B0's blocks, with the ratio that was measured.
  [112, 96, 24, 0.8, { strides: 2 }], [56, 144, 24, 1.09], [7, 960, 160, 0.6], [28, 240, 40, 0.72, { taps: 5 }],
  [14, 480, 80, 0.62],
  // Light ones, with the ratio that was measured.
  [128, 16, 4, 1.47], [64, 16, 16, 1.76], [32, 24, 16, 1.51], [56, 24, 24, 1.26], [28, 72, 24, 1.47],
  [32, 88, 24, 1.18], [28, 32, 64, 0.89],
]; // 112x112 64->64 with stride 2 is left out: both take the same.

const named = layers.map((layer) => {
  const [size, C, O, , { taps = 3, ...more } = {}] = layer;
  return [`${size}x${size} ${C}->${O}, ${taps}x${taps}${JSON.stringify(more)}`, layer] as const;
});

test.each(named)('%s', (_, [size, C, O, reckoned, { taps = 3, ...more } = {}]) => {
  const filter = [taps, taps, 1] as const;
  const geometry = geometryOf({ name: 'layer', input: [1, size, size, C], filter, O, padding: 'SAME', ...more });
  expect(candidatesFor(geometry, defaultProfile)[0]!.strategy).toBe(reckoned > 1 ? 'fused' : 'two-pass');
});
