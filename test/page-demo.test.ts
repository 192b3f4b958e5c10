import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import process from 'node:process';
import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage } from './browser.js';
import { drawnFrom } from './draw.js';

/** The demo page as a whole: what a visitor of any kind, and a search engine, meets first. */

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const errors: string[] = [];
let page: Page;

interface Found { readonly id: string; readonly nodes: readonly { readonly target: readonly string[] }[] }
declare global {
  interface Window {
    axe: { run: () => Promise<{ violations: Found[] }> };
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
});
afterAll(() => page.close());

test('the page says what it is', async () => {
  const content = (selector: string) => page.$eval(selector, (found) => found.getAttribute('content') ?? '');
  expect(await page.title()).toContain('Blur your background');
  expect((await content('meta[name=description]')).length).toBeGreaterThan(80);
  expect(await page.$eval('link[rel=icon]', (link) => link.href)).toMatch(/^data:image/);
  expect(await page.$eval('html', ({ lang }) => lang)).toBe('en');
  // The links lead somewhere.
  const links = await page.$$eval('header a', (found) => found.map(({ href }) => href));
  expect(links).toHaveLength(2);
  for (const link of links) expect((await fetch(link)).status, link).toBe(200);
});

const tabs = [
  ['background', 'blur'], ['detect', 'faces'], ['photo', 'filters'], ['learn', 'training'], ['explore', 'geometry'],
  ['gpu-check', 'check'],
] as const;

test('nothing moves while the first tab loads', async () => {
  await page.waitForSelector('#background:not([data-state=working])', { timeout: 60_000 });
  // Less than 0.1 is good: https://web.dev/articles/cls
  expect(await page.evaluate(() => window.shift)).toBeLessThan(0.01);
});

/** Widths in light and dark, where only colours differ: the least in both, the others by turns; `CASES=all`: all. */
const looks = ([320, 768, 1440, 1920] as const).flatMap((width, i) =>
  (width === 320 ? ['light', 'dark'] as const : drawnFrom(['dark', 'light'] as const, seed + i))
    .map((value) => [width, value] as const));

const passes = '%s: axe finds nothing, and nothing sticks out, from 320 to 1920 pixels, in light and dark';
test.each(tabs)(passes, async (panel, hash) => {
  await page.evaluate((to) => void (location.hash = to), hash);
  // Learning takes longer, and looks the same meanwhile.
  const busy = panel === 'learn' ? ':not([hidden])' : ':not([data-state=working])';
  await page.waitForSelector(`#${panel}${busy}`, { timeout: 60_000 });
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe);
  for (const [width, value] of looks) {
    await page.setViewport({ width, height: 900 });
    await page.emulateMediaFeatures([
      { name: 'prefers-color-scheme', value }, { name: 'prefers-reduced-motion', value: 'reduce' },
    ]);
    const name = `${value} at ${width}`;
    expect(await page.evaluate(() => document.documentElement.scrollWidth), name).toBeLessThanOrEqual(width);
    const { violations } = await page.evaluate(() => window.axe.run());
    const found = violations.map(({ id, nodes }) => [id, ...nodes.map(({ target }) => target.join(' '))].join());
    expect(found, name).toEqual([]);
    await page.screenshot({ path: `output/page-${panel}-${value}-${width}.png`, fullPage: true });
  }
  await page.setViewport({ width: 1280, height: 900 });
});

test('each tab has an address that opens it', async () => {
  for (const [panel, hash] of tabs.toReversed()) {
    await page.evaluate((to) => void (location.hash = to), hash);
    await page.waitForSelector(`#tab-${panel}[aria-selected=true]`);
    expect(await page.$$eval('.panel:not([hidden])', (shown) => shown.map(({ id }) => id))).toEqual([panel]);
  }
});

test('no error or warning came up', () => {
  expect(errors).toEqual([]);
});
