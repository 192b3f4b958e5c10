import { defineConfig, mergeConfig } from 'vitest/config';
import base from '../../vite.config.js';

/** For `npm run bench:instructions`. */
export default mergeConfig({ ...base, test: { ...base.test, include: [] } }, defineConfig({
  test: { include: ['test/instructions/instructions.ts'], disableConsoleIntercept: true },
}));
