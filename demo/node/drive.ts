import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, relative, sep } from 'node:path';
import process from 'node:process';
import type { Browser, Page } from 'puppeteer';

/** Driving the demo page: what the jobs of `npm start` share. */

const TIMEOUT = 300_000;

export interface OpenPage {
  readonly page: Page;
  /** What went wrong in the page; each is repeated on stderr at once. */
  readonly complaints: readonly string[];
}

/** Opens one tab of the demo page and waits for its first result. */
export async function openTab(
  browser: Browser, url: string, tab: 'blur' | 'faces' | 'filters', panel: string,
): Promise<OpenPage> {
  const page = await browser.newPage();
  const complaints = listen(page);
  await page.goto(`${url}#${tab}`);
  await settled(page, panel);
  return { page, complaints };
}

/** Repeats on stderr, and collects, whatever goes wrong in the page. */
export function listen(page: Page): string[] {
  const complaints: string[] = [];
  const complain = (line: string): void => {
    complaints.push(line);
    console.error(`page: ${line}`);
  };
  page.on('pageerror', (error) => complain(error instanceof Error ? error.message : String(error)));
  page.on('error', ({ message }) => complain(message));
  page.on('console', (message) => {
    if (message.type() === 'error') complain(message.text());
  });
  page.on('requestfailed', (request) => complain(`${request.url()}: ${request.failure()?.errorText ?? 'failed'}`));
  return complaints;
}

/** Waits for a tab's result of what its controls say. @throws Error with the page's message when it has none */
export async function settled(page: Page, panel: string): Promise<void> {
  const section = await page.waitForSelector(`section#${panel}:not([data-state=working])`, { timeout: TIMEOUT });
  const state = await section?.evaluate(({ dataset }) => dataset['state']);
  if (state === 'no-gpu') throw new Error(await textOf(page, '#trouble-reason'));
  if (state === 'failed') throw new Error(await textOf(page, `#${panel} .error`));
}

export async function choosePhoto(page: Page, input: string, path: string): Promise<void> {
  const element = await page.waitForSelector(`input#${input}`);
  await element?.uploadFile(path);
}

/** The `data-` attributes of a tab's report. */
export async function reportOf(page: Page, id: string): Promise<Record<string, string | undefined>> {
  return Object.fromEntries(await page.$eval(`section#${id}`, (section) => Object.entries(section.dataset)));
}

export async function savePicture(page: Page, canvas: string, path: string): Promise<void> {
  writePicture(await page.$eval(`canvas#${canvas}`, (element) => element.toDataURL('image/png')), path);
}

/** Writes what a data URL has. */
export function writePicture(url: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.from(url.slice(url.indexOf(',') + 1), 'base64'));
}

/** As short as it can be written from here. */
export const shortPath = (path: string): string =>
  (path.startsWith(process.cwd() + sep) ? relative(process.cwd(), path) : path);

export const textOf = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, ({ textContent }) => textContent?.trim() ?? '');
