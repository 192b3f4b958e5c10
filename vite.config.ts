import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/**
 * Removes the comments of shaders, except for the marks that `specialize` reads, and their assertions, which the tests
 * have checked. Lines keep their numbers, for error messages.
 */
const bareShaders: Plugin = {
  name: 'bare-shaders',
  apply: 'build',
  enforce: 'pre',
  load(id) {
    if (!id.endsWith('.wgsl?raw')) return null;
    const source = readFileSync(id.slice(0, -'?raw'.length), 'utf8');
    const bare = source.split('\n').map(bareLine).join('\n');
    return { code: `export default ${JSON.stringify(bare)}`, map: { mappings: '' } };
  },
};

/** A line without its comment, but with its mark. A conditional line may be a comment itself, and then stays one. */
function bareLine(line: string): string {
  if (line.startsWith('const_assert ')) return '';
  const conditional = /^(.*?) *(\/\/ if \w+ (?:==|>) \w+)/.exec(line);
  if (conditional) return `${conditional[1]} ${conditional[2]}`;
  const [, code, mark] = /^(.*?) *\/\/ ?(spec\b|unroll(?: once)?$|body of \w+\.wgsl$)?/.exec(line) ?? [];
  return code === undefined ? line : `${code}${mark ? ` // ${mark}` : ''}`;
}

export default defineConfig({
  plugins: [bareShaders],
  resolve: {
    alias: [
      { find: /^sepconv-webgpu$/, replacement: path('src/index.ts') },
      { find: /^sepconv-webgpu\/(\w+)$/, replacement: path('src/$1.ts') },
    ],
    dedupe: ['@tensorflow/tfjs-core'], // The examples have their own packages, but there must be only one tfjs.
  },
  optimizeDeps: {
    entries: [
      'demo/index.html', 'test/*.html',
      ...(existsSync(path('demo/examples/node_modules')) ? ['demo/examples/*/index.html'] : []),
    ],
    exclude: ['onnxruntime-web'], // It loads its WebAssembly from beside itself.
  },
  server: { host: '127.0.0.1' },
  build: {
    target: 'es2022',
    sourcemap: true,
    lib: {
      entry: ['index', 'reference', 'tfjs'].map((entry) => path(`src/${entry}.ts`)), // As in package.json's exports.
      formats: ['es'],
    },
    rolldownOptions: {
      external: /^@tensorflow\//,
      output: {
        chunkFileNames: ({ facadeModuleId: id }) => (id?.includes('.wgsl') ? 'shaders/[name].js' : '[name].js'),
      },
    },
  },
  test: {
    include: ['test/*.test.ts'],
    globalSetup: 'test/setup.ts',
    // Its bundle for Node lacks the gradients, and its modules Node cannot load.
    server: { deps: { inline: [/@tensorflow/] } },
    fileParallelism: false, // Or what one file measures depends on others: test/all.config.ts has those that may.
    testTimeout: 240_000, // Generous: machines may do much else at the same time.
    hookTimeout: 60_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
