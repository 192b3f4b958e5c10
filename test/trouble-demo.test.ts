import process from 'node:process';
import type { Page } from 'puppeteer';
import { afterEach, beforeAll, expect, inject, test } from 'vitest';
import { openPage } from './browser.js';
import { drawnFrom } from './draw.js';

/** The demo page where the GPU does not answer, is not there, or goes. */

/** What the tests put into the page's window before its own scripts run. */
interface Hooked {
  /** Every device that was given, in order. */
  devices: GPUDevice[];
  /** Lets the next patience of many seconds end soon. */
  hurry: boolean;
  /** Gives the first answer after all. */
  answer: () => void;
  /** Takes the device at the next `mapAsync`, which then fails, or is never answered. */
  take: 'failing' | 'unanswered' | undefined;
}
declare const window: Window & typeof globalThis & Hooked;

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
let page: Page;
let errors: string[];

beforeAll(() => {
  console.log(`Trouble: seed ${seed}`);
});
afterEach(async () => {
  await page.close();
  expect(errors).toEqual([]);
});

/** Opens a tab of the demo page with something of the browser replaced before. */
async function open(tab: string, replace: () => void = () => {}, taken?: Hooked['take']): Promise<void> {
  page = await openPage('/package.json');
  errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.evaluateOnNewDocument((how) => {
    window.take = how;
    const original = setTimeout;
    window.setTimeout = ((run: TimerHandler, milliseconds = 0) => {
      const soon = window.hurry && milliseconds >= 10_000;
      if (soon) window.hurry = false;
      return original(run, soon ? 100 : milliseconds);
    }) as typeof setTimeout;
    window.devices = [];
    const requestDevice = Reflect.get(GPUAdapter.prototype, 'requestDevice') as GPUAdapter['requestDevice'];
    GPUAdapter.prototype.requestDevice = async function hooked(descriptor) {
      const device = await requestDevice.call(this, descriptor);
      window.devices.push(device);
      return device;
    };
    const mapAsync = Reflect.get(GPUBuffer.prototype, 'mapAsync') as GPUBuffer['mapAsync'];
    GPUBuffer.prototype.mapAsync = function hooked(...args) {
      const { take } = window;
      window.take = undefined;
      if (take !== undefined) window.devices.at(-1)!.destroy();
      return take === 'unanswered' ? new Promise<undefined>(() => {}) : mapAsync.apply(this, args);
    };
  }, taken);
  await page.evaluateOnNewDocument(replace);
  await page.goto(`${inject('origin')}/demo/#${tab}`);
}

const text = (selector: string) => page.$eval(selector, ({ textContent }) => textContent?.trim() ?? '');
const visible = (selector: string) => page.$eval(selector, (found) => found.checkVisibility());
const state = (panel: string, wanted: string) =>
  page.waitForSelector(`#${panel}[data-state=${wanted}]`, { timeout: 60_000 });
const trouble = () => page.waitForSelector('#trouble:not([hidden])', { timeout: 60_000 });

/** Says what is wrong where a screen reader tells it, and offers the button by its name. */
async function tells(title: string, reason: RegExp): Promise<void> {
  await trouble();
  expect(await text('#trouble-title')).toBe(title);
  expect(await text('#trouble-reason')).toMatch(reason);
  expect(await page.$eval('#trouble', (section) => section.role)).toBe('alert');
}

const requests = ['requestAdapter', 'requestDevice'];

