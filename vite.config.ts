import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^sepconv-webgpu$/, replacement: path('src/index.ts') },
      { find: /^sepconv-webgpu\/(\w+)$/, replacement: path('src/$1.ts') },
    ],
    dedupe: ['@tensorflow/tfjs-core'], // The examples have packages of their own, but tfjs is one engine.
  },
  optimizeDeps: {
    entries: ['demo/index.html', 'test/*.html', ...(existsSync(path('demo/examples/node_modules')) ? ['demo/examples/*/index.html'] : [])],
    exclude: ['onnxruntime-web'], // It loads its WebAssembly from beside itself.
  },
  server: { host: '127.0.0.1' },
  build: {
    target: 'es2022',
    sourcemap: true,
    lib: { entry: ['index', 'reference', 'tfjs'].map((entry) => path(`src/${entry}.ts`)), formats: ['es'] }, // As in package.json's exports.
    rolldownOptions: { external: /^@tensorflow\//, output: { chunkFileNames: '[name].js' } },
  },
  test: {
    include: ['test/*.test.ts'],
    globalSetup: 'test/setup.ts',
    fileParallelism: false, // A software adapter takes all cores for itself.
    testTimeout: 240_000, // Generous: machines may do much else at the same time.
    hookTimeout: 60_000,
  },
});
