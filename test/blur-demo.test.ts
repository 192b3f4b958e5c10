import { fileURLToPath } from 'node:url';
import { KnownDevices, type Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openPage, requestsOf } from './browser.js';
import { checkLooks, LOOKS } from './looks.js';

/** The first tab of the demo page. */

const errors: string[] = [];
let page: Page;

declare global {
  interface Window {
    /** How far things moved without having been touched. */
    shift: number;
  }
}

beforeAll(async () => {
  page = await openPage('/package.json');
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    const isOurs = message.location().url?.includes('favicon') !== true; // That of the page before.
    if (isOurs && (message.type() === 'error' || message.type() === 'warn')) errors.push(message.text());
  });
  await page.evaluateOnNewDocument(() => {
    window.shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { hadRecentInput: boolean; value: number })[]) {
        if (!entry.hadRecentInput) window.shift += entry.value;
      }
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(new URL('/demo/', page.url()).href);
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

test('nothing moved while the page loaded', async () => {
  // Less than 0.1 is good: https://web.dev/articles/cls
  expect(await page.evaluate(() => window.shift)).toBeLessThan(0.01);
});

test(LOOKS, () => checkLooks(page, 'background'));

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

/** Puts a file, which is made in the page, into an input, as if the user had chosen it. */
const give = async (input: string, make: () => Promise<File>) => {
  await page.evaluate((id, file) => {
    const files = new DataTransfer();
    files.items.add(file);
    const found = document.querySelector<HTMLInputElement>(id)!;
    found.files = files.files;
    found.dispatchEvent(new Event('change', { bubbles: true }));
  }, input, await page.evaluateHandle(make));
};

test('an own picture goes behind the people, on white where it is transparent', async () => {
  await page.click('[name=background][value=picture]');
  await give('#backdrop-file', async () => {
    const canvas = new OffscreenCanvas(50, 80);
    const context = canvas.getContext('2d')!;
    context.fillStyle = '#ff0000';
    context.fillRect(0, 0, 50, 80);
    return new File([await canvas.convertToBlob()], 'red.png', { type: 'image/png' });
  });
  await page.waitForFunction(() => document.querySelector('#backdrop-chosen')!.textContent === 'red.png');
  await expect.poll(async () => (await look([WALL])).colours).toEqual([[255, 0, 0]]);
  await give('#backdrop-file', async () => {
    const canvas = new OffscreenCanvas(8, 8);
    canvas.getContext('2d');
    return new File([await canvas.convertToBlob()], 'glass.png', { type: 'image/png' });
  });
  await expect.poll(async () => (await look([WALL])).colours).toEqual([[255, 255, 255]]);
  await (await page.$('input#backdrop-file'))!.uploadFile('package.json');
  await expect.poll(() => text('#backdrop-chosen')).toBe('package.json is not a picture that this browser can decode.');
});

