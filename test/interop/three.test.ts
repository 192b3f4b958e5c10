import { mkdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { close, evaluate, open, type Opened } from './page.js';
import type { Comparison } from './three-check.js';

let opened: Opened;

beforeAll(async () => {
  opened = await open('three');
});
afterAll(() => close(opened));

// Both textures hold whole levels: the filtered one differs by half a level, and a little for float32. The canvas is
// rounded too, and by three.js's own sRGB function, which is not exact.
test('the filtered texture equals the reference, and three.js shows it', async () => {
  const { filtered, unfiltered, shown, flipped } = await evaluate<Comparison>(
    opened, `checkFrame(${Math.round(Math.random() * 1e5)})`);
  expect(filtered).toBeLessThanOrEqual(0.51);
  expect(unfiltered).toBeGreaterThan(50);
  expect(shown).toBeLessThanOrEqual(1);
  expect(flipped).toBeGreaterThan(50);
  mkdirSync('output', { recursive: true });
  await opened.page.screenshot({ path: 'output/example-three.png' });
});
