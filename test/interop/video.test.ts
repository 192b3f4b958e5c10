import { afterAll, beforeAll, expect, test } from 'vitest';
import { close, evaluate, open, type Opened, shows } from './page.js';
import type { Comparison } from './video-check.js';

const seed = 1 + Math.floor(Math.random() * 2 ** 31);
let opened: Opened;

beforeAll(async () => {
  opened = await open('video');
});
afterAll(() => close(opened));

test('the example filters a playing video', async () => {
  await shows(opened, '#status', /320×240, \d\d+ frames/);
});

// The canvas rounds to whole levels, so exact sources differ by half a level, and a little for float32.
test.each(['canvas', 'ImageBitmap', 'VideoFrame'])('%s to canvas equals the reference', async (kind) => {
  const { largest, fromPicture } = await evaluate<Comparison>(opened, `checkSource('${kind}', ${seed})`);
  expect(largest, `seed ${seed}`).toBeLessThanOrEqual(0.51);
  expect(fromPicture).toBeGreaterThan(50);
});

// A 2D canvas, which the reference reads, and a texture may round the video's colours differently: by one level, of which the
// filter makes at most the sum of its absolute taps, (8 + 8) * 1.5 = 24.
test('video to canvas equals the reference', async () => {
  const { largest, fromPicture } = await evaluate<Comparison>(opened, 'checkVideo()');
  expect(largest).toBeLessThanOrEqual(24.5);
  expect(fromPicture).toBeGreaterThan(50);
});

test('a browser that copies no videos draws them', async () => {
  await evaluate(opened, 'copyNoVideos()');
  expect((await evaluate<Comparison>(opened, `checkSource('VideoFrame', ${seed})`)).largest).toBeLessThanOrEqual(0.51);
});
