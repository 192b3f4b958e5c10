import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, normalize } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type * as reference from '../src/reference.js';
import { VERSION } from '../src/gpu/device.js';
import { takesTexture } from '../src/kernels/kernel.js';
import { presets } from '../src/plan/presets.js';
import { run } from './command.js';

const root = new URL('../', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, root), 'utf8');
const files = readdirSync(new URL('dist', root)).filter((file) => file.endsWith('.js'));
const {
  alias, dependencies, exports, main, module, peerDependencies = {}, peerDependenciesMeta, scripts, sideEffects,
  types: mainTypes, typesVersions, version,
} = JSON.parse(read('package.json')) as Manifest;

interface Manifest {
  readonly version: string;
  readonly sideEffects: boolean;
  readonly scripts: Readonly<Record<string, string>>;
  readonly main?: string;
  readonly module?: string;
  readonly types?: string;
  readonly typesVersions?: object;
  readonly alias?: object;
  readonly exports: Readonly<Record<'.' | `./${string}`, { readonly types: string; readonly default: string }>>;
  readonly dependencies?: object;
  readonly peerDependencies?: object;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional: boolean }>>;
}

/** A built file and all that it imports of its own package. Others must be peers, and of an adapter only. */
function reach(file: string, adapter: boolean, reached = new Set<string>()): ReadonlySet<string> {
  if (reached.has(file)) return reached;
  reached.add(file);
  for (const [, specifier] of read(`dist/${file}`).matchAll(/(?:from|import)\s*\(?\s*["']([^"']+)["']/g)) {
    if (/^\.\/shaders\/[\w-]+\.js$/.test(specifier!)) {
      expect(read(`dist/${specifier!.slice(2)}`)).not.toMatch(/\bimport\b/);
    } else if (/^\.\/[\w-]+\.js$/.test(specifier!)) {
      reach(specifier!.slice(2), adapter, reached);
    } else {
      expect(adapter ? Object.keys(peerDependencies) : [], `imports of ${file}`).toContain(specifier);
    }
  }
  return reached;
}

test('the built files are plain ESM without bare imports but of peers by adapters, with types', () => {
  const own = new Set([...reach('index.js', false), ...reach('reference.js', false)]);
  for (const file of files) {
    if (!own.has(file)) reach(file, true);
  }
  for (const entry of ['index', 'reference', 'tfjs']) expect(read(`dist/${entry}.d.ts`)).toContain('export');
  for (const file of reach('reference.js', false)) expect(read(`dist/${file}`), file).not.toMatch(/GPU[A-Z]|navigator/);
});

test('the built reference computes without a GPU', async () => {
  const { separableConv2dReference } = await import(new URL('dist/reference.js', root).href) as typeof reference;
  const one = (value: number) => ({ shape: [1, 1, 1, 1], data: Float32Array.of(value) }) as const;
  expect([...separableConv2dReference(one(2), one(3), one(5), { padding: 'SAME' }).data]).toEqual([30]);
});

test('minified and gzipped, what a forward pass loads takes at most 27,900 bytes', async () => {
  const result = await build({
    configFile: false, logLevel: 'silent',
    build: {
      write: false, minify: true, target: 'es2022',
      rolldownOptions: { input: new URL('dist/index.js', root).pathname, preserveEntrySignatures: 'strict' },
    },
  });
  const chunks = [result].flat().flatMap((part) => ('output' in part ? part.output : []))
    .filter((part) => part.type === 'chunk');
  const size = (parts: typeof chunks) => parts.reduce((sum, { code }) => sum + gzipSync(code).length, 0);
  const [atOnce, later] = [false, true].map((dynamic) =>
    chunks.filter(({ isDynamicEntry }) => isDynamicEntry === dynamic)) as [typeof chunks, typeof chunks];
  // Gradients, tuning and float16 are loaded when they are asked for, and each shader when a device compiles it.
  const shaders = readdirSync(new URL('shaders', root)).filter((file) => file.endsWith('.wgsl'))
    .map((file) => file.replace('.wgsl', ''));
  expect(later.map(({ name }) => name).sort()).toEqual(['on-demand', 'float16', ...shaders].sort());
  const bytes = size(atOnce);
  const passesOf = Object.entries(presets).flatMap(([name, { depthwise, pointwise, fused }]) =>
    [[depthwise, pointwise], [fused]].map((passes) => ({ name, passes })));
  const downloads = passesOf.map(({ name, passes }) => {
    const kernels = passes.map(([choice]) => choice!.kernel);
    const names = new Set([
      ...kernels.map((kernel) => kernel.name), 'activations', ...(kernels.some(takesTexture) ? ['filter-texture'] : []),
    ]);
    return [
      `${name} ${passes.length === 1 ? 'fused' : 'two-pass'}`,
      bytes + size(later.filter((chunk) => names.has(chunk.name))),
    ] as const;
  });
  console.log(
    `minified and gzipped: ${bytes} bytes at once; `
    + `with the shaders of a layer: ${downloads.map(([name, all]) => `${name} ${all}`).join(', ')}; `
    + `${size(later.filter(({ name }) => name === 'on-demand'))} for gradients and tuning`);
  expect(bytes).toBeGreaterThan(5000);
  for (const [name, all] of downloads) expect(all, name).toBeLessThanOrEqual(27_900);
});

test('saved tuning bears the version of the package', () => {
  expect(VERSION).toBe(version);
});

describe('package-lock.json', () => {
  interface Locked { readonly optional?: boolean; readonly optionalDependencies?: Readonly<Record<string, string>> }
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Readonly<Record<string, Locked>> };

  /** Where npm finds what a package asks for: in its own node_modules, or in one further out. */
  function lookUp(from: string, name: string): Locked | undefined {
    for (let folder = from; ; folder = folder.slice(0, folder.lastIndexOf('node_modules/')).replace(/\/$/, '')) {
      const found = packages[`${folder}${folder && '/'}node_modules/${name}`];
      if (found || folder === '') return found;
    }
  }

  test('has the optional packages of every platform, not only of the one that it was made on', () => {
    // npm may leave out what is not in node_modules. Change the file where
    // there is none: npm install --package-lock-only.
    for (const name of ['@rolldown/binding-', '@oxlint/binding-', '@esbuild/', '@oxlint-tsgolint/']) {
      for (const platform of ['darwin-arm64', 'win32-x64', 'linux-x64']) {
        const found = Object.keys(packages).filter((path) => path.startsWith(`node_modules/${name}${platform}`));
        expect(found, `${name}${platform}`).not.toEqual([]);
      }
    }
    for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
      const missing = Object.keys(optionalDependencies).filter((name) => !lookUp(path, name));
      expect(missing, `missing for ${path}`).toEqual([]);
    }
  });

  test('is what package.json asks for: npm ci installs from it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sepconv-webgpu-'));
    try {
      for (const file of ['package.json', 'package-lock.json']) copyFileSync(new URL(file, root), join(folder, file));
      // With an empty cache and no network, so that nothing but the two files counts.
      const flags = ['--dry-run', '--offline', '--ignore-scripts', '--no-audit', '--cache', join(folder, 'cache')];
      expect(await run(['npm', 'ci', ...flags], folder)).toContain('added');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('stays as it is when scripts install packages', () => {
    const installs = Object.values(scripts).flatMap((script) => script.match(/npm (?:install|i)\b[^&|;]*/g) ?? []);
    expect(installs.length).toBeGreaterThan(5);
    // Versions of npm write the file each in its own way, npm 10 without `libc`: an install that saves changes it.
    for (const install of installs) expect(install).toMatch(/^npm install\b.* --no-save\b/);
  });

  test('is what continuous integration installs from, once, and it looks whether the tree stayed clean', () => {
    const lines = read('.ci/run').split('\n');
    expect(lines.filter((line) => /^\s*npm (?:ci|install)\b/.test(line))).toEqual([expect.stringMatching(/^npm ci\b/)]);
    const commands = ['npm ci', 'npm test', 'npm run test:package', 'npm run test:interop'];
    const order = [...commands, '.*\\(git .*status --porcelain'].map((command) =>
      lines.findIndex((line) => new RegExp(`^${command}\\b`).test(line)));
    expect(order).not.toContain(-1);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
  });
});