test.each(requests)('%s that never answers is told, and trying again works', async (method) => {
  await open('geometry', method === 'requestAdapter' ? () => {
    window.hurry = true;
    const gpu = navigator.gpu;
    const requestAdapter = gpu.requestAdapter.bind(gpu);
    gpu.requestAdapter = (options) => {
      gpu.requestAdapter = requestAdapter;
      return new Promise((resolve) => (window.answer = () => resolve(requestAdapter(options))));
    };
  } : () => {
    window.hurry = true;
    const requestDevice = Reflect.get(GPUAdapter.prototype, 'requestDevice') as GPUAdapter['requestDevice'];
    GPUAdapter.prototype.requestDevice = function silent(descriptor) {
      GPUAdapter.prototype.requestDevice = requestDevice;
      return new Promise((resolve) => (window.answer = () => resolve(requestDevice.call(this, descriptor))));
    };
  });
  await tells('The GPU does not answer', /^The browser was asked for a GPU device and has not answered\./);
  expect([await visible('#main'), await visible('#tabs'), await visible('#browsers')]).toEqual([false, false, false]);
  if (method === 'requestAdapter') await page.screenshot({ path: 'output/demo-silent.png' });
  await page.click('aria/Try again[role="button"]');
  await state('explore', 'done');
  expect([await visible('#trouble'), await visible('#tabs')]).toEqual([false, true]);
  expect(await page.evaluate(() => document.activeElement?.getAttribute('role'))).toBe('tab');

  // An answer that nobody waits for any more leaves no device behind.
  await page.evaluate(() => window.answer());
  await page.waitForFunction(() => window.devices.length === 2);
  expect(await page.evaluate(() => window.devices[1]!.lost.then(({ reason }) => reason))).toBe('destroyed');
  expect(await visible('#trouble')).toBe(false);
});

test('no adapter is told, and trying again works', async () => {
  await open('geometry', () => {
    const gpu = navigator.gpu;
    const requestAdapter = gpu.requestAdapter.bind(gpu);
    gpu.requestAdapter = () => Promise.resolve(null);
    window.answer = () => void (gpu.requestAdapter = requestAdapter);
  });
  await tells('WebGPU is not available here', /^WebGPU found no adapter/);
  expect([await visible('#main'), await visible('#browsers')]).toEqual([false, true]);
  await page.screenshot({ path: 'output/demo-no-adapter.png' });
  await page.evaluate(() => window.answer());
  await page.click('aria/Try again[role="button"]');
  await state('explore', 'done');
});

test('a browser without WebGPU is told what browsers have it, with nothing to try again', async () => {
  await open('faces', () => void Reflect.deleteProperty(Navigator.prototype, 'gpu'));
  await tells('WebGPU is not available here', /^This environment has no WebGPU/);
  expect([await visible('#main'), await visible('#browsers'), await visible('#again')]).toEqual([false, true, false]);
});

/** Each tab with one kind of loss, which the seed draws. */
const tabs = [
  ...drawnFrom([['background', 'blur'], ['detect', 'faces']] as const, seed), // These take 10 s each.
  ['photo', 'filters'], ['learn', 'training'], ['explore', 'geometry'],
] as const;
const losses = tabs.flatMap((tab, i) => drawnFrom(['unanswered', 'failing'] as const, seed + i)
  .map((take) => [...tab, take] as const));
const LOST = /^The GPU device was lost \(destroyed\): Device was destroyed\.$/;

const named = '%s: a device lost at work is told, and trying again works (#%s, calls %s)';
test.each(losses)(named, async (panel, tab, take) => {
  await open(tab, undefined, take);
  await tells('The GPU went away', LOST);
  await state(panel, 'failed');
  expect(await text(`#${panel} .error`)).toMatch(LOST);
  expect(await text(`#${panel}`)).not.toMatch(/Looking…|Starting…|Working…/);
  await page.screenshot({ path: `output/demo-lost-${panel}.png` });
  await page.click('aria/Try again[role="button"]');
  if (panel === 'learn') await page.waitForSelector('#learn-report[data-steps]', { timeout: 60_000 });
  else await state(panel, 'done');
  expect([await visible('#trouble'), await text(`#${panel} .error`)]).toEqual([false, '']);
  if (panel !== 'detect') return;

  // At rest: what is shown stays, and the next work is done on a new device, which has to run the network first.
  await page.evaluate(() => window.devices.at(-1)!.destroy());
  await tells('The GPU went away', LOST);
  expect(await text('#face-count')).toBe('3 faces');
  await page.click('#verify');
  await page.waitForSelector('#layers-verdict:not([data-verdict=pending])', { timeout: 60_000 });
  expect([await text('#layers-verdict'), await visible('#trouble')])
    .toEqual(['Every layer agrees with the CPU', false]);
});

test('a tab that failed works again when it is shown again', async () => {
  await open('geometry', undefined, 'unanswered');
  await state('explore', 'failed');
  await page.click('#tab-photo');
  await state('photo', 'done');
  expect(await visible('#trouble')).toBe(false);
  await page.click('#tab-explore');
  await state('explore', 'done');
});
