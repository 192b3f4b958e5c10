import type { PipelineManager } from 'sepconv-webgpu';
import type { DetectorId } from '../../demo/networks/load.js';
import { type Check, type Contender, expectedOf, type Reading, Runner } from './contender.js';
import type { Pair } from './networks.js';
import type { Ceilings } from './webgpu.js';
import { firstWorkload, type Workload } from './workloads.js';

/** Runs in the browser: what is asked for is loaded; our strategies share a page and a device, others have one each. */

let manager: Promise<PipelineManager> | undefined;
const library = async (strategy: 'auto' | 'fused' | 'two-pass'): Promise<Contender> => {
  const [{ PipelineManager: Manager }, { ours }] = await Promise.all([import('sepconv-webgpu'), import('./webgpu.js')]);
  return ours(await (manager ??= Manager.create()), strategy);
};

const passesAlone = async (): Promise<Contender> => {
  const [{ PipelineManager: Manager }, { passesAlone: alone }] = await Promise.all(
    [import('sepconv-webgpu'), import('./webgpu.js')]);
  return alone(await (manager ??= Manager.create()));
};

const loaders: Readonly<Record<string, () => Promise<Contender>>> = {
  'auto': () => library('auto'),
  'fused': () => library('fused'),
  'two-pass': () => library('two-pass'),
  'alone': passesAlone,
  'naive': async () => {
    const [{ naive, requestDevice }, code] = await Promise.all([import('./webgpu.js'), import('./naive.wgsl?raw')]);
    return naive(await requestDevice(navigator.gpu), code.default);
  },
  'tfjs-webgpu': async () => (await import('./tfjs.js')).tfjs('webgpu'),
  'onnxruntime-webgpu': async () => (await import('./onnx.js')).onnxruntime(),
  'litert-webgpu': async () => (await import('./litert.js')).litert(new URL('/', location.href).href),
  'jax-webgpu': async () => (await import('./jax.js')).jax(),
  'tfjs-webgl': async () => (await import('./tfjs.js')).tfjs('webgl'),
  'tfjs-wasm': async () => (await import('./tfjs.js')).tfjs('wasm'),
};

/** The backward pass. */
const backward: Readonly<Record<string, () => Promise<Contender>>> = {
  'gradients': async () => {
    const [{ PipelineManager }, { oursBackward }] = await Promise.all(
      [import('sepconv-webgpu'), import('./gradients.js')]);
    return oursBackward(await PipelineManager.create());
  },
  'gradients-tfjs-webgpu': async () => (await import('./tfjs-gradients.js')).tfjsGradients(),
};

const runners = new Map<string, Runner>();
let pair: Pair | undefined;

const bench = {
  async load(contender: string): Promise<void> {
    runners.set(contender, backward[contender]
      ? new Runner(await backward[contender](), 'row')
      : new Runner(await loaders[contender]!()));
  },

  /** Runs a layer once; what is expected is `url`: all values, then all tolerances, in float64. */
  async prepare(contender: string, workload: Workload, url: string): Promise<Check> {
    const numbers = new Float64Array(await (await fetch(url, { cache: 'no-store' })).arrayBuffer());
    const middle = numbers.length / 2;
    return runners.get(contender)!.prepare(workload, {
      values: numbers.subarray(0, middle), tolerances: numbers.subarray(middle),
    });
  },

  time: (contender: string, repetitions: number): Promise<Reading> => runners.get(contender)!.time(repetitions),
  release: (contender: string): Promise<void> => runners.get(contender)!.release(),

  async ceilings(samples: number): Promise<Ceilings & { readonly adapter: string }> {
    const [{ describe, measureCeilings, requestDevice }, code] = await Promise.all(
      [import('./webgpu.js'), import('./ceilings.wgsl?raw')]);
    const device = await requestDevice(navigator.gpu);
    const ceilings = await measureCeilings(device, code.default, samples);
    const adapter = describe(device.adapterInfo);
    device.destroy();
    return { ...ceilings, adapter };
  },

  /** Milliseconds from loading a contender's code to its first result here, and the files that took. */
  async first(contender: string): Promise<{ milliseconds: number; files: string[] }> {
    const expected = expectedOf(firstWorkload);
    const before = performance.getEntriesByType('resource').length;
    const start = performance.now();
    const first = new Runner(await loaders[contender]!());
    const { failure } = await first.prepare(firstWorkload, expected);
    const milliseconds = performance.now() - start;
    if (failure !== undefined) throw new Error(failure);
    const files = performance.getEntriesByType('resource').slice(before)
      .map(({ name }) => new URL(name).pathname.slice(1));
    return { milliseconds, files: [...new Set(files)] };
  },

  /** Loads a network twice, by this library and by another, checks that both find the same, and says what. */
  async loadNetwork(id: DetectorId | 'segmentation', photo: string): Promise<string> {
    const loaded = id === 'segmentation'
      ? await (await import('./segmentation.js')).loadSegmenters('models/selfie_segmentation.tflite', photo)
      : await (await import('./networks.js')).loadFinders(id, photo);
    pair = loaded.pair;
    return loaded.same;
  },

  /** Milliseconds until it has answered. */
  async timeNetwork(whose: keyof Pair): Promise<number> {
    const start = performance.now();
    await pair![whose]();
    return performance.now() - start;
  },
};

declare global {
  interface Window { bench: typeof bench }
}
window.bench = bench;
