import { copyFileSync, mkdirSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'puppeteer';
import { createServer } from 'vite';
import type { TestProject } from 'vitest/node';
import { launchBrowser } from '../demo/node/browser.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** One for each of the files that go at a time. */
    browserEndpoints: string[];
    origin: string;
    /** For files that share something out between them. */
    seed: number;
  }
}

/** Browsers and one Vite server for all tests that need a real page. Their cameras see a photo of people. */
export default (project: TestProject): Promise<() => Promise<void>> => setUp(project, camera());

/**
 * What makes Chromium take a photo, as a motion JPEG of one frame, for a camera that may be used. Of a photo with an
 * odd number of rows it makes no frames.
 */
function camera(): string[] {
  const path = (relative: string): string => fileURLToPath(new URL(`../node_modules/${relative}`, import.meta.url));
  const film = path('.cache/sepconv-webgpu/camera.mjpeg');
  mkdirSync(path('.cache/sepconv-webgpu'), { recursive: true });
  copyFileSync(path('@vladmandic/face-api/demo/sample1.jpg'), film);
  return ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
    `--use-file-for-fake-video-capture=${film}`];
}

export async function setUp(project: TestProject, browserFlags?: readonly string[]): Promise<() => Promise<void>> {
  // The page's sources go through the same configuration as those in Node.
  const configFile = project.vite.config.configFile ?? false;
  const server = await createServer({ configFile, server: { port: 0, hmr: false }, logLevel: 'warn' });
  await server.listen();
  mkdirSync('output', { recursive: true }); // For screenshots.
  // Each has one thread for what all its pages do on the GPU, so that two files are quicker by two browsers.
  const browsers: Browser[] = [];
  for (let i = 0; i < 2; i++) browsers.push(await launchBrowser((line) => console.log(line), browserFlags));
  project.provide('seed', Number(process.env['SEED'] ?? Date.now() % 1e9));
  project.provide('browserEndpoints', browsers.map((browser) => browser.wsEndpoint()));
  project.provide('origin', server.resolvedUrls?.local[0]?.replace(/\/$/, '') ?? '');
  return async () => {
    for (const browser of browsers) await browser.close();
    await server.close();
  };
}
