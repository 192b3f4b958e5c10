import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type * as Library from 'sepconv-webgpu';
import type { SavedTuning, Strategy } from 'sepconv-webgpu';
import { create } from 'webgpu';
import type { AdapterKind } from '../../src/kernels/profile.js';
import { type PresetName, presets, presetsOfKind } from '../../src/plan/presets.js';
import { Canary } from './canary.js';
import { deviceTime, queueBehindOtherWork, timeAllDevices } from './clock.js';
import { type Contender, expectedOf, Runner, wallTime } from './contender.js';
import { poseAsBrowser, withImportScripts } from './dawn.js';
import { installPeers } from './install.js';
import { firstLine, measureRow, type Remote, type Row } from './measure.js';
import { type Common, commonOptions, commonUsage, progress, readCommon } from './options.js';
import { report, type Results } from './report.js';
import { describe, isSoftware, measureCeilings, naive, ours, requestDevice } from './webgpu.js';

const LITERT = fileURLToPath(new URL('node_modules/@litertjs/core/wasm', import.meta.url));

/** Libraries made for browsers, each on a device of its own. */
const PEERS: Readonly<Record<string, () => Promise<Contender>>> = {
  'tfjs-webgpu': async () => (await import('./tfjs.js')).tfjs('webgpu'),
  'onnxruntime-webgpu': async () => (await import('./onnx.js')).onnxruntime(),
  'jax-webgpu': async () => (await import('./jax.js')).jax(),
  'litert-webgpu': () => withImportScripts(async () => (await import('./litert.js')).litert(LITERT)),
};
const CONTENDERS = ['auto', 'fused', 'two-pass', 'naive', 'tuned', ...Object.keys(PEERS)];

const USAGE = `npm run bench:node -- [options]

Runs separable convolutions by this library (auto, fused, two-pass, and tuned by measuring), by a naive kernel and by
other libraries without a browser, on the first Vulkan, Metal or D3D12 adapter that Dawn finds, checks every result, and
compares the times.

${commonUsage(CONTENDERS)}
  --presets LIST     also some of the library's presets for this kind of adapter, or all:
                     ${Object.keys(presets).join(',')}
  --clock WHICH      device or wall; default device, except on software adapters
  --help`;

interface Settings extends Common {
  readonly clock: string | undefined;
  readonly presets: string | undefined;
}

