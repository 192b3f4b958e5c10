import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, normalize } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type * as reference from '../src/reference.js';
import { VERSION } from '../src/gpu/device.js';
import { run } from './command.js';

const root = new URL('../', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, root), 'utf8');
const files = readdirSync(new URL('dist', root)).filter((file) => file.endsWith('.js'));
const { dependencies, peerDependencies = {}, peerDependenciesMeta, sideEffects, version } = JSON.parse(read('package.json')) as Manifest;

interface Manifest {
  readonly version: string;
  readonly sideEffects: boolean;
  readonly dependencies?: object;
  readonly peerDependencies?: object;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional: boolean }>>;
}

/** A built file and all that it imports of its own package. Others must be peers, and of an adapter only. */
function reach(file: string, adapter: boolean, reached = new Set<string>()): ReadonlySet<string> {
  if (reached.has(file)) return reached;
  reached.add(file);
  for (const [, specifier] of read(`dist/${file}`).matchAll(/(?:from|import)\s*\(?\s*["']([^"']+)["']/g)) {
    if (/^\.\/[\w-]+\.js$/.test(specifier!)) reach(specifier!.slice(2), adapter, reached);
    else expect(adapter ? Object.keys(peerDependencies) : [], `imports of ${file}`).toContain(specifier);
  }
  return reached;
}

test('the built files are plain ESM without bare imports but of peers by adapters, with types', () => {
  const own = new Set([...reach('index.js', false), ...reach('reference.js', false)]);
  for (const file of files) {
    if (!own.has(file)) reach(file, true);
    expect(read(`dist/${file.replace('.js', '.d.ts')}`)).toContain('export');
  }
  for (const file of reach('reference.js', false)) expect(read(`dist/${file}`), file).not.toMatch(/GPU[A-Z]|navigator/);
});

test('the built reference computes without a GPU', async () => {
  const { separableConv2dReference } = await import(new URL('dist/reference.js', root).href) as typeof reference;
  const one = (value: number) => ({ shape: [1, 1, 1, 1], data: Float32Array.of(value) }) as const;
  expect([...separableConv2dReference(one(2), one(3), one(5), { padding: 'SAME' }).data]).toEqual([30]);
});

test('minified and gzipped, what both entries load takes at most 25 KiB', async () => {
  const result = await build({
    configFile: false, logLevel: 'silent',
    build: {
      write: false, minify: true, target: 'es2022',
      rolldownOptions: { input: ['dist/index.js', 'dist/reference.js'].map((file) => new URL(file, root).pathname), preserveEntrySignatures: 'strict' },
    },
  });
  const chunks = [result].flat().flatMap((part) => ('output' in part ? part.output : [])).filter((part) => part.type === 'chunk');
  // The backward pass and tuning are loaded when they are asked for.
  const [atOnce, later] = [false, true].map((dynamic) => chunks.filter(({ isDynamicEntry }) => isDynamicEntry === dynamic));
  const size = (parts: typeof chunks) => parts.reduce((sum, { code }) => sum + gzipSync(code).length, 0);
  const bytes = size(atOnce!);
  expect(later!.map(({ name }) => name).sort()).toEqual(['later']);
  console.log(`minified and gzipped: ${bytes} bytes, and ${size(later!)} more for gradients and tuning`);
  expect(bytes).toBeGreaterThan(5000);
  expect(bytes).toBeLessThanOrEqual(25 * 1024);
});

test('saved tuning bears the version of the package', () => {
  expect(VERSION).toBe(version);
});

test('the published package needs no other', () => {
  expect(dependencies).toBeUndefined();
  for (const peer of Object.keys(peerDependencies)) expect(peerDependenciesMeta?.[peer]?.optional, peer).toBe(true);
  expect(sideEffects).toBe(false);
});

describe('the tarball', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sepconv-webgpu-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  let tarball = '';
  let paths: string[] = [];
  beforeAll(async () => {
    const packed = JSON.parse(await run(['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder])) as
      [{ filename: string; files: { path: string }[] }];
    tarball = join(folder, packed[0].filename);
    paths = packed[0].files.map(({ path }) => path);
  });

  test('has the build, its sources and the documents, and nothing else', () => {
    expect(paths).toEqual(expect.arrayContaining(['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md']));
    const others = paths.filter((path) => !/^(dist\/([\w-]+\/)?[\w-]+\.(js|d\.ts)(\.map)?|src\/([\w-]+\/)?[\w-]+\.ts|shaders\/[\w-]+\.wgsl|package\.json|\w+\.md|LICENSE)$/.test(path));
    expect(others).toEqual([]);
  });

  test('has a map beside every built file, whose sources it has too', () => {
    const built = paths.filter((path) => /^dist\/.*\.(js|ts)$/.test(path));
    expect(built.length).toBeGreaterThan(files.length);
    for (const path of built) {
      expect(read(path)).toMatch(new RegExp(`\n//# sourceMappingURL=${basename(path)}.map\\s*$`));
      const { sources, sourcesContent } = JSON.parse(read(`${path}.map`)) as { sources: string[]; sourcesContent?: string[] };
      const found = sources.map((source) => normalize(join(dirname(path), source)));
      expect(paths).toEqual(expect.arrayContaining(found));
      if (path.endsWith('.js')) expect(sourcesContent, path).toEqual(found.map(read));
    }
  });

  test('is what publint and @arethetypeswrong/cli want', async () => {
    expect(await run(['publint', 'run', tarball, '--strict'])).toContain('All good!');
    // ESM only: what resolves like old Node and old TypeScript is not meant to find it.
    await run(['attw', tarball, '--profile', 'esm-only', '--no-definitely-typed']);
  });
});

test('the API reference builds without a warning', async () => {
  await run(['npm', 'run', '--silent', 'docs', '--', '--emit', 'none']);
});
