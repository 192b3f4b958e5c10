import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { codeOf } from '../../src/kernels/kernel.js';
import type { Dispatch } from '../../src/plan/dispatch.js';
import type { PresetName } from '../../src/plan/presets.js';
import type { Case } from '../cases.js';
import { environmentOf } from '../implementations.js';
import { backwardPlanOf, defaultProfile, planOf } from '../plans.js';

/**
 * What the kernels for GPUs are compiled to, without a GPU: Mesa's driver for AMD's compiles for a card that is not
 * there, by RADV_FORCE_FAMILY. Counts what one invocation issues, each loop as often as it runs.
 * @see https://docs.mesa3d.org/envvars.html
 */

interface Row {
  readonly name: string;
  readonly dispatch: Dispatch;
  /** How often the loops that are left run, in the order in which they begin. */
  readonly turns: readonly number[];
  /** Multiply-adds that must be found then: those of the work. */
  readonly multiplyAdds: number;
}

const profile = {
  ...defaultProfile, kind: 'gpu', subgroups: false, shaderF16: false,
  limits: {
    ...defaultProfile.limits, maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupStorageSize: 32768,
  },
} as const;
const layer = (size: number, C: number, O: number, more: Partial<Case> = {}): Case =>
  ({ name: 'layer', input: [32, size, size, C], filter: [3, 3, 1], O, padding: 'SAME', ...more });
const forward = (
  kernel: string, preset: PresetName, one: Case, turns: readonly number[], multiplyAdds: number,
): Row => {
  const plans = (['fused', 'two-pass'] as const).map((strategy) => planOf(one, profile, strategy, preset));
  const steps = plans.flatMap((plan) => plan.steps);
  const { dispatch } = steps.find((step) => step.dispatch.kernel === kernel)!;
  return { name: preset, dispatch, turns, multiplyAdds };
};
const backward = (
  kernel: string, preset: PresetName, one: Case, turns: readonly number[], multiplyAdds: number,
): Row => {
  const { steps } = backwardPlanOf(one, profile, preset);
  const { dispatch } = steps.find((step) => step.dispatch.kernel === kernel)!;
  return { name: preset, dispatch, turns, multiplyAdds };
};

/** First among the loops of those with workgroup memory: it is set to 0. */
const ZEROED = 1;
const rows = [
  forward('depthwise-block', 'gpuManyPixels', layer(56, 128, 128), [], 504),
  forward('depthwise-block', 'gpuManyPixels', layer(56, 128, 128, { strides: 2 }), [], 72),
  forward('depthwise-block', 'gpuFewPixels', layer(56, 128, 128), [], 36),
  forward('pointwise-tiled', 'gpuManyPixels', layer(28, 256, 256), [ZEROED, 16], 16384),
  forward('pointwise-tiled', 'gpuManyChannels', layer(28, 256, 256), [ZEROED, 16], 8192),
  forward('pointwise-tiled', 'gpu', layer(28, 256, 256), [ZEROED, 8], 4096),
  forward('pointwise-split', 'gpuFewPixels', layer(7, 1024, 1024), [ZEROED, 16, 4], 512),
  forward('fused-tiled', 'gpuFewChannels', layer(112, 32, 64), [ZEROED, 1, 8, 0], 584),
  forward('fused-tiled', 'gpuManyPixels', layer(56, 128, 128), [ZEROED, 2, 16, 0], 8768),
  forward('fused-tiled', 'gpu', layer(28, 256, 256), [ZEROED, 2, 8, 2], 1168),
  // 14 of the 16 turns have a product of 8 steps.
  forward('fused-rows', 'gpuRows', layer(112, 32, 64), [ZEROED, 16, 7], 14848),
  backward('pointwise-filter-gradient-tiled', 'gpuManyPixels', layer(56, 128, 128), [ZEROED, 16, 0], 16384),
  backward('depthwise-filter-gradient', 'gpuManyPixels', layer(56, 128, 128), [8], 2304),
  backward('depthwise-input-gradient', 'gpuManyPixels', layer(56, 128, 128, { strides: 2 }), [1, 1, 1], 128),
];

const folder = mkdtempSync(join(tmpdir(), 'sepconv-instructions-'));
afterAll(() => rmSync(folder, { recursive: true }));
const radeon = ['x86_64.', 'aarch64.', ''].map((machine) => `/usr/share/vulkan/icd.d/radeon_icd.${machine}json`)
  .find((path) => existsSync(path));

