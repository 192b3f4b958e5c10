import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import shared from '../vite.config.js';

/** Tests that wait some seconds for something to stop, or compare times, have the machine to themselves. */
const alone = ['check-demo', 'detect-demo', 'learn-demo'].map((name) => `test/${name}.test.ts`);

/** Chromium's GPU process has one thread for all pages, so that Firefox, Deno and Node begin beside it. */
class OthersFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isFirst = ({ moduleId }: TestSpecification) => moduleId.endsWith('/implementations.test.ts');
    const sorted = await super.sort(files);
    return [...sorted.filter(isFirst), ...sorted.filter((file) => !isFirst(file))];
  }
}

const { globalSetup = [], ...test } = shared.test!;

/**
 * All tests, as `npm test` runs them. All files but those go two at a time: SwiftShader compiles, and a
 * reference computes, on one core for long, which left a fifth of two cores idle.
 */
export default defineConfig({
  ...shared,
  test: {
    globalSetup, // Of the root, so that there is one browser for all.
    sequence: { sequencer: OthersFirst },
    projects: [
      {
        ...shared,
        test: {
          ...test, name: 'together', exclude: alone, fileParallelism: true, maxWorkers: 2, sequence: { groupOrder: 1 },
        },
      },
      { ...shared, test: { ...test, name: 'alone', include: alone } },
    ],
  },
});
