import { mergeConfig } from 'vite';
import { defineConfig } from 'vitest/config';
import shared from '../vite.config.js';

/** The tests that need no browser, in under half a minute: `npm run test:quick`. */
export default mergeConfig({ ...shared, test: { ...shared.test, include: [], globalSetup: [] } }, defineConfig({
  test: {
    include: [
      'canary', 'geometry', 'reference', 'gradients-reference', 'float16', 'shader', 'shaders', 'presets', 'choice',
      'rows', 'check', 'contest', 'costs', 'style', 'tflite',
    ].map((name) => `test/${name}.test.ts`),
    fileParallelism: true,
  },
}));
