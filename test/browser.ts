import puppeteer, { type Page } from 'puppeteer';
import { inject } from 'vitest';

/** Opens a page of the test server in the shared browser. Errors of the page make later calls fail, with their text. */
export async function openPage(path: string): Promise<Page> {
  const browser = await puppeteer.connect({ browserWSEndpoint: inject('browserEndpoint'), protocolTimeout: 600_000 });
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(`page error: ${String(error)}`));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warn') console.error(`page: ${message.text()}`);
  });
  await page.goto(inject('origin') + path, { waitUntil: 'networkidle0' });
  return page;
}
