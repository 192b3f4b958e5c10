import {
  copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import type { Browser } from 'puppeteer';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';
import { build, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchBrowser } from '../../demo/node/browser.js';
import { run } from '../command.js';
import type { Report } from './consumer/layer.js';

/** Relative to the largest value; what the README claims. */
const TOLERANCE = 2e-6;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const folder = mkdtempSync(join(realpathSync(tmpdir()), 'sepconv-webgpu-'));
let tarball = '';
let browser: Browser;

beforeAll(async () => {
  console.log(`seed ${seed}`);
  const packed = JSON.parse(
    await run(['npm', 'pack', '--json', '--silent', '--pack-destination', folder])) as [{ filename: string }];
  tarball = join(folder, packed[0].filename);
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

/**
 * A new project with this package from its tarball, other packages as
 * this repository has them, and files of `consumer/`.
 */
async function install(name: string, files: readonly string[], packages: readonly string[] = []): Promise<string> {
  const project = join(folder, name);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  await run(['npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', tarball, ...packages], project);
  for (const file of files) copyFileSync(new URL(`consumer/${file}`, import.meta.url), join(project, file));
  return project;
}

/** A package in the version that this repository has. */
function sameVersion(name: string): string {
  const { version } = createRequire(import.meta.url)(`../../node_modules/${name}/package.json`) as { version: string };
  return `${name}@${version}`;
}

/** Projects that compile nothing get the layer as JavaScript. */
function writeLayerAsJavaScript(project: string): void {
  const source = readFileSync(new URL('consumer/layer.ts', import.meta.url), 'utf8');
  const { outputText } = transpileModule(source, {
    compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 },
  });
  writeFileSync(join(project, 'layer.js'), outputText);
}

function skipLoudly(skip: (note: string) => never, why: string): never {
  console.error(`NOT TESTED, because ${why}`);
  return skip(why);
}

function expectExact(where: string, reports: readonly (Report | null)[]): void {
  for (const report of reports) {
    console.log(`${where}: ${JSON.stringify(report)}`);
    for (const error of Object.values(report!.errors)) expect(error).toBeLessThan(TOLERANCE);
  }
}

/** Lavapipe, if no other driver is named: the same on every machine. */
function lavapipe(): NodeJS.ProcessEnv {
  const drivers = '/usr/share/vulkan/icd.d';
  const driver = existsSync(drivers) && readdirSync(drivers).find((file) => file.startsWith('lvp_icd'));
  return driver ? { VK_ICD_FILENAMES: join(drivers, driver) } : {};
}

/** The software Vulkan driver that Chromium brings along. */
function swiftShader(): NodeJS.ProcessEnv {
  const executable = realpathSync(browser.process()!.spawnfile);
  const place = [dirname(executable), '/usr/lib/chromium'].find((candidate) =>
    existsSync(join(candidate, 'vk_swiftshader_icd.json')));
  return place === undefined
    ? {}
    : { VK_ICD_FILENAMES: join(place, 'vk_swiftshader_icd.json'), LD_LIBRARY_PATH: place };
}

/** Serves a folder as it stands, opens a page of it, and runs the layer there. */
async function tryInBrowser(served: string, path: string): Promise<(Report | null)[]> {
  const server = await preview({
    root: folder, configFile: false, logLevel: 'warn', appType: 'mpa', build: { outDir: served },
    preview: { host: '127.0.0.1', port: 0 },
  });
  const page = await browser.newPage();
  try {
    const failures: string[] = [];
    page.on('pageerror', (error) => failures.push(String(error)));
    page.on('requestfailed', (request) => failures.push(request.url()));
    await page.goto(new URL(path, server.resolvedUrls!.local[0]).href, { waitUntil: 'networkidle0' });
    expect(failures).toEqual([]);
    return await page.evaluate(`tryAll(${seed})`) as (Report | null)[];
  } finally {
    await page.close();
    await server.close();
  }
}

function writeTsconfig(project: string, options: object, include = '*.ts'): void {
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      target: 'ES2022', lib: ['ES2022', 'DOM'], module: 'ESNext', moduleResolution: 'Bundler', types: ['@webgpu/types'],
      strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false,
      noEmit: true, ...options,
    },
    include: [include],
  }));
}

describe('with Vite and strict TypeScript', () => {
  let project = '';
  beforeAll(async () => {
    project = await install('vite', ['index.html', 'page.ts', 'worker.ts', 'layer.ts', 'types.ts'],
      ['vite', 'typescript', '@webgpu/types'].map(sameVersion));
  });

  test('a page and a module worker compile, build and run', async () => {
    writeTsconfig(project, {});
    await run(['tsc'], project);
    await run(['vite', 'build'], project);
    expectExact('Vite', await tryInBrowser(join(project, 'dist'), 'index.html'));
  });

  test('an app that uses an error class only gets no more', async () => {
    writeFileSync(join(project, 'errors.js'), "export { ValueError } from 'sepconv-webgpu';\n");
    const result = await build({
      root: project, configFile: false, logLevel: 'silent',
      build: { write: false, lib: { entry: 'errors.js', formats: ['es'] } },
    });
    const code = JSON.stringify(result);
    expect(code).toContain('ValueError');
    expect(code).not.toMatch(/requestAdapter|@compute/);
  });
});

