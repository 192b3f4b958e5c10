import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { environmentOf } from './implementations.js';

/** Where the built library runs, and from where it is served, beside a browser's page. */

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sepconv-webgpu-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What a script prints in Node, in a process of its own on a software adapter. */
async function inNode(script: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script],
    { cwd: root, env: { ...process.env, ...environmentOf('Node') } });
  return stdout.trim();
}

const work = (dist: string, more = ''): string => `
  import { create } from 'webgpu';
  import { PipelineManager, separableConv2dGradients } from ${JSON.stringify(join(dist, 'index.js'))};
  import { separableConv2dReference } from ${JSON.stringify(join(dist, 'reference.js'))};
  const gpu = create([]);
  const device = await (await gpu.requestAdapter()).requestDevice();
  const tensor = (...shape) =>
    ({ shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => Math.random() - 0.5) });
  const [x, d, p] = [tensor(1, 8, 8, 4), tensor(3, 3, 4, 1), tensor(1, 1, 4, 8)];
  const told = async (work) =>
    console.log(await work().then(() => 'done', (error) => error.name + ': ' + error.message));
  ${more}
  process.exit();`;

test("Node without WebGPU's globals: flags are known by their numbers", async () => {
  const out = await inNode(work(join(root, 'dist'), `
    if (globalThis.GPUBufferUsage !== undefined) throw new Error('there are globals');
    const manager = await PipelineManager.create({ device });
    let worst = 0;
    for (const strategy of ['fused', 'two-pass']) {
      const conv = await manager.prepare({
        inputShape: x.shape, depthwiseFilter: d, pointwiseFilter: p, padding: 'SAME', strategy,
      });
      const y = await conv.run(x);
      const expected = separableConv2dReference(x, d, p, { padding: 'SAME' });
      y.data.forEach((value, i) => worst = Math.max(worst, Math.abs(value - expected.data[i])));
    }
    const gradients = await separableConv2dGradients(tensor(1, 8, 8, 8), x, d, p, { padding: 'SAME', manager });
    console.log(worst > 0 && worst < 1e-5, gradients.input.data.length);`));
  expect(out).toBe('true 256');
});

test('files that are not served beside index.js are told by name, in an error of the library', async () => {
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
  for (const file of ['on-demand.js', 'shaders/pointwise-tiled.js']) rmSync(join(folder, 'dist', file));
  const out = await inNode(work(join(folder, 'dist'), `
    const call = { inputShape: x.shape, depthwiseFilter: d, pointwiseFilter: p, padding: 'SAME' };
    const manager = await PipelineManager.create({ device, adapterKind: 'gpu' });
    await told(() => manager.prepareGradients(call));
    await told(() => PipelineManager.create({ device, tuning: 'measure' }));
    await told(() => manager.prepare({
      ...call, inputShape: [1, 64, 64, 64], depthwiseFilter: tensor(3, 3, 64, 1),
      pointwiseFilter: tensor(1, 1, 64, 64), strategy: 'two-pass',
    }));
    await told(() => manager.prepare({ ...call, strategy: 'fused' }));`));
  const [gradients, tuning, shader, other] = out.split('\n');
  expect(gradients).toMatch(
    /^SepconvError: on-demand.js could not be loaded: all files of the package must be served beside each other/);
  expect(tuning).toBe(gradients);
  expect(shader).toMatch(
    /^SepconvError: .*pointwise-tiled.wgsl could not be loaded: all files of the package must be served/);
  expect(other).toBe('done');
});
