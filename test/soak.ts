import {
  type Convolution, type ConvolutionDescriptor, PipelineManager, separableConv2d, type Tensor4D,
} from 'sepconv-webgpu';
import { BufferPool } from '../src/gpu/buffers.js';
import { PipelineCache } from '../src/gpu/pipelines.js';
import { boundedSeparable } from './bounds.js';
import { type Case, type Problem, problem } from './cases.js';
import { intercept, LiveResources } from './intercept.js';
import { planOf } from './plans.js';
import { random } from './random.js';
import { borrowedDevice, check } from './scenarios.js';

/** Many mixed runs on one manager: what they leave behind must not grow. In the page; `soak-run.ts` drives it. */

export interface SoakState {
  readonly runs: number;
  readonly checked: number;
  /** Buffers that were made and not destroyed, now and at most. */
  readonly buffers: number;
  readonly mostBuffers: number;
  readonly bytes: number;
  /** Pipelines compiled so far, and those that the garbage collector has not taken. */
  readonly compiled: number;
  readonly pipelines: number;
  /** Largest error as a share of its tolerance. */
  readonly worst: number;
}

/** Layers that come again and again, as a network's do; one in twenty runs has a new one. */
const [FAMILIAR, NEW_EVERY] = [24, 20];
/** Convolutions that stay prepared. */
const KEPT = 12;
const CHECK_EVERY = 25;

const ACTIVATIONS = ['linear', 'relu', 'relu6', 'sigmoid', 'tanh', 'hardSwish', 'silu', 'elu'] as const;

function randomCase(next: () => number, index: number): Case & { strategy: 'auto' | 'fused' | 'two-pass' } {
  const whole = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1));
  const one = <T>(values: readonly T[]): T => values[whole(0, values.length - 1)]!;
  const C = whole(1, 16);
  return {
    name: `random ${index}`, input: [whole(1, 2), whole(1, 12), whole(1, 12), C],
    filter: [whole(1, 4), whole(1, 4), one([1, 1, 2])],
    O: whole(1, 24), padding: 'SAME', biases: next() < 0.5, strides: whole(1, 2), allowOverparameterized: true,
    depthwiseActivation: one(ACTIVATIONS), activation: one(ACTIVATIONS), strategy: one(['auto', 'fused', 'two-pass']),
  };
}

interface Layer {
  readonly data: Problem;
  readonly description: ConvolutionDescriptor;
  readonly x: Tensor4D;
}

function layerOf(next: () => number, index: number): Layer {
  const one = randomCase(next, index);
  const data = problem(one, Math.floor(next() * 2 ** 32));
  const { KH, KW, C, M, K, O } = data.geometry;
  const { name, input, padding, strides, allowOverparameterized, depthwiseActivation, activation, strategy } = one;
  return {
    data, x: { shape: input, data: data.input },
    description: {
      name, inputShape: input, padding, strides: strides!, allowOverparameterized: allowOverparameterized!, strategy,
      depthwiseActivation: depthwiseActivation!, activation: activation!,
      depthwiseFilter: { shape: [KH, KW, C, M], data: data.depthwiseFilter },
      pointwiseFilter: { shape: [1, 1, K, O], data: data.pointwiseFilter },
      ...(data.depthwiseBias && { depthwiseBias: data.depthwiseBias }), ...(data.bias && { bias: data.bias }),
    },
  };
}

/** Encodes into a pass of its own on buffers of its own, as an app does. */
async function encoded(manager: PipelineManager, conv: Convolution, { x }: Layer): Promise<Tensor4D> {
  const { device } = manager;
  const size = conv.outputByteLength;
  const make = (byteLength: number, usage: number): GPUBuffer => device.createBuffer({ size: byteLength, usage });
  const buffers = [
    make(x.data.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST),
    make(size, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC),
    make(size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST),
  ] as const;
  const [input, output, readable] = buffers;
  device.queue.writeBuffer(input, 0, x.data as Float32Array<ArrayBuffer>);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  conv.encode(pass, { input, output });
  pass.end();
  encoder.copyBufferToBuffer(output, 0, readable, 0, size);
  device.queue.submit([encoder.finish()]);
  await readable.mapAsync(GPUMapMode.READ);
  const data = new Float32Array(readable.getMappedRange().slice(0));
  for (const buffer of buffers) buffer.destroy();
  return { shape: conv.outputShape, data };
}