test('tools that do not read exports find the same files', () => {
  const { '.': { types, default: file }, ...entries } = exports;
  expect(main).toBe(file);
  expect(module).toBe(file); // Parcel 2 takes this, webpack 4 and others of its age too.
  expect(mainTypes).toBe(types);
  const named = Object.entries(entries).map(([path, entry]) => [path.slice('./'.length), entry] as const);
  expect(named.map(([name]) => name)).toEqual(['reference', 'tfjs']);
  // TypeScript's resolution "node10", and Parcel 2 unless it is told to read exports.
  expect(typesVersions).toEqual({ '*': Object.fromEntries(named.map(([name, entry]) => [name, [entry.types]])) });
  expect(alias).toEqual(Object.fromEntries(named.map(([name, entry]) => [`./${name}`, entry.default])));
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
    const expected = [
      /^dist\/([\w-]+\/)?[\w-]+\.(js|d\.ts)(\.map)?$/, /^src\/([\w-]+\/)?[\w-]+\.ts$/, /^shaders\/[\w-]+\.wgsl$/,
      /^(package\.json|\w+\.md|LICENSE)$/,
    ];
    const others = paths.filter((path) => !expected.some((pattern) => pattern.test(path)));
    expect(others).toEqual([]);
  });

  test('has a map beside every built file, whose sources it has too', () => {
    const built = paths.filter((path) => /^dist\/.*\.(js|ts)$/.test(path));
    expect(built.length).toBeGreaterThan(files.length);
    for (const path of built) {
      expect(read(path)).toMatch(new RegExp(`\n//# sourceMappingURL=${basename(path)}.map\\s*$`));
      const map = JSON.parse(read(`${path}.map`)) as { sources: string[]; sourcesContent?: string[] };
      const { sources, sourcesContent } = map;
      const found = sources.map((source) => normalize(join(dirname(path), source)));
      expect(paths).toEqual(expect.arrayContaining(found));
      if (path.endsWith('.js')) expect(sourcesContent ?? [], path).toEqual(found.map(read));
    }
  });

  test('is what publint and @arethetypeswrong/cli want', async () => {
    expect(await run(['publint', 'run', tarball, '--strict'])).toContain('All good!');
    // In every way to resolve; the one rule left out says that there is no CommonJS, which there is not meant to be.
    await run(['attw', tarball, '--ignore-rules', 'cjs-resolves-to-esm', '--no-definitely-typed']);
  });
});

test('the API reference builds without a warning', async () => {
  await run(['npm', 'run', '--silent', 'docs', '--', '--emit', 'none']);
});
