import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig } from 'vitest/config';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^sepconv-webgpu$/, replacement: path('src/index.ts') },
      { find: /^sepconv-webgpu\/reference$/, replacement: path('src/reference.ts') },
      { find: /^sepconv-webgpu\/tfjs$/, replacement: path('src/tfjs.ts') },
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
    lib: { entry: { index: path('src/index.ts'), reference: path('src/reference.ts'), tfjs: path('src/tfjs.ts') }, formats: ['es'] },
    rolldownOptions: { external: /^@tensorflow\//, output: { chunkFileNames: '[name].js' } },
  },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, 'test/interop/**'], // Has a configuration and a script of its own.
    globalSetup: 'test/setup.ts',
    fileParallelism: false, // A software adapter takes all cores for itself.
    testTimeout: 240_000, // Generous: machines may do much else at the same time.
    hookTimeout: 60_000,
  },
});
