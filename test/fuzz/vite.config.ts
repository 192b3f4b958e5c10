import { defineConfig, mergeConfig } from 'vitest/config';
import base from '../../vite.config.js';

/** For `npm run fuzz`. */
export default mergeConfig({ ...base, test: { ...base.test, include: [] } }, defineConfig({
  test: { include: ['test/fuzz/long.ts'], testTimeout: 0, disableConsoleIntercept: true },
}));
