import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { expect, test } from 'vitest';
import type * as reference from '../src/reference.js';
import { VERSION } from '../src/tuning.js';

const root = new URL('../', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, root), 'utf8');
const files = readdirSync(new URL('dist', root)).filter((file) => file.endsWith('.js'));

test('the built files are plain ESM without bare imports, with types', () => {
  expect(files).toEqual(expect.arrayContaining(['index.js', 'reference.js']));
  for (const file of files) {
    const imports = [...read(`dist/${file}`).matchAll(/(?:from|import)\s*\(?\s*["']([^"']+)["']/g)].map(([, specifier]) => specifier!);
    for (const specifier of imports) expect(specifier, file).toMatch(/^\.\/\w+\.js$/);
    expect(read(`dist/${file.replace('.js', '.d.ts')}`)).toContain('export');
  }
  expect(read('dist/reference.js')).not.toMatch(/GPU|navigator/);
});

test('the built reference computes without a GPU', async () => {
  const { separableConv2dReference } = await import(new URL('dist/reference.js', root).href) as typeof reference;
  const one = (value: number) => ({ shape: [1, 1, 1, 1], data: Float32Array.of(value) }) as const;
  expect([...separableConv2dReference(one(2), one(3), one(5), { padding: 'SAME' }).data]).toEqual([30]);
});

test('minified and gzipped, everything takes at most 25 KiB', async () => {
  const result = await build({
    configFile: false, logLevel: 'silent',
    build: {
      write: false, minify: true, target: 'es2022',
      rolldownOptions: { input: ['dist/index.js', 'dist/reference.js'].map((file) => new URL(file, root).pathname), preserveEntrySignatures: 'strict' },
    },
  });
  const chunks = [result].flat().flatMap((part) => ('output' in part ? part.output : [])).flatMap((part) => (part.type === 'chunk' ? [part.code] : []));
  const bytes = chunks.reduce((sum, code) => sum + gzipSync(code).length, 0);
  console.log(`minified and gzipped: ${bytes} bytes in ${chunks.length} files`);
  expect(bytes).toBeGreaterThan(5000);
  expect(bytes).toBeLessThanOrEqual(25 * 1024);
});

test('saved tuning bears the version of the package', () => {
  expect(VERSION).toBe((JSON.parse(read('package.json')) as { version: string }).version);
});

test('the published package has no dependencies and only the build', () => {
  const { dependencies, files: published, sideEffects } = JSON.parse(read('package.json')) as Record<string, unknown>;
  expect(dependencies).toBeUndefined();
  expect(published).toEqual(['dist']);
  expect(sideEffects).toBe(false);
});
