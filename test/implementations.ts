import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import puppeteer, { type Browser, type Page } from 'puppeteer';
import { build } from 'vite';
import { inject } from 'vitest';
import { openPage } from './browser.js';
import type { Tests } from './page.js';

type Call = (...args: unknown[]) => unknown;
type Answer<N extends keyof Tests> = Promise<Awaited<ReturnType<Tests[N]>>>;

/** One WebGPU implementation, which runs what test/page.ts has. */
export interface Implementation {
  /** With its version. */
  readonly name: string;
  evaluate<N extends keyof Tests>(name: N, ...args: Parameters<Tests[N]>): Answer<N>;
  close(): Promise<void>;
}

/** Why an implementation cannot be had on this machine, and what to do about it. */
export class Missing extends Error {}
const NO_ADAPTER = 'apt-get install mesa-vulkan-drivers for a software one, or a GPU driver';

/**
 * Software adapters are taken wherever there are some, for the same results
 * on every machine, unless `SEPCONV_ADAPTER=gpu`.
 */
const wantsGpu = process.env['SEPCONV_ADAPTER'] === 'gpu';
const LAVAPIPE = firstOf(
  ['x86_64.', 'aarch64.', ''].map((machine) => `/usr/share/vulkan/icd.d/lvp_icd.${machine}json`));
const SWIFTSHADER = firstOf([
  dirname(puppeteer.executablePath()), '/usr/lib/chromium', '/usr/lib64/chromium-browser', '/opt/google/chrome',
  '/opt/microsoft/msedge',
].map((folder) => join(folder, 'vk_swiftshader_icd.json')));
const driver = (manifest: string | undefined) =>
  (wantsGpu || !manifest ? {} : { VK_ICD_FILENAMES: manifest, VK_DRIVER_FILES: manifest });

/**
 * Without LLVM's optimizations lavapipe compiles in half the time, and what the tests compute is soon computed: all of
 * it takes 167 instead of 213 seconds of the processor. Vectors of 128 bits instead of 256 save a few per cent more.
 * What times something sets both variables itself.
 */
const lavapipe = (): Record<string, string> => ({
  ...driver(LAVAPIPE), GALLIVM_PERF: process.env['GALLIVM_PERF'] ?? 'nopt',
  LP_NATIVE_VECTOR_WIDTH: process.env['LP_NATIVE_VECTOR_WIDTH'] ?? '128',
});

/** What a process needs in its environment to get the software adapter of its implementation. */
export const environmentOf = (name: 'Deno' | 'Node'): Record<string, string> =>
  (name === 'Deno' ? lavapipe() : driver(SWIFTSHADER));

/** Every implementation that is tested. Opening one throws `Missing` where it cannot be had. */
export const implementations = {
  async Chromium() {
    const page = await openPage('/test/page.html');
    return onPage(await page.browser().version(), page, () => page.close());
  },

  async Firefox() {
    const browser = await launchFirefox();
    const page = await browser.newPage();
    await page.goto(`${inject('origin')}/test/page.html`);
    return onPage(await browser.version(), page, () => browser.close());
  },

  async Deno() {
    const deno = fileURLToPath(new URL('../node_modules/.bin/deno', import.meta.url));
    if (!existsSync(deno)) throw new Missing('no Deno is installed: npm install');
    return inProcess(
      `Deno ${versionOf('deno')}`, deno, ['run', '--allow-all', '--unstable-webgpu'], environmentOf('Deno'));
  },

  async Node() {
    return inProcess(
      `Node ${process.versions.node}, webgpu ${versionOf('webgpu')}`, process.execPath, [], environmentOf('Node'));
  },
} satisfies Record<string, () => Promise<Implementation>>;

/** @throws Missing */
export async function launchFirefox(): Promise<Browser> {
  const executablePath = process.env['SEPCONV_FIREFOX'] ?? onPath('firefox-esr', 'firefox')
    ?? firstOf(['/Applications/Firefox.app/Contents/MacOS/firefox', 'C:\\Program Files\\Mozilla Firefox\\firefox.exe']);
  if (!executablePath) {
    throw new Missing(
      'no Firefox is installed: apt-get install firefox-esr mesa-vulkan-drivers, or set SEPCONV_FIREFOX');
  }
  return puppeteer.launch({
    browser: 'firefox', executablePath, headless: true, protocolTimeout: 600_000,
    extraPrefsFirefox: { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true },
    env: { ...process.env, ...lavapipe() },
  });
}

async function onPage(name: string, page: Page, close: () => Promise<void>): Promise<Implementation> {
  if (!(await page.evaluate(async () => Boolean(await (navigator.gpu as GPU | undefined)?.requestAdapter())))) {
    await close();
    throw new Missing(`${name} has no adapter: ${NO_ADAPTER}`);
  }
  await page.waitForFunction(() => 'tests' in window);
  return {
    name: name.replace('/', ' '), close,
    evaluate: (call, ...args) =>
      page.evaluate((n, a) => (window.tests[n] as Call)(...a), call, args) as Answer<typeof call>,
  };
}

let bundled: Promise<string> | undefined;

/** Makes test/process.ts a file that Deno and Node run. */
async function bundle(): Promise<string> {
  // A folder of its own, because Vite empties it.
  const outDir = fileURLToPath(new URL('../node_modules/.cache/sepconv-webgpu/process', import.meta.url));
  await build({
    logLevel: 'warn',
    build: {
      lib: false, ssr: fileURLToPath(new URL('process.ts', import.meta.url)), outDir, sourcemap: false,
      rolldownOptions: { external: 'webgpu' },
    },
  });
  return join(outDir, 'process.js');
}

/** Starts test/process.ts and talks with it over its input and output, one call at a time. */
async function inProcess(
  name: string, command: string, args: readonly string[], env: Record<string, string>,
): Promise<Implementation> {
  const child = spawn(command, [...args, await (bundled ??= bundle())], { env: { ...process.env, ...env } });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints = (complaints + text).slice(-4000)));
  child.stdin.on('error', () => undefined); // It has ended, as the next answer tells.
  const ended = new Promise<never>((_, reject) => {
    child.on('error', reject);
    child.on('close', (code) => reject(new Error(`${name} ended with ${code}: ${complaints}`)));
  });
  ended.catch(() => undefined); // Reported by the call that it ends.
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const evaluate: Implementation['evaluate'] = async (call, ...rest) => {
    child.stdin.write(`${JSON.stringify({ name: call, args: rest })}\n`);
    const { value, done } = await answers.next();
    if (done) return ended;
    const { result, error } = JSON.parse(value) as { result?: Awaited<ReturnType<Tests[typeof call]>>; error?: string };
    if (error !== undefined) throw new Error(error);
    return result!;
  };
  await evaluate('environment').catch((error: unknown) => {
    throw /no adapter|no WebGPU/.test(String(error)) ? new Missing(`${name} has no adapter: ${NO_ADAPTER}`) : error;
  });
  return {
    name, evaluate,
    async close() {
      child.kill(); // It may be at work still, for a test that did not wait for it any longer.
      await ended.catch(() => undefined);
    },
  };
}

function onPath(...names: readonly string[]): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  return firstOf(names.flatMap((name) => folders.map((folder) => join(folder, name))));
}

function firstOf(paths: readonly string[]): string | undefined {
  return paths.find((path) => existsSync(path));
}

const versionOf = (name: string): string =>
  (JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8')) as {
    version: string;
  }).version;
