import { createServer } from 'vite';
import type { TestProject } from 'vitest/node';
import { launchBrowser } from '../demo/node/browser.js';

declare module 'vitest' {
  interface ProvidedContext { browserEndpoint: string; origin: string }
}

/** One browser and one Vite server for all tests that need a real page. */
export default (project: TestProject): Promise<() => Promise<void>> => setUp(project);

export async function setUp(project: TestProject, browserFlags?: readonly string[]): Promise<() => Promise<void>> {
  // The page's sources go through the same configuration as those in Node.
  const configFile = project.vite.config.configFile ?? false;
  const server = await createServer({ configFile, server: { port: 0, hmr: false }, logLevel: 'warn' });
  await server.listen();
  const browser = await launchBrowser((line) => console.log(line), browserFlags);
  project.provide('browserEndpoint', browser.wsEndpoint());
  project.provide('origin', server.resolvedUrls?.local[0]?.replace(/\/$/, '') ?? '');
  return async () => {
    await browser.close();
    await server.close();
  };
}
