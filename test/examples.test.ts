import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'puppeteer';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createServer, type ViteDevServer } from 'vite';
import { openPage } from './browser.js';

/** The examples without what they need: their packages, or the GPU. With it, `npm run test:interop` tests them. */

const root = fileURLToPath(new URL('..', import.meta.url));
let [folder, origin] = ['', ''];
let server: ViteDevServer;
let page: Page;
let failures: string[];

/** A server of a clone where `npm run examples` has not been run. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'examples-'));
  for (const part of ['demo', 'src', 'shaders', 'vite.config.ts', 'tsconfig.json', 'package.json']) {
    cpSync(join(root, part), join(folder, part), { recursive: true, filter: (path) => !path.includes('node_modules') });
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  server = await createServer({
    root: folder, configFile: join(folder, 'vite.config.ts'), cacheDir: join(folder, 'cache'), logLevel: 'silent',
    server: { port: 0, hmr: false },
  });
  await server.listen();
  origin = server.resolvedUrls!.local[0]!;
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => page.close());

async function open(name: string, replace: () => void = () => {}): Promise<void> {
  page = await openPage('/package.json');
  failures = [];
  page.on('response', (response) => {
    const isOurs = !response.url().endsWith('/favicon.ico'); // That of the page before, which comes late at times.
    if (isOurs && response.status() >= 400) failures.push(`${response.status()} ${response.url()}`);
  });
  page.on('pageerror', (error) => failures.push(String(error)));
  await page.evaluateOnNewDocument(replace);
  await page.goto(`${origin}demo/examples/${name}/`);
}

/** What the page tells, once it does, and nothing of it by an error. */
async function told(): Promise<string[]> {
  const alert = await page.waitForSelector('[role=alert]', { timeout: 30_000 });
  expect(failures).toEqual([]);
  const waiting = await page.$$eval('pre, #status', (found) => found.map(({ textContent }) => textContent));
  expect(waiting.filter(Boolean)).toEqual([]);
  return alert!.$$eval('h2, p, button', (parts) => parts.map(({ textContent }) => textContent));
}

test.each(['tfjs', 'onnxruntime', 'three'])('%s tells that its packages are missing, and what to run', async (name) => {
  await open(name);
  expect(await told()).toEqual([
    'The packages of this example are missing',
    'Stop the server of this page and run “npm run examples” instead: '
    + 'it installs them and serves this page again.',
  ]);
  if (name === 'tfjs') await page.screenshot({ path: join(root, 'output/example-packages.png') });
});

test.each(['tfjs', 'onnxruntime', 'three', 'video'])('%s tells that the browser has no WebGPU', async (name) => {
  await open(name, () => void Reflect.deleteProperty(Navigator.prototype, 'gpu'));
  expect(await told())
    .toEqual(['WebGPU is not available here', expect.stringMatching(/^This environment has no WebGPU/)]);
});

test('an adapter that is not there is told, and trying again asks for it again', async () => {
  await open('video', () => {
    if (sessionStorage.getItem('asked')) return;
    sessionStorage.setItem('asked', 'once');
    navigator.gpu.requestAdapter = () => Promise.resolve(null);
  });
  const reason = expect.stringMatching(/^WebGPU found no adapter/);
  expect(await told()).toEqual(['WebGPU is not available here', reason, 'Try again']);
  await Promise.all([page.waitForNavigation(), page.click('aria/Try again[role="button"]')]);
  const filtered = () => document.querySelector('#status')!.textContent.startsWith('320×240, ');
  await page.waitForFunction(filtered, { timeout: 30_000 });
});

test('an adapter that never answers is told', async () => {
  await open('video', () => {
    navigator.gpu.requestAdapter = () => new Promise(() => {});
    const original = setTimeout;
    window.setTimeout = ((run: TimerHandler, milliseconds = 0) =>
      original(run, Math.min(milliseconds, 100))) as typeof setTimeout;
  });
  expect(await told()).toEqual(['The GPU does not answer', expect.stringContaining('has not answered'), 'Try again']);
});

test('a device that is not given is told', async () => {
  await open('three', () => {
    GPUAdapter.prototype.requestDevice = () => Promise.reject(new DOMException('no device', 'OperationError'));
  });
  const reason = expect.stringMatching(/^WebGPU gives no device: .*no device/);
  expect(await told()).toEqual(['WebGPU is not available here', reason, 'Try again']);
});
