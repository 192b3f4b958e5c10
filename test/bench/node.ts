import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import type * as Library from 'sepconv-webgpu';
import type { Strategy } from 'sepconv-webgpu';
import { create, globals } from 'webgpu';
import { expectedOf, Runner } from './contender.js';
import { measureRow, type Remote, type Row } from './measure.js';
import { type Common, commonOptions, commonUsage, progress, readCommon } from './options.js';
import { report, type Results } from './report.js';
import { describe, measureCeilings, naive, ours, requestDevice, useDeviceClock } from './webgpu.js';

const CONTENDERS = ['auto', 'fused', 'two-pass', 'naive'] as const;

const USAGE = `npm run bench:node -- [options]

Runs separable convolutions by this library (auto, fused, two-pass) and by a naive kernel without a browser, on the first
Vulkan, Metal or D3D12 adapter that Dawn finds, checks every result, and compares the times.

${commonUsage(CONTENDERS)}
  --clock WHICH      device or wall; default device, except on software adapters
  --help`;

async function bench({ contenders, workloads, samples }: Common, clock: string | undefined): Promise<Results> {
  const library = new URL('../../dist/index.js', import.meta.url);
  if (!existsSync(library)) throw new Error('the library is not built: run npm run build first');
  const { PipelineManager } = (await import(library.href)) as typeof Library;
  const wgsl = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');
  Object.assign(globalThis, globals);
  const gpu = create([]); // The devices live as long as this object.
  const device = await requestDevice(gpu);
  const manager = await PipelineManager.create({ device });
  if (clock === 'device' || (clock === undefined && manager.adapterKind === 'gpu' && device.features.has('timestamp-query'))) {
    useDeviceClock(device);
  }
  progress('The ceilings are measured');
  const ceilings = await measureCeilings(device, wgsl('ceilings.wgsl'), samples);
  const runners = contenders.map((name) => ({
    name, runner: new Runner(name === 'naive' ? naive(device, wgsl('naive.wgsl')) : ours(manager, name as Strategy)),
  }));
  const rows: Row[] = [];
  for (const workload of workloads) {
    const expected = expectedOf(workload);
    const remotes = runners.map(({ name, runner }): Remote => ({
      name,
      prepare: (layer) => runner.prepare(layer, expected),
      time: (repetitions) => runner.time(repetitions),
      release: () => runner.release(),
    }));
    rows.push(await measureRow(workload, remotes, samples, progress));
  }
  const environment = `Dawn in Node ${process.versions.node}, ${describe(device.adapterInfo)}`;
  manager.destroy();
  device.destroy();
  return { date: new Date().toISOString().slice(0, 10), environment, samples, ceilings, contenders, rows };
}

try {
  const { values } = parseArgs({ options: { ...commonOptions, clock: { type: 'string' } } });
  if (values.clock !== undefined && !['device', 'wall'].includes(values.clock)) {
    throw new Error(`--clock must be device or wall, got ${values.clock}`);
  }
  if (values.help) console.log(USAGE);
  else {
    const results = await bench(readCommon(values, CONTENDERS), values.clock);
    progress('');
    console.log(report(results));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 1)}\n`);
  }
} catch (error) {
  progress('');
  console.error(`npm run bench:node: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