/** What Dawn makes of a kernel, as the text of its SPIR-V; it prints that when it compiles. */
function spirvOf(code: string): string {
  const script = `
    import { create, globals } from 'webgpu';
    Object.assign(globalThis, globals);
    const adapter = await create(['enable-dawn-features=dump_shaders']).requestAdapter();
    const { maxComputeWorkgroupStorageSize } = adapter.limits;
    const device = await adapter.requestDevice({ requiredLimits: { maxComputeWorkgroupStorageSize } });
    const module = device.createShaderModule({ code: process.env.CODE });
    device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
    process.exit();`;
  // SwiftShader takes at most 256 invocations a workgroup.
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8', maxBuffer: 2 ** 26, cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { ...process.env, ...environmentOf('Node'), CODE: code.replace('(SLICES * LANES_OF_SLICE)', '(64)') },
  });
  const text = stdout + stderr;
  const lines = text.slice(text.indexOf('; SPIR-V')).split('\n');
  const end = lines.lastIndexOf(lines.findLast((line) => line.includes('OpFunctionEnd'))!);
  if (end < 0) throw new Error(`Dawn compiled nothing:\n${text.slice(-2000)}`);
  return lines.slice(0, end + 1).join('\n');
}

/** A driver's statistics by name, and its assembly line by line. */
function compiled({ dispatch: { bindings, constants: c, kernel } }: Row, spirv: string, compiler: string) {
  const wide = kernel === 'pointwise-split' ? c['GROUP_X']! * c['GROUP_Y']! * c['SLICES']! : 64;
  writeFileSync(join(folder, 'kernel.spvasm'), spirv.replace('LocalSize 64 1 1', `LocalSize ${wide} 1 1`));
  execFileSync('spirv-as', ['--target-env', 'vulkan1.3', 'kernel.spvasm', '-o', 'kernel.spv'], { cwd: folder });
  const entry = /OpEntryPoint GLCompute %\S+ "(\w+)"/.exec(spirv)![1]!;
  const kinds = bindings.map((kind) => (kind === 'uniform' ? 'u' : 's')).join('');
  const text = execFileSync(compiler, ['kernel.spv', entry, kinds], {
    cwd: folder, encoding: 'utf8', maxBuffer: 2 ** 26,
    env: { ...process.env, VK_ICD_FILENAMES: radeon, VK_DRIVER_FILES: radeon, RADV_FORCE_FAMILY: 'navi21' },
  });
  const [statistics, assembly] = [text.slice(0, text.indexOf('\n\n')), text.slice(text.indexOf('\n\n'))];
  return {
    statistics: new Map(statistics.split('\n').map((line) => line.split('\t') as [string, string])),
    lines: assembly.split('\n').map((line) => line.replace(/;.*/, '').trim()).filter(Boolean),
  };
}

/** The first and last line of each loop, in the order in which they begin: a branch backward ends one. */
function loopsOf(lines: readonly string[]): readonly (readonly [begin: number, end: number])[] {
  const ends = new Map<number, number>();
  for (const [at, line] of lines.entries()) {
    const label = /^s_c?branch\w* (BB\d+)$/.exec(line.replaceAll(/\s+/g, ' '))?.[1];
    const begin = label === undefined ? -1 : lines.indexOf(`${label}:`);
    if (begin >= 0 && begin <= at) ends.set(begin, at);
  }
  return [...ends].sort(([a], [b]) => a - b);
}

/** Instructions of one invocation: all that lanes do for themselves, and the multiply-adds among them. */
function countOf(lines: readonly string[], turns: readonly number[]) {
  const loops = loopsOf(lines);
  expect(loops.length, 'loops that are left').toBe(turns.length);
  let [all, multiplyAdds] = [0, 0];
  for (const [at, line] of lines.entries()) {
    if (!/^(v|ds|buffer)_/.test(line)) continue;
    const times = loops.reduce((product, [begin, end], i) => product * (begin <= at && at <= end ? turns[i]! : 1), 1);
    all += times;
    if (line.startsWith('v_fma')) multiplyAdds += times;
  }
  return { all, multiplyAdds };
}

test('what one invocation issues on RDNA 2, by Mesa', async () => {
  if (radeon === undefined) {
    throw new Error('no driver for AMD: apt-get install mesa-vulkan-drivers spirv-tools libvulkan-dev gcc');
  }
  const compiler = join(folder, 'pipeline');
  execFileSync('cc', ['-O1', '-o', compiler, fileURLToPath(new URL('pipeline.c', import.meta.url)), '-lvulkan']);
  const table = [];
  for (const row of rows) {
    const { statistics, lines } = compiled(row, spirvOf(await codeOf(row.dispatch)), compiler);
    const { all, multiplyAdds } = countOf(lines, row.turns);
    expect(multiplyAdds, row.dispatch.name).toBe(row.multiplyAdds);
    expect(Number(statistics.get('Spilled VGPRs')), row.dispatch.name).toBe(0);
    table.push({
      kernel: row.dispatch.kernel, preset: row.name, instructions: all, multiplyAdds,
      registers: Number(statistics.get('VGPRs')), memory: Number(statistics.get('LDS size')),
      subgroups: Number(statistics.get('Subgroups per SIMD')),
    });
  }
  console.table(table);
});
