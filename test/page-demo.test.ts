import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage } from './browser.js';
import { checkLooks, LOOKS } from './looks.js';

/** The demo page as a whole: what a visitor of any kind, and a search engine, meets first. */

const errors: string[] = [];
let page: Page;

beforeAll(async () => {
  page = await openPage('/package.json');
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    const isOurs = message.location().url?.includes('favicon') !== true; // That of the page before.
    if (isOurs && (message.type() === 'error' || message.type() === 'warn')) errors.push(message.text());
  });
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(new URL('/demo/#filters', page.url()).href);
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

/** Two have their networks to compile, so that the tests that show them anyway check how they look. */
const light = tabs.filter(([panel]) => !['background', 'detect'].includes(panel));
test.each(light)(`%s: ${LOOKS}`, async (panel, hash) => {
  await page.evaluate((to) => void (location.hash = to), hash);
  // Learning takes longer, and looks the same meanwhile.
  const busy = panel === 'learn' ? ':not([hidden])' : ':not([data-state=working])';
  await page.waitForSelector(`#${panel}${busy}`, { timeout: 60_000 });
  await checkLooks(page, panel);
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
