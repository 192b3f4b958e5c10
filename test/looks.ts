import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import process from 'node:process';
import type { Page } from 'puppeteer';
import { expect } from 'vitest';
import { drawnFrom } from './draw.js';

/** How a tab of the demo page looks, to visitors of any kind. */

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);

interface Found { readonly id: string; readonly nodes: readonly { readonly target: readonly string[] }[] }
declare global {
  interface Window {
    axe: { run: () => Promise<{ violations: Found[] }> };
  }
}

/** Widths in light and dark, where only colours differ: the least in both, the others by turns; `CASES=all`: all. */
const looks = ([320, 768, 1440, 1920] as const).flatMap((width, i) =>
  (width === 320 ? ['light', 'dark'] as const : drawnFrom(['dark', 'light'] as const, seed + i))
    .map((value) => [width, value] as const));

export const LOOKS = 'axe finds nothing, and nothing sticks out, from 320 to 1920 pixels, in light and dark';

/** Checks the whole page while a tab is shown. */
export async function checkLooks(page: Page, panel: string): Promise<void> {
  const viewport = page.viewport();
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
  await page.emulateMediaFeatures([]);
  await page.setViewport(viewport);
}
