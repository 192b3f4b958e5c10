import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage, requestsOf } from './browser.js';

/** The first tab of the demo page. */

const errors: string[] = [];
let page: Page;

beforeAll(async () => {
  page = await openPage('/demo/');
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warn') errors.push(message.text());
  });
  await settled();
});
afterAll(() => page.close());

const settled = () => page.waitForSelector('#background:not([data-state=working])', { timeout: 60_000 });
const state = (wanted: string) => page.waitForSelector(`#background[data-state=${wanted}]`, { timeout: 60_000 });
const text = (selector: string) => page.$eval(selector, ({ textContent }) => textContent?.trim() ?? '');
const report = () => page.$eval('section#blur-report', ({ dataset }) => Object.fromEntries(Object.entries(dataset)));
const drawn = (what: string) => page.waitForSelector(`#blur-report[data-drawn="${what}"]`, { timeout: 60_000 });
const frames = async (count: number) => {
  const before = Number((await report())['frames'] ?? 0);
  await page.waitForFunction((least) =>
    Number(document.querySelector<HTMLElement>('section#blur-report')!.dataset['frames']) >= least,
  { timeout: 60_000 }, before + count);
};
const set = (id: string, value: string) => page.$eval(`input#${id}`, (input, to) => {
  input.value = to;
  input.dispatchEvent(new Event('input', { bubbles: true }));
}, value);

type Colour = [red: number, green: number, blue: number];

/** The canvas's colours at places from 0 to 1, and how much detail there is in the wall behind the people. */
const look = (places: readonly (readonly [x: number, y: number])[]): Promise<{ colours: Colour[]; detail: number }> =>
  page.evaluate((at) => {
    const { width, height } = document.querySelector<HTMLCanvasElement>('#blurred')!;
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
    context.drawImage(document.querySelector<HTMLCanvasElement>('#blurred')!, 0, 0);
    const colours = at.map(([x, y]) =>
      Array.from(context.getImageData(Math.floor(x * width), Math.floor(y * height), 1, 1).data).slice(0, 3) as Colour);
    const { data, width: columns } = context.getImageData(width / 20, height / 40, width / 4, height / 8);
    const isLast = (i: number): boolean => (i >> 2) % columns === columns - 1;
    const detail = data.reduce((sum, value, i) => sum + (isLast(i) ? 0 : (value - data[i + 4]!) ** 2), 0);
    return { colours, detail };
  }, places);

const FACE = [0.62, 0.24] as const;
const WALL = [0.2, 0.12] as const;

test('the page opens with the background of a sample photo blurred, and asks for nothing', async () => {
  expect(await page.$eval('section#background', ({ dataset }) => dataset['state'])).toBe('done');
  expect(await report()).toMatchObject({ drawn: 'blur 0.6', width: '1920', height: '1350' });
  expect(await text('#blur-total')).toMatch(/ m?s$/);
  const times = await page.$$eval('#blur-stages dd:not(.share)', (cells) =>
    cells.map(({ textContent }) => textContent));
  expect(times).toHaveLength(5);
  expect(times.every((time) => / m?s$/.test(time))).toBe(true);
  expect(await text('#background')).toMatch(/MediaPipe’s selfie segmentation\s+by Google \(Apache-2\.0\)/);
  expect(await text('#background')).toContain('Every frame stays in this browser');
});

test('the strength decides how much detail is left behind the people', async () => {
  const at60 = (await look([])).detail;
  await set('blur-strength', '0');
  await drawn('blur 0');
  const at0 = (await look([])).detail;
  await set('blur-strength', '100');
  await drawn('blur 1');
  const at100 = (await look([])).detail;
  expect(at60).toBeLessThan(at0 * 0.7);
  expect(at100).toBeLessThan(at60 * 0.9);
});

test('a colour, a picture and the mask take the place of the background, not of the people', async () => {
  const { colours: [face] } = await look([FACE]);
  await page.click('[name=background][value=colour]');
  await set('blur-colour', '#206080');
  await drawn('colour 32,96,128');
  expect((await look([FACE, WALL])).colours).toEqual([face, [0x20, 0x60, 0x80]]);
  await page.click('[name=background][value=mask]');
  await drawn('mask');
  expect((await look([FACE, WALL])).colours).toEqual([[255, 255, 255], [0, 0, 0]]);
  await page.click('[name=background][value=picture]');
  await drawn('picture');
  const { colours: [samePerson, sky] } = await look([FACE, WALL]);
  expect(samePerson).toEqual(face);
  expect(sky![2]).toBeGreaterThan(sky![0]); // The built-in evening sky is blue at the top, and the wall is not.
});

test('an own picture goes behind the people, and one that is none is told', async () => {
  await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(50, 80);
    const context = canvas.getContext('2d')!;
    context.fillStyle = '#ff0000';
    context.fillRect(0, 0, 50, 80);
    const files = new DataTransfer();
    files.items.add(new File([await canvas.convertToBlob()], 'red.png', { type: 'image/png' }));
    const input = document.querySelector<HTMLInputElement>('#backdrop-file')!;
    input.files = files.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  });
  await page.waitForFunction(() => document.querySelector('#backdrop-chosen')!.textContent === 'red.png');
  await expect.poll(async () => (await look([WALL])).colours).toEqual([[255, 0, 0]]);
  await (await page.$('input#backdrop-file'))!.uploadFile('package.json');
  await expect.poll(() => text('#backdrop-chosen')).toBe('package.json is not a picture that this browser can decode.');
});