describe('with Parcel as it comes, which does not read exports', () => {
  let project = '';
  beforeAll(async () => {
    project = await install('parcel', ['index.html', 'page.ts', 'worker.ts', 'layer.ts'], ['parcel@2.16.4']);
    writeFileSync(join(project, 'alone.html'), '<!doctype html>\n<script type="module" src="./alone.ts"></script>\n');
    writeFileSync(join(project, 'alone.ts'), `
      import { tryLayer } from './layer.js';
      Object.assign(globalThis, { tryAll: async (seed: number) => [await tryLayer(seed)] });
    `);
  });
  const build = (page: string, ...flags: string[]) =>
    run(['parcel', 'build', page, '--no-cache', '--public-url', './', '--dist-dir', `dist-${page}`, ...flags], project);

  test('a page builds and runs', async () => {
    await build('alone.html');
    expectExact('Parcel', await tryInBrowser(join(project, 'dist-alone.html'), 'alone.html'));
  });

  test('a page and a worker do, unless scopes are hoisted', async () => {
    // Parcel 2.16 builds workers for browsers without module workers, unless a browserslist says otherwise. Where it
    // also hoists scopes, it loses modules that such a worker shares with what it imports on demand.
    await build('index.html', '--no-scope-hoist');
    expectExact('Parcel', await tryInBrowser(join(project, 'dist-index.html'), 'index.html'));
  });
});

test('a page with an import map and no bundler runs', async () => {
  const project = await install('html', ['import-map.html']);
  writeLayerAsJavaScript(project);
  expectExact('No bundler', await tryInBrowser(project, 'import-map.html'));
});

test('Deno checks the types and runs', async ({ skip }) => {
  const project = await install('deno', ['deno.ts', 'layer.ts']);
  const deno = (command: 'check' | 'run', ...flags: string[]) =>
    run([
      'deno', command, ...flags, '--sloppy-imports', '--unstable-webgpu', 'deno.ts',
      ...(command === 'run' ? [String(seed)] : []),
    ], project, lavapipe());
  await run(['deno', '--version'], project).catch((error: unknown) =>
    skipLoudly(skip, `there is no Deno: ${String(error)}`));
  await deno('check');
  const reports = JSON.parse(await deno('run', '--no-prompt')) as (Report | null)[];
  if (reports[0] === null) skipLoudly(skip, 'Deno has no adapter: install mesa-vulkan-drivers');
  expectExact('Deno', reports);
});

test('Node runs it on Dawn', async ({ skip }) => {
  const project = await install('node', ['node.js'], [sameVersion('webgpu')]);
  writeLayerAsJavaScript(project);
  const node = async (env?: NodeJS.ProcessEnv) =>
    JSON.parse(await run([process.execPath, 'node.js', String(seed)], project, env)) as (Report | null)[];
  let reports = await node();
  if (reports[0] === null) reports = await node(swiftShader());
  if (reports[0] === null) skipLoudly(skip, 'Dawn has no adapter, nor is there a SwiftShader beside the browser');
  expectExact('Node', reports);
});

describe('the types compile', () => {
  const versions = ['5.2.2', '5.9.3', '6.0.3', '7.0.2'];
  const compile = async (version: string, options: object, include?: string) => {
    writeTsconfig(project, options, include);
    await run([process.execPath, `node_modules/typescript-${version}/bin/tsc`], project);
  };
  let project = '';
  beforeAll(async () => {
    const compilers = versions.map((version) => `typescript-${version}@npm:typescript@${version}`);
    const packages = [...compilers, sameVersion('@webgpu/types')];
    project = await install('types', ['types.ts', 'calls.ts', 'layer.ts'], packages);
  });

  test.for(['5.2.2', '5.9.3'])('with TypeScript %s and @webgpu/types', (version) => compile(version, {}));

  test.for(['6.0.3', '7.0.2'])('with TypeScript %s alone', async (version) => {
    // They lack GPUBufferUsage and the like, which layer.ts takes.
    await compile(version, { types: [] }, 'types.ts');
    await compile(version, { types: [], module: 'NodeNext', moduleResolution: 'NodeNext' }, 'types.ts');
  });

  test.for([['5.2.2', {}], ['5.9.3', {}], ['6.0.3', { types: [] }], ['7.0.2', { types: [] }]] as const)(
    'with TypeScript %s: number[] shapes, options in variables or undefined, results for Blob and writeBuffer',
    ([version, options]) => compile(version, options, 'calls.ts'),
  );

  // Its declarations and the compiler's own disagree in details.
  test.for(['6.0.3', '7.0.2'])('with TypeScript %s and @webgpu/types, unless its declarations are checked', (version) =>
    compile(version, { skipLibCheck: true }));

  // TypeScript 7 has it no more.
  test.for([['5.2.2', {}], ['5.9.3', {}], ['6.0.3', { ignoreDeprecations: '6.0', skipLibCheck: true }]] as const)(
    'with TypeScript %s and the resolution "node10", which does not read exports', ([version, options]) =>
      compile(version, { ...options, moduleResolution: 'node10' }, 'layer.ts'),
  );
});
