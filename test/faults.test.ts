import { readFileSync } from 'node:fs';
import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { launchBrowser } from '../demo/node/browser.js';
import { openPage } from './browser.js';
import { type Extent, sweeps } from './fault-scenarios.js';
import { launchFirefox, Missing } from './implementations.js';
import { lifetimes } from './lifetime-scenarios.js';
import { sharing } from './sharing-scenarios.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
/** `FAULTS=all` lets every call fail; else the seed draws a third of the methods, and a call of each. */
const extent: Extent = process.env['FAULTS'] === 'all' ? 'every call' : 'some methods';
const pageErrors: string[] = [];
let page: Page;

beforeAll(async () => {
  console.log(`Fault scenarios: seed ${seed}`);
  page = await openPage('/test/reliability.html');
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  await page.waitForFunction(() => 'reliability' in window);
});
afterAll(() => page.close());

test.each(Object.keys({ ...sweeps, ...lifetimes, ...sharing }))('%s', { timeout: 600_000 }, async (name) => {
  const result = await page.evaluate((n, s, e) => window.reliability.run(n, s, e), name, seed, extent);
  if (typeof result === 'string') console.log(`${name}: ${result}`);
  expect(pageErrors.splice(0)).toEqual([]);
});

test('a hidden page computes as a visible one', async () => {
  const front = await page.browserContext().newPage();
  await front.goto('about:blank');
  await front.bringToFront();
  await page.waitForFunction(() => document.visibilityState === 'hidden', { polling: 100 });
  for (const name of [
    'a worker and the page at once', 'work in flight when its convolution, manager or device is destroyed',
  ]) {
    await page.evaluate((n, s) => window.reliability.run(n, s), name, seed);
  }
  expect(await page.evaluate(() => document.visibilityState)).toBe('hidden');
  await front.close();
  expect(pageErrors.splice(0)).toEqual([]);
});

test('the death of the GPU process is a DeviceLostError, and the next call works', async () => {
  const browser = await launchBrowser(); // One of its own: all its pages lose their devices.
  try {
    const victim = await browser.newPage();
    victim.on('pageerror', (error) => pageErrors.push(String(error)));
    await victim.goto(`${inject('origin')}/test/reliability.html`);
    await victim.waitForFunction(() => 'reliability' in window);
    const result = victim.evaluate(() => window.reliability.surviveCrash());
    result.catch(() => undefined); // Awaited below.
    await victim.waitForFunction(() => window.reliability.running());
    const session = await browser.target().createCDPSession();
    session.send('Browser.crashGpuProcess').catch(() => undefined);
    const message = await result;
    console.log(message);
    expect(message).toContain('the GPU device was lost (');
  } finally {
    await browser.close();
  }
  expect(pageErrors.splice(0)).toEqual([]);
});

const inFirefox = 'lost devices and ended managers in Firefox, which tells of a loss by validation errors first';

test(inFirefox, { timeout: 600_000 }, async ({ skip }) => {
  const firefox = await launchFirefox().catch((error: unknown) => {
    if (!(error instanceof Missing)) throw error;
    console.warn(`NOT TESTED on Firefox: ${error.message}`);
    return skip(error.message);
  });
  try {
    const there = await firefox.newPage();
    there.on('pageerror', (error) => pageErrors.push(String(error)));
    await there.goto(`${inject('origin')}/test/reliability.html`);
    if (!(await there.evaluate(async () => Boolean(await (navigator.gpu as GPU | undefined)?.requestAdapter())))) {
      console.warn('NOT TESTED on Firefox: it has no adapter');
      skip('no adapter');
    }
    await there.waitForFunction(() => 'reliability' in window);
    const failures: string[] = [];
    for (const name of [
      'the device is destroyed before a call', 'the device is destroyed when an awaited call has ended',
      ...Object.keys(lifetimes),
    ]) {
      await there.evaluate((n, s, e) => window.reliability.run(n, s, e), name, seed, extent)
        .catch((error: unknown) => failures.push(`${name}: ${String(error)}`));
    }
    expect(failures).toEqual([]);
  } finally {
    await firefox.close();
  }
  expect(pageErrors.splice(0)).toEqual([]);
});

test('where there is no Symbol.dispose, the build works without', async () => {
  const dist = new URL('../dist/', import.meta.url);
  const source = readFileSync(new URL('index.js', dist), 'utf8')
    .replaceAll(/from "\.\/(\w+\.js)"/g, (_, file: string) => `from "${new URL(file, dist).href}"`);
  const shadow = 'const Symbol = { iterator: globalThis.Symbol.iterator, dispose: undefined };';
  const { PipelineManager } = await import(`data:text/javascript,${encodeURIComponent(shadow + source)}`) as {
    PipelineManager: { prototype: object };
  };
  expect(Reflect.ownKeys(PipelineManager.prototype)).toContain('destroy');
  expect(Reflect.ownKeys(PipelineManager.prototype).map(String)).not.toContain('undefined');
});
