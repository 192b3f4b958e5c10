import type { Page } from 'puppeteer';
import { expect } from 'vitest';
import { openPage } from '../browser.js';

/** An example's page with its checks. */
export interface Opened {
  readonly page: Page;
  readonly name: string;
  readonly errors: readonly string[];
}

export async function open(name: string): Promise<Opened> {
  const page = await openPage('/demo/examples/'); // Listens before the example starts.
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    // GPU errors that nothing caught, too.
    if (message.type() === 'error' || message.type() === 'warn') errors.push(message.text());
  });
  await page.goto(new URL(`/demo/examples/${name}/`, page.url()).href);
  return { page, name, errors };
}

/** Waits for what the example prints at its end. */
export async function shows({ page }: Opened, selector: string, pattern: RegExp): Promise<void> {
  await page.waitForFunction((css, source) => {
    const alert = document.querySelector('[role=alert]');
    if (alert) throw new Error(alert.textContent);
    return new RegExp(source).test(document.querySelector(css)!.textContent);
  }, { timeout: 200_000 }, selector, pattern.source);
}

/** Calls a function of `<name>-check.ts`, which shares its modules with the page. */
export const evaluate = <T>({ page, name }: Opened, call: string): Promise<T> =>
  page.evaluate(`import('/test/interop/${name}-check.ts').then((checks) => checks.${call})`) as Promise<T>;

/** Fails when anything went wrong in the page that nothing caught. */
export async function close({ page, errors }: Opened): Promise<void> {
  await page.close();
  expect(errors).toEqual([]);
}
