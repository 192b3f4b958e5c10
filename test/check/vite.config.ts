import { defineConfig, mergeConfig } from 'vitest/config';
import base from '../../vite.config.js';

/** For `npm run bench:record`. */
export default mergeConfig({ ...base, test: { ...base.test, include: [] } }, defineConfig({
  test: {
    include: ['test/check/record.ts'], testTimeout: 0, disableConsoleIntercept: true,
    env: { GALLIVM_PERF: '', LP_NATIVE_VECTOR_WIDTH: '' }, // As lavapipe is.
  },
}));
