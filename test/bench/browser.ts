import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Browser, Page } from 'puppeteer';
import { build, mergeConfig, preview } from 'vite';
import { launchBrowser } from '../../demo/node/browser.js';
import config from '../../vite.config.js';
import type { Bounded } from '../bounds.js';
import { firstLine, type Remote } from './measure.js';

const here = fileURLToPath(new URL('.', import.meta.url));

/** The contenders' pages as one would publish them, minified, served from a folder that `close` removes. */
export interface Site {
  readonly url: string;
  /** Writes what a layer must give, where pages can fetch it. */
  expect(expected: Bounded): void;
  gzippedBytes(files: readonly string[]): number;
  close(): Promise<void>;
}

const faceApi = join(here, '../../node_modules/@vladmandic/face-api');
const segmentation = join(here, '../../node_modules/@mediapipe/selfie_segmentation/selfie_segmentation.tflite');
const tfjsCore = join(here, 'node_modules/@tensorflow/tfjs-core/dist/index.js');

const EXPECTED = 'expected.bin';
const PAGE =
  '<!doctype html><title>Benchmark</title><link rel="icon" href="data:,"><script type="module" src="page.js"></script>';

export async function publish(): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'sepconv-bench-'));
  await build({
    ...mergeConfig({ resolve: config.resolve }, { resolve: { alias: [
      { find: 'face-api', replacement: join(faceApi, 'dist/face-api.esm-nobundle.js') },
      // It takes all of tfjs from three packages: here the core, with the backends that the page has registered there.
      { find: /^@tensorflow\/tfjs(-backend-(webgl|wasm))?\/dist\/index\.js$/, replacement: tfjsCore },
    ] } }),
    root: here, configFile: false, logLevel: 'error',
    publicDir: join(here, 'node_modules/@litertjs/core/wasm'), // LiteRT.js loads its code by path.
    plugins: [{
      // Its workers get a function as text, which minifying must not let name outer variables.
      name: 'tfjs-wasm-threads',
      transform: (code, id) =>
        (id.endsWith('wasm-threaded-simd.js') ? code.replace('var _scriptDir =', 'globalThis._scriptDir =') : null),
    }],
    build: {
      outDir: folder, target: 'es2022', chunkSizeWarningLimit: Infinity,
      rolldownOptions: { input: join(here, 'page.ts'), output: { entryFileNames: 'page.js' } },
    },
  });
  // Not a file beside the sources: the development server of demo and tests would look for it, and bundle all peers.
  writeFileSync(join(folder, 'page.html'), PAGE);
  cpSync(join(faceApi, 'model'), join(folder, 'models'), { recursive: true });
  cpSync(segmentation, join(folder, 'models/selfie_segmentation.tflite'));
  cpSync(join(faceApi, 'demo'), join(folder, 'photos'), {
    recursive: true, filter: (path) => !/\.\w+$/.test(path) || path.endsWith('.jpg'),
  });
  const server = await preview({
    root: here, configFile: false, logLevel: 'error', appType: 'mpa', build: { outDir: folder },
    preview: {
      host: '127.0.0.1', port: 0,
      // Cross-origin isolation: threads for WebAssembly, and a clock of 5 µs.
      headers: { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' },
    },
  });
  return {
    url: new URL('page.html', server.resolvedUrls!.local[0]).href,
    expect({ values, tolerances }) {
      writeFileSync(
        join(folder, EXPECTED), Buffer.concat([Buffer.from(values.buffer), Buffer.from(tolerances.buffer)]));
    },
    gzippedBytes: (files) => files.reduce((sum, file) => sum + gzipSync(readFileSync(join(folder, file))).length, 0),
    async close() {
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Loads a contender into a page; its failure to start its `prepare` reports. */
export async function loadContender(page: Page, name: string): Promise<Remote> {
  const failure = await page.evaluate((contender) => window.bench.load(contender), name)
    .then(() => undefined, firstLine);
  return {
    name,
    async prepare(workload) {
      if (failure !== undefined) throw new Error(failure);
      return page.evaluate((who, layer, url) => window.bench.prepare(who, layer, url), name, workload, EXPECTED);
    },
    time: (repetitions) => page.evaluate((who, count) => window.bench.time(who, count), name, repetitions),
    release: async () => {
      if (failure === undefined) await page.evaluate((who) => window.bench.release(who), name);
    },
  };
}

export async function openPage(browser: Browser, site: Site): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(site.url, { waitUntil: 'load' });
  await page.waitForFunction(() => 'bench' in window);
  return page;
}

/** Runs `work` in a browser of its own, with a fresh profile. */
export async function withBrowser<T>(work: (browser: Browser) => Promise<T>): Promise<T> {
  const browser = await launchBrowser(console.log);
  try {
    return await work(browser);
  } finally {
    await browser.close();
  }
}
