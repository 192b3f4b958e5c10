import process from 'node:process';
import type { Browser, Page } from 'puppeteer';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { launchBrowser } from '../demo/node/browser.js';
import { openPage } from './browser.js';

/**
 * The background blur without its tab. On Linux a canvas can have a WebGPU context on the software adapter only if that
 * draws the page too, in a browser of its own.
 */

const onPage = process.platform === 'linux' && process.env['SEPCONV_ADAPTER'] !== 'gpu'
  ? ['--use-angle=vulkan', '--use-vulkan=swiftshader', '--enable-features=Vulkan'] : [];

describe.each(['software', 'gpu'] as const)('on the screen of a %s adapter', (kind) => {
  let browser: Browser | undefined;
  let page: Page;

  beforeAll(async () => {
    if (kind === 'software') {
      page = await openPage('/test/blur.html');
    } else {
      browser = await launchBrowser(console.log, onPage);
      page = await browser.newPage();
      await page.goto(`${inject('origin')}/test/blur.html`);
    }
    await page.waitForFunction(() => 'effect' in window);
  });
  afterAll(() => (browser === undefined ? page.close() : browser.close()));

  test('people are kept as they are, and all detail goes from the background', async () => {
    const [weak, strong] = [
      await page.evaluate((to) => window.effect.regions(to, 'sample6.jpg', 0), kind),
      await page.evaluate((to) => window.effect.regions(to, 'sample6.jpg', 1), kind),
    ];
    for (const { kept, blurred, shown, invalid } of [weak, strong]) {
      // Each is about a third of that photo, or more.
      expect(kept.pixels).toBeGreaterThan(100_000);
      expect(blurred.pixels).toBeGreaterThan(100_000);
      expect(kept.maxDifference).toBe(0); // A mixture with nothing is the pixel itself.
      expect(blurred.detail).toBeLessThan(0.1);
      expect(shown).toBe(0);
      expect(invalid).toEqual([]);
    }
    // A Gaussian leaves of a step's squared slope 1 / (its standard deviation): 0.7 and 3 % of the longest side.
    expect(strong.blurred.detail).toBeLessThan(weak.blurred.detail * 0.7);
  });

  test('in a video, what the network is sure of moves at once, and the rest slowly', async () => {
    const { difference, slowed } = await page.evaluate((to) => window.effect.smoothing(to), kind);
    expect(difference).toBeLessThan(1e-5); // A few roundings of values up to 1.
    expect(slowed).toBeGreaterThan(100);
  });

  test('after the first frame no GPU object is made, and each frame is one submit', async () => {
    const calls = await page.evaluate((to) => window.effect.callsOf(to, 5), kind);
    // The canvas's own texture is a new one each time.
    expect(calls).toEqual(kind === 'gpu' ? { submit: 5, createView: 5 } : { submit: 5 });
  });

  test('every stage is timed', async () => {
    const { stages, total, clock } = await page.evaluate((to) => window.effect.stages(to), kind);
    expect(total).toBeGreaterThan(0);
    if (clock === 'wall') return;
    expect(Object.keys(stages)).toEqual(['frame', 'network', 'mask', 'blur', 'compose']);
    expect(Object.values(stages).reduce((a, b) => a + b)).toBeCloseTo(total, 9);
  });
});
