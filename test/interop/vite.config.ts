import config from '../../vite.config.js';

/** The tests of the examples, whose packages `npm run test:interop` installs first. */
export default {
  ...config, test: { ...config.test, globalSetup: 'test/interop/setup.ts', include: ['test/interop/*.test.ts'] },
};