async function bench({ contenders: common, workloads, samples, clock, presets: list }: Settings): Promise<Results> {
  const library = new URL('../../dist/index.js', import.meta.url);
  if (!existsSync(library)) throw new Error('the library is not built: run npm run build first');
  const { PipelineManager } = (await import(library.href)) as typeof Library;
  const wgsl = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');
  const gpu = create(['disable-dawn-features=timestamp_quantization']);
  poseAsBrowser(gpu);
  const adapter = await gpu.requestAdapter();
  const software = adapter !== null && isSoftware(adapter.info);
  const canTell = adapter?.features.has('timestamp-query') ?? false;
  if (clock === 'device' && !canTell) throw new Error('--clock device needs an adapter with timestamp-query');
  const byDevice = clock === 'device' || (clock === undefined && canTell && !software);
  if (byDevice) timeAllDevices(wgsl('ceilings.wgsl'));
  const device = await requestDevice(gpu);
  const manager = await PipelineManager.create({ device });
  const forced = readPresets(list, manager.adapterKind);
  // Dawn polls while it waits. Where the adapter computes on the same cores, only this thread makes way for it.
  if (software) setPriority(constants.priority.PRIORITY_LOW);
  progress('The ceilings are measured');
  const stopwatch = byDevice ? deviceTime : wallTime;
  const ceilings = await measureCeilings(device, wgsl('ceilings.wgsl'), samples, stopwatch);
  if (byDevice) queueBehindOtherWork(ceilings);
  const canary = new Canary(ceilings.emptyDispatch);
  const makers: Record<string, () => Promise<Contender>> = {
    naive: async () => naive(device, wgsl('naive.wgsl')),
    tuned: async () => ours(await PipelineManager.create({ device, tuning: 'measure' }), 'auto'),
    ...PEERS,
  };
  if (common.some((name) => PEERS[name])) {
    // A machine without npm or network runs the rest. What is missing then fails by name.
    await installPeers().catch((error: unknown) => console.error(firstLine(error)));
  }
  for (const preset of forced) {
    for (const strategy of ['fused', 'two-pass'] as const) {
      makers[`${strategy} ${preset}`] = async () => withPreset(PipelineManager, device, strategy, preset);
    }
  }
  const contenders = [...common, ...Object.keys(makers).filter((name) => name.includes(' '))];
  const runners: { readonly name: string; readonly runner: Runner | Error }[] = [];
  for (const name of contenders) {
    progress(`${name} is loaded`);
    const make = makers[name] ?? (() => Promise.resolve(ours(manager, name as Strategy)));
    const runner = await make().then((contender) => new Runner(contender), (error: unknown) =>
      new Error(firstLine(error)));
    runners.push({ name, runner });
  }
  const rows: Row[] = [];
  for (const workload of workloads) {
    const expected = expectedOf(workload);
    const remotes = runners.map(({ name, runner }): Remote => {
      if (runner instanceof Error) {
        const fail = (): Promise<never> => Promise.reject(runner);
        return { name, prepare: fail, time: fail, release: () => Promise.resolve() };
      }
      return {
        name,
        prepare: (layer) => runner.prepare(layer, expected),
        time: (repetitions) => canary.take(() => runner.time(repetitions, stopwatch)),
        release: () => runner.release(),
      };
    });
    rows.push(await measureRow(workload, remotes, samples, progress));
  }
  const environment = `Dawn in Node ${process.versions.node}, ${describe(device.adapterInfo)}, `
    + `by the ${byDevice ? 'device\'s own' : 'wall'} clock`;
  manager.destroy();
  device.destroy();
  return {
    date: new Date().toISOString().slice(0, 10), environment, samples, contenders, rows: canary.mark(rows),
    ceilings: { ...ceilings, emptyDispatch: canary.least },
  };
}

/** The library made to take one preset: by a table of measurements that says so, for the layer that it is asked for. */
function withPreset(
  PipelineManager: typeof Library.PipelineManager, device: GPUDevice, strategy: 'fused' | 'two-pass',
  preset: PresetName,
): Contender {
  return {
    async prepare(problem) {
      const measuring = await PipelineManager.create({ device, tuning: 'measure' });
      await (await ours(measuring, strategy).prepare(problem)).release();
      const table = measuring.exportTuning();
      measuring.destroy();
      const choices = Object.fromEntries(Object.keys(table.choices).map((key) =>
        [key, { strategy, presets: strategy === 'fused' ? [preset] : [preset, preset] }]));
      const manager = await PipelineManager.create({ device, tuning: { ...table, choices } satisfies SavedTuning });
      const prepared = await ours(manager, strategy).prepare(problem);
      return {
        ...prepared,
        async release() {
          await prepared.release();
          manager.destroy();
        },
      };
    },
  };
}

/** The library takes no presets for the other kind of adapter from a table. */
function readPresets(list = '', kind: AdapterKind): readonly PresetName[] {
  const known = presetsOfKind(kind);
  if (list === 'all') return known;
  const names = list.split(',').filter(Boolean);
  const unknown = names.find((name) => !known.some((one) => one === name));
  if (unknown !== undefined) {
    throw new Error(`--presets must be some of ${known.join(', ')} on this adapter, or all, got ${unknown}`);
  }
  return names as PresetName[];
}

try {
  const { values } = parseArgs({
    options: { ...commonOptions, clock: { type: 'string' }, presets: { type: 'string' } },
  });
  if (values.clock !== undefined && !['device', 'wall'].includes(values.clock)) {
    throw new Error(`--clock must be device or wall, got ${values.clock}`);
  }
  if (values.help) console.log(USAGE);
  else {
    const results = await bench({
      ...readCommon(values, CONTENDERS), clock: values.clock, presets: values.presets,
    });
    progress('');
    console.log(report(results));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 1)}\n`);
    process.exit(); // Peers keep timers and devices.
  }
} catch (error) {
  progress('');
  console.error(`npm run bench:node: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
