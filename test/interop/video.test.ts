import { mkdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { close, evaluate, open, type Opened, shows } from './page.js';
import type { Comparison, Counts } from './video-check.js';

const seed = 1 + Math.floor(Math.random() * 2 ** 31);
let opened: Opened;

beforeAll(async () => {
  mkdirSync('output', { recursive: true });
  opened = await open('video');
});
afterAll(() => close(opened));

test('the example filters a playing video', async () => {
  await shows(opened, '#status', /320×240, \d\d+ frames/);
});

const message = (text: string) => opened.page.waitForFunction((expected) =>
  document.querySelector('#message')!.textContent === expected, { timeout: 60_000 }, text);

test('a looping file goes on', async () => {
  await evaluate(opened, "chooseFile('loop.webm', checks.recordPictures(160, 120))");
  await shows(opened, '#status', /160×120/);
  await evaluate(opened, 'loops(3)');
  const { frames } = await evaluate<Counts>(opened, 'counts()');
  await shows(opened, '#status', new RegExp(`160×120, (?!${frames} )\\d+ frames`));
  expect(await evaluate(opened, 'counts()')).toMatchObject({ message: '' });
});

test.each(['TypeError', 'OperationError'])('frames that cannot be copied, by a %s, are skipped', async (name) => {
  const before = await evaluate<Counts>(opened, 'counts()');
  await evaluate(opened, `copyNothing(3, '${name}')`);
  await shows(opened, '#status', new RegExp(`, ${before.skipped + 3} skipped \\(.*no copy`));
  await shows(opened, '#status', new RegExp(`, ${before.skipped + 3} skipped$`));
  expect((await evaluate<Counts>(opened, 'counts()')).frames).toBeGreaterThan(before.frames);
});

test('a video whose size changes midway is filtered in its new size', async () => {
  await evaluate(opened, 'useWebcam(checks.changingCamera())');
  await shows(opened, '#status', /^120×90, /);
  await shows(opened, '#status', /^90×120, /);
  expect(await evaluate(opened, 'counts()')).toMatchObject({ message: '' });
});

// The camera of the test before is on.
test('a webcam that ends makes room for the animation, one that is refused for nothing', async () => {
  await evaluate(opened, 'endWebcam()');
  await message('The webcam has ended.');
  await shows(opened, '#status', /^320×240, /);
  await evaluate(opened, "useWebcam(Promise.reject(new DOMException('Permission denied', 'NotAllowedError')))");
  await message('The webcam cannot be used: NotAllowedError: Permission denied');
  const { frames } = await evaluate<Counts>(opened, 'counts()');
  await shows(opened, '#status', new RegExp(`^320×240, (?!${frames} )\\d+ frames`));
});

test('a file without pictures and one that is no video are told, and the animation goes on', async () => {
  await evaluate(opened, "chooseFile('song.webm', checks.recordSound())");
  await message('song.webm has no pictures.');
  await evaluate(opened, "chooseFile('text.mp4', new Blob(['no video'], { type: 'video/mp4' }))");
  await message('text.mp4 cannot be played by this browser.');
  const { frames } = await evaluate<Counts>(opened, 'counts()');
  await shows(opened, '#status', new RegExp(`^320×240, (?!${frames} )\\d+ frames`));
});

test('a device that is lost is told, and trying again works', async () => {
  const { skipped } = await evaluate<Counts>(opened, 'counts()');
  await evaluate(opened, 'loseDevice()');
  const alert = await opened.page.waitForSelector('[role=alert]', { timeout: 60_000 });
  expect(await alert!.$$eval('h2, p, button', (parts) => parts.map(({ textContent }) => textContent))).toEqual(
    ['The GPU went away', 'The GPU device was lost (destroyed): Device was destroyed.', 'Try again']);
  expect((await evaluate<Counts>(opened, 'counts()')).skipped).toBe(skipped); // No fault of the frames.
  await opened.page.screenshot({ path: 'output/example-lost.png' });
  await Promise.all([opened.page.waitForNavigation(), opened.page.click('aria/Try again[role="button"]')]);
  await shows(opened, '#status', /320×240, \d\d+ frames/);
});

// The canvas rounds to whole levels, so exact sources differ by half a level, and a little for float32.
test.each(['canvas', 'ImageBitmap', 'VideoFrame'])('%s to canvas equals the reference', async (kind) => {
  const { largest, fromPicture } = await evaluate<Comparison>(opened, `checkSource('${kind}', ${seed})`);
  expect(largest, `seed ${seed}`).toBeLessThanOrEqual(0.51);
  expect(fromPicture).toBeGreaterThan(50);
});

// A 2D canvas, which the reference reads, and a texture may round the video's colours differently: by one level, of
// which the filter makes at most the sum of its absolute taps, (8 + 8) * 1.5 = 24.
test('video to canvas equals the reference', async () => {
  const { largest, fromPicture } = await evaluate<Comparison>(opened, 'checkVideo()');
  expect(largest).toBeLessThanOrEqual(24.5);
  expect(fromPicture).toBeGreaterThan(50);
});

test('a browser that copies no videos draws them', async () => {
  await evaluate(opened, 'copyNoVideos()');
  expect((await evaluate<Comparison>(opened, `checkSource('VideoFrame', ${seed})`)).largest).toBeLessThanOrEqual(0.51);
});
