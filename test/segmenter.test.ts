import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MASK_TOLERANCE, toleranceOf } from '../demo/networks/segmenter.js';
import { openPage } from './browser.js';

const photos = [1, 2, 3, 4, 5, 6].map((n) => `sample${n}.jpg`);
const pageErrors: string[] = [];
let page: Page;

beforeAll(async () => {
  page = await openPage('/test/segmenter.html');
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  await page.waitForFunction(() => 'segmenter' in window);
});
afterAll(async () => {
  await page.close();
  expect(pageErrors).toEqual([]);
});

test.each(photos)('the mask of %s is that of LiteRT.js on the CPU', async (photo) => {
  const { difference, person } = await page.evaluate((name) => window.segmenter.compareMasks(name), photo);
  const share = `${(100 * person).toFixed(0)} %`;
  console.log(`${photo}: ${share} are people, the masks differ by ${difference.toExponential(1)}`);
  expect(person).toBeGreaterThan(0.05);
  expect(person).toBeLessThan(0.95);
  expect(difference).toBeLessThan(MASK_TOLERANCE);
});

test('every layer agrees with the CPU reference', async () => {
  const layers = await page.evaluate((name) => window.segmenter.verifyLayers(name), photos[0]!);
  expect(layers.length).toBeGreaterThan(60);
  expect(layers.filter(({ name, maxError }) => !(maxError <= toleranceOf(name)))).toEqual([]);
  const worst = layers.reduce((most, layer) => (layer.maxError > most.maxError ? layer : most));
  console.log(`${layers.length} layers, largest error ${worst.maxError.toExponential(1)} in ${worst.name}`);
});

test('every depthwise and 1×1 layer goes through the library', async () => {
  const layers = await page.evaluate(() => window.segmenter.layers());
  const own = layers.filter(({ ours }) => !ours).flatMap(({ kernels }) => kernels);
  expect(Object.fromEntries([...new Set(own)].map((kernel) => [kernel, own.filter((one) => one === kernel).length])))
    .toEqual({ 'patches.wgsl': 1, 'mean.wgsl': 13, 'upscale.wgsl': 3 });
});