test('what is chosen while a photo is drawn counts', async () => {
  const photos = [
    { photo: '#blur-samples label:nth-child(6) input', places: [[0.25, 0.55], [0.05, 0.05]] },
    { photo: '#blur-samples label:nth-child(3) input', places: [FACE, WALL] },
  ] as const;
  for (const [turn, wait] of [0, 60, 120, 180, 240].entries()) {
    const { photo, places } = photos[turn % 2]!; // Not that of the last turn, of which nothing is taken for this one's.
    await page.click('[name=background][value=blur]');
    await drawn('blur 1');
    await page.click(photo);
    await new Promise((resolve) => void setTimeout(resolve, wait));
    await page.click('[name=background][value=mask]');
    await state('done');
    await drawn('mask');
    expect((await look(places)).colours, `${wait} ms`).toEqual([[255, 255, 255], [0, 0, 0]]);
  }
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

/** Makes the camera fail in one of its ways. */
const failingCamera = (name: string) => page.evaluate((error) => {
  Object.defineProperty(navigator.mediaDevices, 'getUserMedia', {
    configurable: true, value: () => Promise.reject(new DOMException('no', error)),
  });
}, name);
const workingCamera = () => page.evaluate(() =>
  void delete (navigator.mediaDevices as Partial<MediaDevices>).getUserMedia); // The browser's own is the prototype's.

test.each([
  ['NotAllowedError', 'was not allowed to'], ['NotFoundError', 'No webcam was found'], ['NotReadableError', 'Another'],
])('a webcam that fails with a %s is told in plain words', async (name, words) => {
  await failingCamera(name);
  await page.click('#blur-webcam');
  await state('failed');
  expect(await text('#blur-error')).toContain(words);
  expect(await page.$eval('#blur-webcam', ({ ariaPressed }) => ariaPressed)).toBe('false');
});

test('the webcam is shown live until it is stopped, and tells its people from the background', async () => {
  await workingCamera();
  await page.click('#blur-webcam');
  await state('live');
  await frames(2);
  expect(await text('#blur-rate')).toMatch(/^[\d.]+ frames\/s$/);
  await expect.poll(() => text('#blur-size')).toBe('640×427');
  expect(await page.$eval('section#background', ({ dataset }) => dataset['source'])).toBe('camera');
  await page.click('[name=background][value=mask]');
  await drawn('mask');
  const places = Array.from({ length: 400 }, (_, i) =>
    [((i % 20) + 0.5) / 20, (Math.floor(i / 20) + 0.5) / 20] as const);
  const { colours } = await look(places);
  for (const grey of [0, 255]) { // Either is about half of that photo.
    expect(colours.filter((colour) => colour.every((value) => value === grey)).length).toBeGreaterThan(80);
  }
  await page.click('[name=background][value=blur]');
  await page.click('#blur-webcam');
  await state('done');
  expect([await text('#blur-rate'), await text('#blur-webcam')]).toEqual(['', 'Use the webcam']);
});

test('a webcam that is not allowed yet holds nothing up, and goes off when it is allowed too late', async () => {
  await page.evaluate(() => {
    const { mediaDevices } = navigator;
    const ask = mediaDevices.getUserMedia.bind(mediaDevices);
    Object.defineProperty(mediaDevices, 'getUserMedia', {
      configurable: true,
      value: (constraints: MediaStreamConstraints) => new Promise((resolve, reject) => {
        Object.assign(window, {
          allow: async () => {
            const stream = await ask(constraints).catch(reject);
            resolve(stream);
            return stream;
          },
        });
      }),
    });
  });
  const allowed = () => page.evaluate(async () => {
    const stream = await (window as unknown as { allow: () => Promise<MediaStream> }).allow();
    await new Promise((resolve) => void setTimeout(resolve, 100));
    return stream.getVideoTracks()[0]!.readyState;
  });
  await page.click('#blur-webcam');
  await expect.poll(() => text('#blur-status')).toBe('Waiting for the webcam…');
  await page.click('#blur-samples label:nth-child(3) input');
  await state('done');
  expect(await allowed()).toBe('ended');

  // The tab is left meanwhile.
  await page.click('#blur-webcam');
  await page.focus('#tab-background');
  await page.keyboard.press('End');
  await state('done');
  expect(await allowed()).toBe('ended');
  await page.keyboard.press('Home');
  expect(await page.$eval('#blur-webcam', ({ ariaPressed }) => ariaPressed)).toBe('false');
  await workingCamera();
});

test('a webcam that is unplugged is told', async () => {
  await page.click('#blur-webcam');
  await state('live');
  await page.evaluate(() => {
    const { srcObject } = document.querySelector<HTMLVideoElement>('#blur-video')!;
    (srcObject as MediaStream).getVideoTracks()[0]!.dispatchEvent(new Event('ended'));
  });
  await state('failed');
  expect(await text('#blur-error')).toMatch(/^The webcam went away/);
});

test('while another tab of the browser is shown, no frame is drawn', async () => {
  await page.click('#blur-webcam');
  await state('live');
  const other = await page.browserContext().newPage();
  await other.bringToFront();
  const count = () => page.$eval('section#blur-report', ({ dataset }) => dataset['frames']);
  await page.waitForFunction(() => document.querySelector<HTMLVideoElement>('#blur-video')!.paused);
  const before = await count();
  await new Promise((resolve) => void setTimeout(resolve, 500));
  expect(Number(await count()) - Number(before)).toBeLessThanOrEqual(1); // The one under way.
  await other.close();
  await page.bringToFront();
  await frames(2);
  await page.click('#blur-webcam');
  await state('done');
});

test('another tab of the page turns the webcam off', async () => {
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
  await give('#blur-file', async () => {
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
    return Object.assign(window, { clip: new File(parts, 'clip.WEBM') /* Of no type. */ }).clip;
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

  // The next video plays, whether or not the one before was paused.
  await page.click('#blur-pause');
  await give('#blur-file', () => Promise.resolve((window as unknown as { clip: File }).clip));
  await frames(2);
  expect(await text('#blur-pause')).toBe('Pause');
  await page.click('#blur-samples label:nth-child(3) input');
  await state('done');
  expect(await page.$eval('#blur-pause', (button) => button.checkVisibility())).toBe(false);
});

test('a video that breaks off is told', async () => {
  await give('#blur-file', () => Promise.resolve((window as unknown as { clip: File }).clip));
  await state('live');
  await page.evaluate(() => {
    const video = document.querySelector<HTMLVideoElement>('#blur-video')!;
    // As browsers do it: the error stays, where nobody listens while a frame is drawn.
    Object.defineProperty(video, 'error', { configurable: true, value: {} });
    video.dispatchEvent(new Event('error'));
  });
  await state('failed');
  expect(await text('#blur-error')).toMatch(/^The video is damaged/);
  await page.evaluate(() => {
    const video: { error?: MediaError | null } = document.querySelector<HTMLVideoElement>('#blur-video')!;
    delete video.error; // The browser's own is the prototype's.
  });
  await page.click('#blur-samples label:nth-child(3) input');
  await state('done');
});

test('a photo that is dropped is drawn', async () => {
  const address = page.url();
  const session = await page.createCDPSession();
  const files = [fileURLToPath(new URL('../node_modules/@vladmandic/face-api/demo/sample2.jpg', import.meta.url))];
  const drag = (type: 'dragEnter' | 'dragOver' | 'drop') => session.send('Input.dispatchDragEvent', {
    type, x: 200, y: 300, data: { items: [], files, dragOperationsMask: 1 },
  });
  await drag('dragEnter');
  await drag('dragOver');
  await page.waitForSelector('body.dropping');
  await drag('drop');
  await page.waitForFunction(() => document.querySelector('#blur-size')!.textContent === '1920×1367');
  await state('done');
  expect(await text('#blur-chosen')).toBe('sample2.jpg');
  expect(page.url()).toBe(address); // The browser did not leave the page to show the file.
  await page.click('#blur-samples label:nth-child(3) input');
  await state('done');
});

test('what is saved is the picture as it was drawn', async () => {
  const saved = await page.evaluate(() => new Promise<[name: string, width: number, height: number]>((resolve) => {
    // Nothing is downloaded.
    const original = URL.createObjectURL.bind(URL);
    let png: Blob;
    URL.createObjectURL = (blob: Blob) => original(png = blob);
    HTMLAnchorElement.prototype.click = function saveInstead() {
      const { download } = this;
      void createImageBitmap(png).then(({ width, height }) => resolve([download, width, height]));
    };
    document.querySelector<HTMLButtonElement>('#blur-save')!.click();
  }));
  expect(saved).toEqual(['background.png', 1920, 1350]);
});

test('on a phone all is within reach of a thumb', async () => {
  const phone = KnownDevices['Pixel 5'];
  vi.spyOn(page, 'reload').mockResolvedValue(null); // `emulate` would compile the network again.
  await page.emulate(phone);
  expect(await page.evaluate(() => innerWidth)).toBe(phone.viewport.width);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(phone.viewport.width);
  await page.screenshot({ path: 'output/blur-phone.png' });
  // At least as large as https://www.w3.org/TR/WCAG22/#target-size-minimum wants.
  const small = await page.$$eval('button, a, input:not(.file), label', (targets) => targets.flatMap((target) => {
    const { width: across, height } = target.getBoundingClientRect();
    return target.checkVisibility() && across > 0 && Math.min(across, height) < 24 ? [target.outerHTML] : [];
  }));
  expect(small).toEqual([]);
  const tap = async (selector: string) => {
    await (await page.$(selector))!.scrollIntoView();
    await page.tap(selector);
  };
  await tap('#blur-webcam');
  await state('live');
  await page.screenshot({ path: 'output/blur-phone-live.png' });
  await tap('#blur-controls label:has([value=colour])');
  await page.waitForSelector('#blur-report[data-drawn^=colour]', { timeout: 60_000 });
  await tap('#blur-webcam');
  await state('done');
});

test('nothing was asked of another server, and no error came up', () => {
  const { origin } = new URL(page.url());
  expect(requestsOf(page).length).toBeGreaterThan(20);
  expect(requestsOf(page).filter((url) => new URL(url).origin !== origin)).toEqual([]);
  expect(errors).toEqual([]);
});
