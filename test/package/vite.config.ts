import { defineConfig } from 'vitest/config';

/** `npm run test:package`: what takes longer than `npm test` should. */
export default defineConfig({
  test: { include: ['test/package/*.test.ts'], testTimeout: 300_000, hookTimeout: 300_000 },
});
