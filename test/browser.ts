import process from 'node:process';
import puppeteer, { type Page } from 'puppeteer';
import { inject } from 'vitest';

const requests = new WeakMap<Page, string[]>();

/** The addresses that a page and its workers have asked for since it was opened; `data:` and `blob:` never leave it. */
export const requestsOf = (page: Page): readonly string[] =>
  (requests.get(page) ?? []).filter((url) => !/^(data|blob):/.test(url));

function watchRequests(page: Page): void {
  const seen: string[] = [];
  requests.set(page, seen);
  page.on('request', (request) => seen.push(request.url()));
  page.on('workercreated', ({ client }) => {
    client.on('Network.requestWillBeSent', ({ request }) => seen.push(request.url));
    client.send('Network.enable').catch(() => undefined); // The worker may have ended already.
  });
}

/**
 * Opens a page of the test server in the worker's browser, in a window of its own: pages of one window hide each other.
 * Errors of the page make later calls fail, with their text.
 */
export async function openPage(path: string): Promise<Page> {
  const endpoints = inject('browserEndpoints');
  const own = endpoints[Number(process.env['VITEST_POOL_ID'] ?? 0) % endpoints.length]!;
  const browser = await puppeteer.connect({ browserWSEndpoint: own, protocolTimeout: 600_000 });
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.once('close', () => void context.close().catch(() => undefined));
  watchRequests(page);
  page.on('pageerror', (error) => console.error(`page error: ${String(error)}`));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warn') console.error(`page: ${message.text()}`);
  });
  await page.goto(inject('origin') + path);
  return page;
}