test('a file that is no picture is an error that is shown, and the next photo works', async () => {
  await page.click('[name=background][value=blur]');
  await (await page.$('input#blur-file'))!.uploadFile('package.json');
  await state('failed');
  expect(await text('#blur-error')).toBe('package.json is not a picture that this browser can decode.');
  await page.click('#blur-samples label:nth-child(6) input');
  await state('done');
  expect(await text('#blur-error')).toBe('');
});

/** Replaces the camera: by a photo that moves, or by one of the ways that a camera fails. */
const camera = (error?: string) => page.evaluate(async (name) => {
  const image = await createImageBitmap(
    await (await fetch('/node_modules/@vladmandic/face-api/demo/sample6.jpg')).blob());
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 256 });
  const context = canvas.getContext('2d')!;
  let tick = 0;
  setInterval(() => context.drawImage(image, tick++ % 8, 0, 320, 256), 50);
  navigator.mediaDevices.getUserMedia = () =>
    (name === undefined ? Promise.resolve(canvas.captureStream()) : Promise.reject(new DOMException('no', name)));
}, error);

test.each([
  ['NotAllowedError', 'was not allowed to'], ['NotFoundError', 'No webcam was found'], ['NotReadableError', 'Another'],
])('a webcam that fails with a %s is told in plain words', async (name, words) => {
  await camera(name);
  await page.click('#blur-webcam');
  await state('failed');
  expect(await text('#blur-error')).toContain(words);
  expect(await page.$eval('#blur-webcam', ({ ariaPressed }) => ariaPressed)).toBe('false');
});

test('the webcam is shown live, in one submit a frame, until it is stopped', async () => {
  await camera();
  await page.click('#blur-webcam');
  await state('live');
  await frames(2);
  expect(await text('#blur-rate')).toMatch(/^[\d.]+ frames\/s$/);
  expect(await text('#blur-size')).toBe('320×256');
  expect(await page.$eval('section#background', ({ dataset }) => dataset['source'])).toBe('camera');
  await page.click('#blur-webcam');
  await state('done');
  expect([await text('#blur-rate'), await text('#blur-webcam')]).toEqual(['', 'Use the webcam']);
});

test('another tab turns the webcam off', async () => {
  await page.click('#blur-webcam');
  await state('live');
  await page.evaluate(() => {
    const { srcObject } = document.querySelector<HTMLVideoElement>('#blur-video')!;
    Object.assign(window, { track: (srcObject as MediaStream).getVideoTracks()[0] });
  });
  await page.focus('#tab-background');
  await page.keyboard.press('End');
  await state('done');
  expect(await page.evaluate(() => (window as unknown as { track: MediaStreamTrack }).track.readyState)).toBe('ended');
  await page.keyboard.press('Home');
});

test('a video file plays in a loop, pauses, and goes on', async () => {
  await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 160, height: 120 });
    const context = canvas.getContext('2d')!;
    const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: 'video/webm' });
    const parts: Blob[] = [];
    recorder.addEventListener('dataavailable', ({ data }) => parts.push(data));
    const stopped = new Promise((resolve) => recorder.addEventListener('stop', resolve));
    recorder.start();
    for (let i = 0; i < 20; i++) {
      context.fillStyle = `hsl(${i * 18} 80% 50%)`;
      context.fillRect(0, 0, 160, 120);
      await new Promise((resolve) => void setTimeout(resolve, 40));
    }
    recorder.stop();
    await stopped;
    const files = new DataTransfer();
    files.items.add(new File(parts, 'clip.webm', { type: 'video/webm' }));
    const input = document.querySelector<HTMLInputElement>('#blur-file')!;
    input.files = files.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  });
  await state('live');
  expect(await text('#blur-size')).toBe('160×120');
  await frames(3);
  await page.click('#blur-pause');
  await page.waitForFunction(() => document.querySelector<HTMLVideoElement>('#blur-video')!.paused);
  await set('blur-strength', '50'); // A paused one is drawn anew.
  await drawn('blur 0.5');
  await page.click('#blur-pause');
  await frames(2);
  await page.click('#blur-samples label:nth-child(3) input');
  await state('done');
  expect(await page.$eval('#blur-pause', (button) => button.checkVisibility())).toBe(false);
});

test('what is saved is the picture as it was drawn', async () => {
  const saved = await page.evaluate(() => new Promise<[string, number]>((resolve) => {
    // Nothing is downloaded: the link's address is the file.
    HTMLAnchorElement.prototype.click = function saveInstead() {
      const { download, href } = this;
      void fetch(href).then((response) => response.blob()).then(({ size }) => resolve([download, size]));
    };
    document.querySelector<HTMLButtonElement>('#blur-save')!.click();
  }));
  expect(saved[0]).toBe('background.png');
  expect(saved[1]).toBeGreaterThan(100_000); // 1920×1350 pixels
});

test('nothing was asked of another server, and no error came up', () => {
  const { origin } = new URL(page.url());
  expect(requestsOf(page).length).toBeGreaterThan(20);
  expect(requestsOf(page).filter((url) => new URL(url).origin !== origin)).toEqual([]);
  expect(errors).toEqual([]);
});
