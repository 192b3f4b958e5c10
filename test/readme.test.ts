import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, inject, test } from 'vitest';
import { activations } from '../src/activations.js';
import { ONE_CALL } from '../src/arguments/reading.js';
import { separableConv2dReference } from '../src/reference.js';
import { openPage } from './browser.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const FILES = ['README.md', ...['demo', 'shaders', 'src', 'test', 'test/bench'].map((folder) => `${folder}/README.md`)];
const readme = read('README.md');

interface Block { readonly language: string; readonly code: string }

const blocksOf = (path: string): Block[] =>
  [...read(path).matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(([, language, code]) =>
    ({ language: language!, code: code! }));
const codeOf = (path: string, language: string): string[] =>
  blocksOf(path).filter((block) => block.language === language).map(({ code }) => code);

describe('README.md', () => {
  test('is short, and in the order in which it is read', () => {
    expect(Buffer.byteLength(readme)).toBeLessThanOrEqual(11_500);
    const headings = [...readme.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);
    expect(headings)
      .toEqual(['Try it', 'Install', 'One call', 'Embed', 'Options', 'Errors and limits', 'Speed', 'More']);
    const [first] = codeOf('README.md', 'sh');
    expect(first!.trim().split('\n').map((line) => line.replace(/\s+#.*/, ''))).toEqual(['npm start', 'npm test']);
  });

  test('embeds in 15 lines', () => {
    const [, embedding] = codeOf('README.md', 'js');
    expect(embedding).toContain('conv.encode(pass');
    expect(embedding!.split('\n').filter(Boolean).length).toBeLessThanOrEqual(15);
  });

  test("has MobileNetV2's block in 20 lines", () => {
    const [, , block] = codeOf('README.md', 'js');
    expect(block).toContain('residual: features');
    expect(block!.split('\n').filter(Boolean).length).toBeLessThanOrEqual(20);
  });

  test('has every option and activation, and messages as they are', () => {
    const table = [...readme.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, names]) =>
      [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => name!));
    expect(table.toSorted()).toEqual(ONE_CALL.both.toSorted());
    const named = /^Activations: ([^]*?)\.$/m.exec(readme)![1]!.replaceAll(/['`{}\s]|: alpha/g, '').split(',');
    expect(named.toSorted()).toEqual(Object.keys(activations).toSorted());
    const tensor = (...shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b)) });
    const wrong = () =>
      separableConv2dReference(tensor(1, 1, 1, 32), tensor(1, 1, 32, 2), tensor(1, 1, 32, 128), { padding: 'SAME' });
    const message = /`(separableConv2d: [^`]*)`/.exec(readme)![1]!;
    expect(wrong).toThrow(message);
  });
});

/**
 * What the examples compute, compared with the reference: the embedding's output before the training writes it anew.
 */
const withChecks = (own: string, demo: string): string => `${own}
  import {
    pointwiseConv2dReference, separableConv2dGradientsReference, separableConv2dReference,
  } from 'sepconv-webgpu/reference';
  const most = (values) => values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const error = (values, { data }) =>
    (values.length === data.length ? most(values.map((value, i) => value - data[i])) / most(data) : NaN);
  const download = async (source, size) => {
    const target = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const copies = device.createCommandEncoder();
    copies.copyBufferToBuffer(source, 0, target, 0, size);
    device.queue.submit([copies.finish()]);
    await target.mapAsync(GPUMapMode.READ);
    return new Float32Array(target.getMappedRange());
  };
  const plain = [x, depthwiseFilter, pointwiseFilter, { strides: 2, padding: 'SAME' }];
  const embedded = await download(output, conv.outputByteLength);
  const block = await download(result, project.outputByteLength);
  const x0 = { shape: expand.inputShape, data: await download(features, expand.inputByteLength) };
  const x1 = pointwiseConv2dReference(x0, up, { activation: 'relu6' });
  const blockOptions = {
    padding: 'SAME', depthwiseActivation: 'relu6', allowOverparameterized: true, residual: true,
  };
  ${demo.replace('// … your loss', 'device.queue.writeBuffer(outputGradient, 0, dy.data); //')}
  const expected = separableConv2dGradientsReference(dy, ...plain);
  globalThis.errors = {
    'one call': error(y.data, separableConv2dReference(...plain)),
    'embedded': error(embedded, separableConv2dReference(
      x, depthwiseFilter, pointwiseFilter, { strides: 2, padding: 'SAME', activation: 'relu6' })),
    'block': error(block, separableConv2dReference(x1, between, down, blockOptions, { residual: x0 })),
    'gradients in one call': error(slopes.input.data, expected.input),
    'training, forward': error(await download(output, forward.outputByteLength), separableConv2dReference(...plain)),
    'training, depthwise filter': error(
      await download(depthwiseFilterGradient, backward.byteLengths.depthwiseFilterGradient), expected.depthwiseFilter),
    'training, pointwise filter': error(
      await download(pointwiseFilterGradient, backward.byteLengths.pointwiseFilterGradient), expected.pointwiseFilter),
  };`;

test('JavaScript runs as it stands, one block after the other, from the built package', async () => {
  const [own, demo] = ['README.md', 'demo/README.md'].map((path) => codeOf(path, 'js'));
  expect([own!.length, demo!.length]).toEqual([3, 2]);
  for (const path of FILES.slice(2)) expect(codeOf(path, 'js'), path).toEqual([]);
  const origin = inject('origin');
  const page = await openPage('/package.json'); // Any document of an origin that has WebGPU.
  await page.waitForNetworkIdle(); // The browser asks for an icon, and tells that there is none.
  const failed = new Promise<never>((_, reject) => {
    page.on('pageerror', reject);
    page.on('console', (message) => {
      if (message.type() === 'error') reject(new Error(message.text()));
    });
  });
  const imports = {
    'sepconv-webgpu': `${origin}/dist/index.js`, 'sepconv-webgpu/reference': `${origin}/dist/reference.js`,
  };
  await page.setContent(`<script type="importmap">${JSON.stringify({ imports })}</script>
    <script type="module">${withChecks(own!.join('\n'), demo!.join('\n'))}</script>`);
  await Promise.race([failed, page.waitForFunction('globalThis.errors')]);
  const errors = await page.evaluate('errors') as Readonly<Record<string, number>>;
  console.log(JSON.stringify(errors));
  for (const [what, error] of Object.entries(errors)) {
    expect(error, what).toBeGreaterThan(0);
    expect(error, what).toBeLessThan(1e-5);
  }
  await page.close();
});

test('TypeScript compiles, under the strict options of this repository', () => {
  const sources = new Map(FILES.flatMap((path) =>
    codeOf(path, 'ts').map((code, i) => [join(root, dirname(path), `readme-${i}.ts`), code] as const)));
  expect(sources.size).toBeGreaterThan(0);
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, 'tsconfig.json'), (path) => readFileSync(path, 'utf8')).config, ts.sys, root);
  const host = ts.createCompilerHost(options);
  const own = { ...host };
  host.fileExists = (path) => sources.has(path) || own.fileExists(path);
  host.getSourceFile = (path, languageVersion) => {
    const source = sources.get(path);
    return source === undefined
      ? own.getSourceFile(path, languageVersion)
      : ts.createSourceFile(path, source, languageVersion);
  };
  const program = ts.createProgram([...sources.keys()], options, host);
  // Of these alone: `npm run check` has the others.
  const diagnostics = [...sources.keys()]
    .flatMap((path) => ts.getPreEmitDiagnostics(program, program.getSourceFile(path)));
  expect(ts.formatDiagnostics(diagnostics, host)).toBe('');
});

test('WGSL is lines of shaders, which other tests compile', () => {
  const bare = (line: string): string => line.trim().replaceAll(/\s+/g, ' ');
  const lines = new Set(readdirSync(join(root, 'shaders')).filter((file) => file.endsWith('.wgsl'))
    .flatMap((file) => read(`shaders/${file}`).split('\n').map(bare)));
  for (const path of FILES) {
    for (const line of codeOf(path, 'wgsl').flatMap((code) => code.split('\n'))) {
      expect(lines, line).toContain(bare(line));
    }
  }
});

/** The text of a heading as a link has it. */
const anchor = (heading: string): string => heading.toLowerCase().replaceAll(/[^\w\s-]/g, '').replaceAll(' ', '-');

describe.each(FILES)('%s', (path) => {
  const text = read(path);
  const prose = text.replaceAll(/^```[^]*?^```$/gm, '');

  test('has no code that is not tested', () => {
    for (const { language } of blocksOf(path)) expect(['js', 'ts', 'sh', 'wgsl', 'mermaid']).toContain(language);
    expect(prose).not.toContain('```');
    expect(prose).not.toMatch(/\n\n {4}/); // Indented code, which has no language.
  });

  test('names commands that there are', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Readonly<Record<string, string>> };
    const commands = [
      ...codeOf(path, 'sh').flatMap((code) => code.trim().split('\n')),
      ...[...prose.matchAll(/`([^`]+)`/g)].map(([, code]) => code!).filter((code) => /\bnp[mx] /.test(code)),
    ];
    for (const command of commands) {
      const [, words] = /^(?:[A-Z_]+=\S+ )*((?:npm|npx) .*?)(?:\s+#.*)?$/s.exec(command) ?? [];
      expect(words, command).toBeDefined();
      const [tool, ...rest] = words!.split(/\s+/) as [string, ...string[]];
      if (tool === 'npx') {
        expect(rest.slice(0, 2), command).toEqual(['vitest', 'run']);
        for (const file of rest.filter((word) => word.endsWith('.ts'))) {
          expect(existsSync(join(root, file)), file).toBe(true);
        }
      } else if (!['ci', 'install', 'pack'].includes(rest[0]!)) {
        expect(Object.keys(scripts), command).toContain(rest[0] === 'run' ? rest[1] : rest[0]);
      }
    }
  });

  test('links to what there is', () => {
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (target!.startsWith('https://')) continue;
      const [file, heading] = target!.split('#') as [string, string?];
      const linked = file === '' ? path : join(dirname(path), file);
      expect(existsSync(join(root, linked)), target).toBe(true);
      if (heading === undefined) continue;
      expect([...read(linked).matchAll(/^#+ (.*)$/gm)].map(([, title]) => anchor(title!)), target).toContain(heading);
    }
  });
});
