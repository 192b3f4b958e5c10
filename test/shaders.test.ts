import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { create } from 'webgpu';
import { activations } from '../src/activations.js';
import { type BindingKind, codeOf } from '../src/kernels/kernel.js';
import { specialize } from '../src/kernels/shader.js';
import { ENTRIES } from '../src/gpu/pipelines.js';
import { presetsOfKind } from '../src/plan/presets.js';
import { cases } from './cases.js';
import { drawnShare } from './draw.js';
import { backwardPlanOf, defaultProfile, kindOf, planOf } from './plans.js';

// Dawn's null backend runs the real compiler, with its checks of types, uniformity and limits, and executes nothing.
let gpu: GPU | undefined; // Dawn ends with this object.
let device: GPUDevice;

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);

beforeAll(async () => {
  console.log(`shader tests: seed ${seed}`);
  gpu = create(['backend=null']);
  device = await (await gpu.requestAdapter())!.requestDevice({ requiredFeatures: ['subgroups', 'shader-f16'] });
});
afterAll(() => {
  device.destroy();
  gpu = undefined;
});

async function compileErrors(code: string, bindings?: readonly BindingKind[]): Promise<string[]> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  if (bindings) {
    const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({
      entries: bindings.map((kind, binding) => ({ binding, visibility: 4, ...ENTRIES[kind] })),
    })] });
    device.createComputePipeline({ layout, compute: { module } });
  }
  const error = await device.popErrorScope();
  const { messages } = await module.getCompilationInfo();
  return [...(error ? [error.message] : []), ...messages.map(({ lineNum, message }) => `${lineNum}: ${message}`)];
}

const root = new URL('..', import.meta.url);
const files = ['shaders', 'demo/shaders'].flatMap((folder) =>
  readdirSync(new URL(folder, root)).filter((file) => file.endsWith('.wgsl')).map((file) => `${folder}/${file}`));
test.each(files)('%s compiles as it stands', async (file) => {
  expect(await compileErrors(readFileSync(new URL(file, root), 'utf8'))).toEqual([]);
});

const shaderFiles = readdirSync(new URL('shaders', root)).filter((file) => file.endsWith('.wgsl'));

test.each(shaderFiles)('%s: what is not so by its own constants is a comment', (file) => {
  const source = readFileSync(new URL(`shaders/${file}`, root), 'utf8');
  const code = (text: string): string[] => text.split('\n').map((line) => line.replace(/ *\/\/.*/, ''));
  const rolled = source.replaceAll('// unroll', '');
  expect(code(specialize(rolled, { constants: {} }))).toEqual(code(rolled));
});

describe('every variant that the cases reach compiles, under its own name', () => {
  /** By name, of all presets: what a program is made from, and the program. */
  const variants = new Map<string, { readonly from: string; readonly source: string }>();
  const drawn = [
    ...drawnShare(presetsOfKind('software'), 2, seed), ...drawnShare(presetsOfKind('gpu'), 3, seed),
  ];
  test.each(drawn)('%s', async (preset) => {
    const reached = new Set<string>();
    for (const one of cases) {
      const forward = (['f32', 'f16'] as const).flatMap((dtype) => (['fused', 'two-pass'] as const).map((strategy) =>
        planOf({ ...one, dtype }, defaultProfile, strategy, preset)));
      const backward = backwardPlanOf({ ...one, dtype: 'f32' }, { ...defaultProfile, kind: kindOf(preset) }, preset);
      for (const { dispatch } of [...forward, backward].flatMap(({ steps }) => steps)) {
        const { name, bindings, kernel, constants, bodies, elem } = dispatch;
        reached.add(name);
        const from = JSON.stringify([kernel, constants, bodies, elem ?? 'f32']);
        const known = variants.get(name);
        expect(known?.from ?? from, `${name} names two programs`).toBe(from);
        if (known) continue;
        const source = await codeOf(dispatch);
        variants.set(name, { from, source });
        expect(await compileErrors(source, bindings), name).toEqual([]);
      }
    }
    expect(reached.size).toBeGreaterThan(50);
    expect(new Set([...variants.values()].map(({ source }) => source)).size, 'two names for one program')
      .toBe(variants.size);
  });
});

test('a shader that is wrong is found out', async () => {
  expect(await compileErrors('fn main() -> f32 { return 1u; }')).not.toEqual([]);
});

test('every activation has its twin in WGSL', () => {
  const source = readFileSync(new URL('shaders/activations.wgsl', root), 'utf8');
  for (const kind of Object.keys(activations)) expect(source).toMatch(new RegExp(`^fn ${kind}_?\\(`, 'm'));
});
