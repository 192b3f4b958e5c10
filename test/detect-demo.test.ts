import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage, requestsOf } from './browser.js';
import { checkLooks, LOOKS } from './looks.js';

const errors: string[] = [];
let page: Page;

beforeAll(async () => {
  page = await openPage('/demo/#faces');
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warn') errors.push(message.text());
  });
  await settled('detect');
});
afterAll(() => page.close());

const settled = (panel: string) => page.waitForSelector(`#${panel}:not([data-state=working])`, { timeout: 60_000 });
const text = (selector: string) => page.$eval(selector, ({ textContent }) => textContent?.trim() ?? '');
const report = (id: string) =>
  page.$eval(`section#${id}`, (section) => Object.fromEntries(Object.entries(section.dataset)));
const faces = async () => JSON.parse((await report('detect-report'))['faces'] ?? '[]') as { score: number }[];
const slide = (id: string, value: number) => page.$eval(`input#${id}`, (input, to) => {
  input.value = String(to);
  input.dispatchEvent(new Event('input', { bubbles: true }));
}, value);

/** Screenshots to look at, and no sideways scrolling. */
async function fits(name: string): Promise<void> {
  for (const [size, width, height] of [['phone', 390, 844], ['desktop', 1280, 900]] as const) {
    await page.setViewport({ width, height });
    expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name} on a ${size}`)
      .toBeLessThanOrEqual(width);
    await page.screenshot({ path: `output/demo-${name}-${size}.png`, fullPage: true });
  }
}

test('the first tab finds the faces of the first photo and lists every layer', async () => {
  expect(await text('#face-count')).toBe('3 faces');
  expect(await faces()).toHaveLength(3);
  expect(await page.$$eval('#layer-rows tr', (rows) => rows.map((row) => row.cells[0]!.firstChild!.textContent)))
    .toEqual([
      'picture', 'conv0 patches', 'conv0', 'pool0', 'conv1', 'pool1', 'conv2', 'pool2', 'conv3', 'pool3', 'conv4',
      'pool4', 'conv5', 'pool5', 'conv8',
    ]);
  const times = await page.$$eval('#layer-rows .time', (cells) => cells.map(({ textContent }) => textContent ?? ''));
  expect(times.every((time) => / m?s$/.test(time))).toBe(true);
  expect(await text('#detect')).toContain('Drawing a face is not recognising one');
});

test(LOOKS, () => checkLooks(page, 'detect'));

test('the score threshold decides at once what is a face', async () => {
  await slide('threshold', 80);
  expect(await faces()).toHaveLength(1);
  expect(await text('#face-count')).toBe('1 face');
  await slide('threshold', 50);
  expect(await faces()).toHaveLength(3);
});

test('Verify computes every layer on the CPU', async () => {
  await page.click('#verify');
  await page.waitForSelector('#layers-verdict[data-verdict=agrees]', { timeout: 60_000 });
  const shown = await page.$$eval('.layer-error', (cells) => cells.map(({ textContent }) => textContent));
  expect(shown.slice(2).every((error) => Number(error) < 5e-5 && error !== ''), shown.join()).toBe(true);
});

test('the strategies are compared, and a naive version of the same result', async () => {
  await page.click('#compare');
  await page.waitForFunction(
    () => document.querySelector<HTMLElement>('#detect-report')?.dataset['strategies'], { timeout: 60_000 });
  const totals = JSON.parse((await report('detect-report'))['strategies']!) as Record<string, number>;
  expect(Object.keys(totals)).toEqual(['auto', 'fused', 'two-pass', 'naive']);
  expect(Object.values(totals).every((total) => total > 0)).toBe(true);
  expect(totals['naive']! / totals['auto']!).toBeGreaterThan(1);
  expect(await page.$$eval('#strategies dt', (names) => names.map(({ textContent }) => textContent)))
    .toEqual(['Chosen', 'All fused', 'All in two passes', 'Naive']);
  await fits('faces');
});

test('an own photo that is none is an error that is shown, and the next photo works', async () => {
  const file = await page.$('input#detect-file');
  await file!.uploadFile('package.json');
  await settled('detect');
  expect(await text('#detect-error')).toBe('package.json is not a picture that this browser can decode.');
  await page.click('#detect-samples label:nth-child(2) input');
  await settled('detect');
  expect(await faces()).toHaveLength(1);
});

test('the webcam is shown live, with frames per second, until it is stopped', async () => {
  await page.click('#webcam');
  await page.waitForSelector('#detect[data-state=live]', { timeout: 60_000 });
  await page.waitForFunction(
    () => JSON.parse(document.querySelector<HTMLElement>('#detect-report')?.dataset['faces'] ?? '[]').length >= 3,
    { timeout: 60_000 });
  expect(await text('#frame-rate')).toMatch(/^[\d.]+ frames\/s$/);
  await expect.poll(() => text('#picture-size')).toBe('1280×853');
  await page.click('#webcam');
  await page.waitForSelector('#detect[data-state=done]');
  expect(await text('#frame-rate')).toBe('');
});

test('arrow keys move between the tabs', async () => {
  await page.focus('#tab-background');
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  expect(await page.$$eval('.panel', (panels) => panels.filter((panel) => panel.checkVisibility()).map(({ id }) => id)))
    .toEqual(['explore']);
  expect(await page.evaluate(() => [document.activeElement?.id, location.hash])).toEqual(['tab-explore', '#geometry']);
});

test('any geometry can be explored, with the kernels that were chosen and their WGSL', async () => {
  await settled('explore');
  expect(await report('explore-report')).toMatchObject({ shape: '1x96x96x32', agrees: 'true' });
  await page.evaluate(() => {
    const form = document.querySelector<HTMLFormElement>('#geometry-form')!;
    for (const [name, value] of Object.entries({
      H: '33', W: '50', C: '5', M: '2', KH: '5', KW: '2', O: '12', SH: '2', SW: '3',
      strategy: 'two-pass', pattern: 'noise',
    })) {
      (form.elements.namedItem(name) as HTMLInputElement).value = value;
    }
    form.dispatchEvent(new Event('input'));
  });
  await settled('explore');
  const { shape, strategy, agrees, kernels } = await report('explore-report');
  expect({ shape, strategy, agrees }).toEqual({ shape: '1x17x17x12', strategy: 'two-pass', agrees: 'true' });
  expect(kernels!.split(' ')).toHaveLength(2);
  expect(await page.$$eval('#explore-kernels pre', (sources) =>
    sources.map(({ textContent }) => textContent.includes('@compute')))).toEqual([true, true]);
  await fits('geometry');

  await page.click('#measure');
  await page.waitForFunction(() => document.querySelectorAll('#measured tr').length >= 1, { timeout: 60_000 });
  const measured = await page.$$eval('#measured tr', (rows) => rows.map(({ textContent }) => textContent));
  // The strategy is what was asked for.
  expect(measured.filter((row) => /two-pass.*(ms|µs|s)(auto, )?chosen$/.test(row))).toHaveLength(1);
  expect(measured.filter((row) => row?.includes('auto'))).toEqual([measured[0]]);
  await fits('geometry');

  await page.evaluate(() => {
    const form = document.querySelector<HTMLFormElement>('#geometry-form')!;
    (form.elements.namedItem('RH') as HTMLSelectElement).value = '2';
    form.dispatchEvent(new Event('input'));
  });
  await settled('explore');
  expect(await text('#explore-error')).toContain('rate must be 1 where strides are not 1');
});

test('nothing was asked of another server, and no error or warning came up', () => {
  const { origin } = new URL(page.url());
  expect(requestsOf(page).length).toBeGreaterThan(50); // Modules, photos and networks.
  expect(requestsOf(page).filter((url) => new URL(url).origin !== origin)).toEqual([]);
  expect(errors).toEqual([]);
});