/** A soak under way: call `step` until it has run often enough. */
export async function startSoak(seed: number): Promise<{ step(runs: number): Promise<SoakState>; end(): SoakState }> {
  const next = random(seed);
  const live = new LiveResources();
  const pipelines = new Set<WeakRef<object>>();
  let [runs, checked, compiled, mostBuffers, worst] = [0, 0, 0, 0, 0];
  const watch = intercept(({ method, target, proceed }) => {
    const result = proceed();
    live.see(method, target, result);
    mostBuffers = Math.max(mostBuffers, live.count);
    if (method === 'createComputePipelineAsync') {
      compiled++;
      void (result as Promise<object>).then((pipeline) => pipelines.add(new WeakRef(pipeline)));
    }
    return result;
  });
  const manager = await PipelineManager.create();
  const familiar = Array.from({ length: FAMILIAR }, (_, index) => layerOf(next, index));
  for (const { description } of familiar) (await manager.prepare(description)).destroy();
  const kept: { layer: Layer; conv: Convolution }[] = [];

  async function keptOne(layer: Layer): Promise<{ layer: Layer; conv: Convolution }> {
    if (kept.length < KEPT) kept.push({ layer, conv: await manager.prepare(layer.description) });
    return kept[Math.floor(next() * kept.length)]!;
  }

  async function oneRun(): Promise<{ layer: Layer; y: Tensor4D }> {
    const layer = runs % NEW_EVERY === 0 ? layerOf(next, runs) : familiar[Math.floor(next() * FAMILIAR)]!;
    const kind = next();
    if (kind < 0.4) {
      const { inputShape: _, depthwiseFilter, pointwiseFilter, ...options } = layer.description;
      return {
        layer,
        y: await separableConv2d(
          layer.x, depthwiseFilter as Tensor4D, pointwiseFilter as Tensor4D, { ...options, manager }),
      };
    }
    if (kind < 0.6) {
      using conv = await manager.prepare(layer.description);
      return { layer, y: await conv.run(layer.x) };
    }
    if (kind < 0.8) {
      using conv = await manager.prepare(layer.description);
      return { layer, y: await encoded(manager, conv, layer) };
    }
    const { layer: old, conv } = await keptOne(layer);
    return { layer: old, y: await conv.run(old.x) };
  }

  function compareRun({ data }: Layer, y: Tensor4D): void {
    const { values, tolerances } = boundedSeparable(data);
    check(y.data.length === values.length, `run ${runs}: ${y.data.length} values`);
    for (const [i, value] of values.entries()) {
      const error = Math.abs(y.data[i]! - value);
      const share = error && error / tolerances[i]!; // Both may be 0.
      check(share <= 1, `run ${runs}: element ${i} is ${y.data[i]}, not ${value}`);
      worst = Math.max(worst, share);
    }
    checked++;
  }

  const state = (): SoakState => {
    for (const pipeline of pipelines) if (!pipeline.deref()) pipelines.delete(pipeline);
    return {
      runs, checked, buffers: live.count, mostBuffers, bytes: live.bytes, compiled, pipelines: pipelines.size, worst,
    };
  };
  return {
    async step(count) {
      for (const end = runs + count; runs < end; runs++) {
        const { layer, y } = await oneRun();
        if (runs % CHECK_EVERY === 0) compareRun(layer, y);
      }
      return state();
    },
    end() {
      manager.destroy();
      watch[Symbol.dispose]();
      return state();
    },
  };
}

/** The caps of pool and cache by themselves. */
export const caps: Readonly<Record<string, () => Promise<unknown>>> = {
  async 'the pool keeps 256 buffers of 256 MiB at most, the last used'() {
    const device = await borrowedDevice();
    const live = new LiveResources();
    using _ = intercept(({ method, target, proceed }) => {
      const result = proceed();
      live.see(method, target, result);
      return result;
    });
    const pool = new BufferPool(device);
    const usage = GPUBufferUsage.STORAGE;
    const acquire = (count: number, size: number) =>
      Array.from({ length: count }, (_, i) => pool.acquire(size, usage, `buffer ${i}`));
    const small = acquire(300, 64);
    for (const buffer of small) pool.release(buffer);
    const pooled = live.count;
    check(pooled === 256, `${pooled} small buffers`);
    check(pool.acquire(64, usage, 'again') === small.at(-1), 'not the buffer that was used last');
    const large = acquire(6, 60 * 2 ** 20);
    for (const buffer of large) pool.release(buffer);
    check(live.bytes <= 256 * 2 ** 20 + 64 && live.bytes > 200 * 2 ** 20, `${live.bytes} bytes`);
    check(pool.acquire(60 * 2 ** 20, usage, 'again') === large.at(-1), 'not the large buffer that was used last');
    pool.destroy();
    check(live.count === 2, `${live.count} buffers beside the two that are out`);
    device.destroy();
  },

  async 'the pipeline cache keeps the pipelines that were used last'() {
    const device = await borrowedDevice();
    const cache = new PipelineCache(device, 2);
    let compiles = 0;
    using _ = intercept(({ method, proceed }) => {
      if (method === 'createComputePipelineAsync') compiles++;
      return proceed();
    });
    const profile = {
      kind: 'software', subgroups: false, shaderF16: false, processors: 1, bandwidth: 1, limits: device.limits,
    } as const;
    const [a, b, c] = (['linear', 'relu', 'tanh'] as const).map((activation) =>
      planOf(
        { name: activation, input: [1, 4, 4, 4], filter: [1, 1, 1], O: 4, padding: 'SAME', activation },
        profile, 'fused').steps[0]!.dispatch);
    for (const [variant, expected] of [[a, 1], [b, 2], [a, 2], [c, 3], [a, 3], [b, 4], [c, 5]] as const) {
      await cache.pipeline(variant!);
      check(compiles === expected, `${compiles} compiles, not ${expected}, at ${variant!.name}`);
    }
    device.destroy();
  },
};
