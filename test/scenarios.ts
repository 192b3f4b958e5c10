import type { Choice } from '../src/plan/choice.js';
import {
  type ConvolutionDescriptor, DeviceLostError, PipelineManager, type SavedTuning, SepconvError, separableConv2d,
  type Shape4D, type Tensor4D,
  UnsupportedError, ValueError,
} from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { sumBound } from './bounds.js';
import { random, randomData } from './random.js';
import { blockScenarios } from './block-scenarios.js';
import { embedding } from './embedding-scenarios.js';
import { storageScenarios } from './storage-scenarios.js';

/** The public API as an app uses it, in a real browser. Each scenario throws when something is wrong. */

export const STORAGE = 0x80 | 0x8 | 0x4; // GPUBufferUsage.STORAGE | COPY_DST | COPY_SRC, which Node does not have.
const POISON = 0x7fc0dead;

let next = random(1);
/** A random number in [0, 1). */
export const draw = (): number => next();
export const seedScenarios = (seed: number): void => void (next = random(seed));
export const tensor = (...shape: [number, number, number, number]): Tensor4D =>
  ({ shape, data: randomData(shape.reduce((a, b) => a * b, 1), next) });

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

export function checkClose(actual: Tensor4D, expected: Tensor4D, terms: number, what: string): void {
  check(String(actual.shape) === String(expected.shape),
    `${what}: shape ${String(actual.shape)}, not ${String(expected.shape)}`);
  for (const [i, value] of expected.data.entries()) {
    const error = Math.abs(actual.data[i]! - value);
    check(error <= sumBound(terms, terms), `${what}: element ${i} is ${actual.data[i]}, not ${value}`);
  }
}

export type ErrorClass = new (message: string) => Error;

export async function checkThrows(work: () => unknown, type: ErrorClass, message: string): Promise<void> {
  try {
    await work();
  } catch (error) {
    check(error instanceof type && error.message.includes(message),
      `expected ${type.name} '${message}', got ${String(error)}`);
    return;
  }
  throw new Error(`expected ${type.name} '${message}', got none`);
}

/** Validation errors that no error scope caught. */
const uncaptured: string[] = [];

/** A device as an app has it, whose errors that no scope catches `checkUncaptured` tells. */
export async function borrowedDevice(
  requiredLimits: Record<string, number> = {}, wanted: readonly GPUFeatureName[] = ['subgroups'],
): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  check(adapter !== null, 'no adapter');
  // Subgroups are for quads, which want them.
  const requiredFeatures = wanted.filter((feature) => adapter.features.has(feature));
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));
  return device;
}

export function upload(device: GPUDevice, data: Float32Array, offset = 0, after = 0): GPUBuffer {
  const words = new Uint32Array((offset + data.byteLength + after) / 4).fill(POISON);
  words.set(new Uint32Array(data.slice().buffer), offset / 4);
  const buffer = device.createBuffer({ size: words.byteLength, usage: STORAGE });
  device.queue.writeBuffer(buffer, 0, words);
  return buffer;
}

export async function download(device: GPUDevice, buffer: GPUBuffer): Promise<ArrayBuffer> {
  const readable = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, readable, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await readable.mapAsync(GPUMapMode.READ);
  return readable.getMappedRange().slice(0);
}

/** Calls of the named methods of an object from now on. */
export function counted<T extends object>(target: T, ...methods: (keyof T & string)[]): () => number {
  let calls = 0;
  for (const method of methods) {
    const original = target[method] as (...args: unknown[]) => unknown;
    Object.defineProperty(target, method, {
      configurable: true, value: (...args: unknown[]) => (calls++, original.apply(target, args)),
    });
  }
  return () => calls;
}

type Weights = 'depthwiseFilter' | 'pointwiseFilter' | 'depthwiseBias' | 'bias';
export const layer = (
  inputShape: Shape4D, M: number, O: number, more: Omit<Partial<ConvolutionDescriptor>, Weights> = {},
) => ({
  inputShape, padding: 'SAME', depthwiseFilter: tensor(3, 3, inputShape[3], M),
  pointwiseFilter: tensor(1, 1, inputShape[3] * M, O),
  ...more,
}) satisfies ConvolutionDescriptor;

const scenarios: Readonly<Record<string, () => Promise<void>>> = {
  async 'one call, all strategies, all argument forms'() {
    const [x, d, p] = [tensor(2, 7, 9, 6), tensor(3, 3, 6, 2), tensor(1, 1, 12, 20)];
    for (const strategy of ['auto', 'fused', 'two-pass'] as const) {
      const options = {
        strides: [1, 2, 2, 1], padding: 'SAME', name: 'block1', depthwiseActivation: 'relu6',
        activation: { leakyRelu: 0.1 },
        depthwiseBias: randomData(12, next), bias: randomData(20, next),
      } as const;
      checkClose(await separableConv2d(x, d, p, { ...options, strategy }), separableConv2dReference(x, d, p, options),
        40, strategy);
    }
    checkClose(await separableConv2d(x, d, p, { strides: [1, 3], padding: [[1, 0], [2, 3]], rate: 1 }),
      separableConv2dReference(x, d, p, { strides: [1, 1, 3, 1], padding: [[0, 0], [1, 0], [2, 3], [0, 0]] }),
      40, 'other forms');
  },

  async 'what prepare returns'() {
    using manager = await PipelineManager.create();
    for (const strategy of ['fused', 'two-pass'] as const) {
      const conv = await manager.prepare(layer([1, 8, 8, 8], 1, 16, { strides: 2, name: 'block2', strategy }));
      check(String(conv.outputShape) === '1,4,4,16' && conv.outputByteLength === 1024,
        `output ${String(conv.outputShape)}`);
      check(conv.strategy === strategy && conv.label === 'block2', `${conv.strategy}, ${conv.label}`);
      check(conv.kernels.length === (strategy === 'fused' ? 1 : 2), `kernels ${conv.kernels.join()}`);
    }
  },

  async "encode into the caller's pass: offsets, chained layers, guard words, error scope"() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    for (const strategy of ['fused', 'two-pass'] as const) {
      const [a, b] = [layer([1, 9, 7, 5], 2, 12, { strategy }), layer([1, 9, 7, 12], 1, 13, { strategy, strides: 2 })];
      const [first, second] = [await manager.prepare(a), await manager.prepare(b)];
      const x = tensor(...a.inputShape as [1, 9, 7, 5]);
      const input = upload(device, x.data, 256);
      const between = upload(device, new Float32Array(0), 512 + first.outputByteLength, 256);
      const output = upload(device, new Float32Array(0), 256 + second.outputByteLength, 256);
      device.pushErrorScope('validation');
      const [submits, allocations] = [
        counted(device.queue, 'submit'), counted(device, 'createBuffer', 'createTexture'),
      ];
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      first.encode(pass, {
        input: { buffer: input, offset: 256 }, output: { buffer: between, offset: 512, size: first.outputByteLength },
      });
      second.encode(pass, { input: { buffer: between, offset: 512 }, output: { buffer: output, offset: 256 } });
      pass.end();
      check(submits() === 0 && allocations() === 0, 'encode submitted or allocated');
      device.queue.submit([encoder.finish()]);
      const error = await device.popErrorScope();
      check(error === null, `validation error: ${error?.message}`);
      const middle = separableConv2dReference(x, a.depthwiseFilter, a.pointwiseFilter, a);
      const expected = separableConv2dReference(middle, b.depthwiseFilter, b.pointwiseFilter, b);
      for (const [result, buffer, offset] of [[middle, between, 512], [expected, output, 256]] as const) {
        const bytes = await download(device, buffer);
        const actual = new Float32Array(bytes, offset, result.data.length);
        checkClose({ shape: result.shape, data: actual }, result, 1000, strategy);
        const words = new Uint32Array(bytes);
        const beside = [...words.subarray(0, offset / 4), ...words.subarray(offset / 4 + result.data.length)];
        check(beside.length >= 128 && beside.every((word) => word === POISON),
          `${strategy}: words beside the output changed`);
      }
    }
    manager.destroy();
    device.destroy();
  },

  async 'filters in GPU buffers are read at every run, and stay the caller\'s'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const plain = layer([1, 6, 6, 4], 1, 8);
    const bias = randomData(8, next);
    const [dBuffer, pBuffer] = [
      upload(device, plain.depthwiseFilter.data), upload(device, plain.pointwiseFilter.data, 256),
    ];
    const conv = await manager.prepare({
      ...plain, depthwiseFilter: { shape: plain.depthwiseFilter.shape, buffer: dBuffer },
      pointwiseFilter: { shape: plain.pointwiseFilter.shape, buffer: pBuffer, offset: 256 },
      bias: { shape: [8], buffer: upload(device, bias) },
    });
    const x = tensor(1, 6, 6, 4);
    const expected = (depthwise: Tensor4D, pointwise: Tensor4D) =>
      separableConv2dReference(x, depthwise, pointwise, { padding: 'SAME', bias });
    checkClose(await conv.run(x), expected(plain.depthwiseFilter, plain.pointwiseFilter), 20, 'first filters');
    const other = tensor(3, 3, 4, 1);
    device.queue.writeBuffer(dBuffer, 0, other.data as Float32Array<ArrayBuffer>);
    checkClose(await conv.run(x), expected(other, plain.pointwiseFilter), 20, 'changed depthwise filter');
    const another = tensor(1, 1, 4, 8);
    device.queue.writeBuffer(pBuffer, 256, another.data as Float32Array<ArrayBuffer>);
    checkClose(await conv.run(x), expected(other, another), 20, 'changed pointwise filter');
    conv.destroy();
    manager.destroy();
    check(new Float32Array(await download(device, dBuffer))[0] === other.data[0], 'the filter was destroyed');
    device.destroy();
  },

  async 'a borrowed device outlives its managers'() {
    const device = await borrowedDevice();
    for (let round = 0; round < 3; round++) {
      const manager = await PipelineManager.create({ device });
      const description = layer([1, 5, 5, 4], 1, 4);
      const x = tensor(1, 5, 5, 4);
      checkClose(await (await manager.prepare(description)).run(x),
        separableConv2dReference(x, description.depthwiseFilter, description.pointwiseFilter, description),
        20, `round ${round}`);
      manager.destroy();
      manager.destroy();
      await checkThrows(() => manager.prepare(description), SepconvError, 'the PipelineManager was destroyed');
    }
    check(device.onuncapturederror === null, 'the manager listens on a borrowed device');
    device.pushErrorScope('validation');
    device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
    check((await device.popErrorScope()) === null, 'the device was harmed');
    const alive = await Promise.race(
      [device.lost.then(() => false), new Promise((resolve) => setTimeout(() => resolve(true), 50))]);
    check(alive === true, 'the device was destroyed');
    device.destroy();
  },

  async 'overlapping runs, and one compile for concurrent callers and for other extents'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const compiles = counted(device, 'createComputePipelineAsync');
    const description = layer([1, 16, 16, 8], 1, 16, { strategy: 'two-pass' });
    const convs = await Promise.all([1, 2, 3].map(() => manager.prepare(description)));
    const extents = await manager.prepare({ ...description, inputShape: [2, 32, 16, 8] });
    // With subgroups the filter is copied into a texture on software adapters.
    const kernels = manager.adapterKind === 'software' && device.features.has('subgroups') ? 3 : 2;
    check(compiles() === kernels, `${compiles()} compiles of ${kernels} kernels`);
    const inputs = [1, 2, 3, 4, 5, 6].map(() => tensor(1, 16, 16, 8));
    const outputs = await Promise.all(inputs.map((x, i) => convs[i % 3]!.run(x)));
    for (const [i, x] of inputs.entries()) {
      const expected = separableConv2dReference(
        x, description.depthwiseFilter, description.pointwiseFilter, description);
      checkClose(outputs[i]!, expected, 20, `run ${i}`);
      const again = await convs[0]!.run(x);
      check(again.data.every((value, j) => value === outputs[i]!.data[j]), `run ${i} is not reproducible`);
    }
    // Now from pooled buffers, none of which two runs may have at once.
    for (const [i, { data }] of (await Promise.all(inputs.map((x, i) => convs[i % 3]!.run(x)))).entries()) {
      check(data.every((value, j) => value === outputs[i]!.data[j]), `run ${i} is another from pooled buffers`);
    }
    const allocations = counted(device, 'createBuffer', 'createTexture');
    await convs[0]!.run(inputs[0]!);
    check(allocations() === 0, `${allocations()} buffers made by a run after the first`);
    extents.destroy();
    manager.destroy();
    device.destroy();
  },

  async 'two passes may read and write one buffer; the fused kernel says why not'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const description = layer([1, 8, 8, 4], 1, 4, { strategy: 'two-pass' });
    const conv = await manager.prepare(description);
    const x = tensor(1, 8, 8, 4);
    const buffer = upload(device, x.data);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    conv.encode(pass, { input: buffer, output: buffer });
    pass.end();
    device.queue.submit([encoder.finish()]);
    const expected = separableConv2dReference(x, description.depthwiseFilter, description.pointwiseFilter, description);
    checkClose(
      { shape: expected.shape, data: new Float32Array(await download(device, buffer)) }, expected, 20, 'in place');
    const fused = await manager.prepare({ ...description, strategy: 'fused' });
    await checkThrows(
      () => fused.encode(pass, { input: buffer, output: buffer }), ValueError,
      'because WebGPU lets no dispatch read and write one buffer, got the same: '
      + "only strategy 'two-pass' without bands works in place");
    manager.destroy();
    device.destroy();
  },

  async 'empty results take no GPU, empty inputs can still give some'() {
    const untouchable = { prepareCall: () => { throw new Error('the GPU was used'); } } as unknown as PipelineManager;
    const [d, p] = [tensor(3, 3, 4, 1), tensor(1, 1, 4, 8)];
    const none = await separableConv2d(
      { shape: [0, 5, 5, 4], data: new Float32Array(0) }, d, p, { padding: 'SAME', manager: untouchable });
    check(String(none.shape) === '0,5,5,8' && none.data.length === 0, `shape ${String(none.shape)}`);
    const rows = await separableConv2d(tensor(1, 2, 5, 4), d, p, { padding: [[0, 0], [0, 0]], manager: untouchable });
    check(String(rows.shape) === '1,0,3,8' && rows.data.length === 0, `shape ${String(rows.shape)}`);
    using manager = await PipelineManager.create();
    const conv = await manager.prepare({
      inputShape: [0, 5, 5, 4], depthwiseFilter: d, pointwiseFilter: p, padding: 'SAME',
    });
    const { data } = await conv.run({ shape: [0, 5, 5, 4], data: new Float32Array(0) });
    check(conv.outputByteLength === 0 && data.length === 0, 'prepared');
    const bias = randomData(8, next);
    const x: Tensor4D = { shape: [1, 0, 3, 4], data: new Float32Array(0) };
    const options = { padding: [[2, 1], [0, 0]], bias, manager } as const;
    checkClose(await separableConv2d(x, d, p, options), separableConv2dReference(x, d, p, options), 20, 'bias only');
  },

  async 'errors are typed, clear, and come before any GPU call'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const good = layer([1, 6, 6, 4], 1, 8, { name: 'block1' });
    const calls = counted(
      device, 'createBuffer', 'createTexture', 'createShaderModule', 'createComputePipelineAsync', 'pushErrorScope');
    const bad: [Partial<Record<keyof ConvolutionDescriptor, unknown>>, ErrorClass, string][] = [
      [{ pointwiseFilter: tensor(1, 1, 5, 8) }, ValueError,
        "separableConv2d 'block1': pointwiseFilter must be [1, 1, 4, O] (C*M = 4*1), got [1, 1, 5, 8]"],
      [{ pointwiseFilter: tensor(1, 1, 4, 3) }, ValueError,
        'Refusing to perform an overparameterized separable convolution'],
      [{ inputShape: [1, 6, 6] }, ValueError, 'input must have a shape of rank 4'],
      [{ depthwiseFilter: { shape: [3, 3, 4, 1], data: new Float32Array(7) } },
        ValueError, 'depthwiseFilter.data must have 36 elements'],
      [{ depthwiseFilter: null }, ValueError, 'depthwiseFilter must be { shape, data }, got null'],
      [{ depthwiseBias: new Float32Array(3) }, ValueError, 'depthwiseBias must be [4], got [3]'],
      [{ bias: [1, 2] }, ValueError, 'bias must be a Float32Array'],
      [{ strategy: 'best' }, ValueError, "strategy must be 'auto', 'fused' or 'two-pass', got 'best'"],
      [{ dtype: 'f64' }, ValueError, "dtype must be 'f32' or 'f16', got 'f64'"],
      [{ inputShape: [1, 3, 2 ** 25, 4] }, UnsupportedError, 'one output row reads 1610612736 bytes of input'],
      [{ bias: { shape: [8], buffer: {} } }, ValueError, 'bias must be a GPUBuffer with usage STORAGE'],
    ];
    for (const [change, type, message] of bad) {
      await checkThrows(() => manager.prepare({ ...good, ...change } as ConvolutionDescriptor), type, message);
    }
    check(calls() === 0, 'an argument error touched the GPU');
    const conv = await manager.prepare(good);
    await checkThrows(
      () => conv.run(tensor(1, 6, 5, 4)), ValueError, 'input must be [1, 6, 6, 4] as prepared, got [1, 6, 5, 4]');
    const pass = device.createCommandEncoder().beginComputePass();
    const input = upload(device, new Float32Array(144));
    const output = upload(device, new Float32Array(288));
    const wrong = device.createBuffer({ size: 4096, usage: GPUBufferUsage.COPY_DST });
    const targets: [object, string][] = [
      [{ input, output: input }, 'output must have 1152 bytes from its offset, got 576'],
      [{ input: { buffer: input, offset: 4 }, output }, 'input offset must be a multiple of 256, got 4'],
      [{ input: { buffer: input, size: 64 }, output }, 'input must have 576 bytes from its offset, got 64'],
      [{ input: wrong, output }, 'input must be a GPUBuffer with usage STORAGE'],
      [{ input }, 'output must be a GPUBuffer with usage STORAGE, got undefined'],
    ];
    for (const [target, text] of targets) {
      await checkThrows(() => conv.encode(pass, target as { input: GPUBuffer; output: GPUBuffer }), ValueError, text);
    }
    conv.destroy();
    conv.destroy();
    await checkThrows(() => conv.encode(pass, { input, output }), SepconvError, 'this convolution was destroyed');
    const x = tensor(1, 6, 6, 4);
    checkClose(await (await manager.prepare(good)).run(x),
      separableConv2dReference(x, good.depthwiseFilter, good.pointwiseFilter, good), 20, 'after errors');
    manager.destroy();
    device.destroy();
  },

  async 'a lost device is a DeviceLostError, and the next manager works'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const description = layer([1, 64, 64, 8], 1, 8);
    const conv = await manager.prepare(description);
    const x = tensor(1, 64, 64, 8);
    const running = conv.run(x);
    device.destroy();
    await checkThrows(() => running, DeviceLostError, 'the GPU device was lost (destroyed)');
    await checkThrows(() => conv.run(x), DeviceLostError, 'separableConv2d: the GPU device was lost (destroyed)');
    await checkThrows(() => manager.prepare(description), DeviceLostError, 'lost');
    check((await manager.lost).reason === 'destroyed', 'manager.lost');
    manager.destroy();
    checkClose(await separableConv2d(x, description.depthwiseFilter, description.pointwiseFilter, options(description)),
      separableConv2dReference(x, description.depthwiseFilter, description.pointwiseFilter, description),
      20, 'shared manager');
  },

  async 'warmUp compiles once what MobileNetV1 needs, and tells how far it is'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const compiles = counted(device, 'createComputePipelineAsync');
    const layers = [
      [112, 32, 64, 1], [112, 64, 128, 2], [56, 128, 128, 1], [56, 128, 256, 2], [28, 256, 256, 1], [28, 256, 512, 2],
      ...Array.from({ length: 5 }, () => [14, 512, 512, 1]), [14, 512, 1024, 2], [7, 1024, 1024, 1],
    ].map(([size, C, O, strides]) => ({
      inputShape: [1, size!, size!, C!], depthwiseFilter: { shape: [3, 3, C!, 1] },
      pointwiseFilter: { shape: [1, 1, C!, O!] },
      padding: 'SAME', strides: strides!,
    } as const));
    const progress: string[] = [];
    await manager.warmUp(layers, { onProgress: (compiled, total) => progress.push(`${compiled}/${total}`) });
    check(compiles() === progress.length && compiles() <= 6, `${compiles()} pipelines for 13 layers`);
    check(progress.at(-1) === `${compiles()}/${compiles()}`, `progress ${progress.join()}`);
    const [{ inputShape, strides }] = layers as [(typeof layers)[number]];
    await manager.prepare({ ...layer(inputShape, 1, 64), strides });
    check(compiles() === progress.length, 'prepare compiled again');
    await checkThrows(() => manager.warmUp([{ ...layers[0]!, strides: 0 }]), ValueError, 'strides must be');
    manager.destroy();
    device.destroy();
  },

  async 'tuning measures once, is saved and loaded, and ignores what it does not know'() {
    const device = await borrowedDevice();
    const description = layer([1, 12, 12, 8], 1, 8);
    const x = tensor(1, 12, 12, 8);
    const expected = separableConv2dReference(x, description.depthwiseFilter, description.pointwiseFilter, description);
    const measuring = await PipelineManager.create({ device, tuning: 'measure' });
    const waits = counted(device.queue, 'onSubmittedWorkDone');
    const [first, again] = await Promise.all([measuring.prepare(description), measuring.prepare(description)]);
    const measured = waits();
    check(measured > 4 && first.strategy === again.strategy, `${measured} waits`);
    await measuring.prepare(description);
    check(waits() === measured, 'a known geometry was measured again');
    checkClose(await first.run(x), expected, 20, 'measured');
    const saved = JSON.parse(JSON.stringify(measuring.exportTuning())) as SavedTuning;
    const [[key, choice]] = Object.entries(saved.choices) as [[string, Choice]];
    check(Object.keys(saved.choices).length === 1 && choice.strategy === first.strategy, JSON.stringify(saved));
    const usual = (await (await PipelineManager.create({ device })).prepare(description)).strategy;
    const other = usual === 'fused' ? 'two-pass' : 'fused';
    const [name] = choice.presets;
    const namesOf = (strategy: string): readonly unknown[] => strategy === 'fused' ? [name] : [name, name];
    const table = {
      ...saved,
      choices: {
        [key]: { strategy: other, presets: namesOf(other) }, broken: null,
        unknown: { strategy: 'fused', presets: ['toString'] }, twisted: { strategy: 'fused', presets: 'quads' },
        holes: { strategy: 'fused', presets: Object.assign([], { length: 1 }) },
        long: { strategy: 'fused', presets: [name, name] },
      },
    };
    const strategyWith = async (tuning: unknown) => {
      const manager = await PipelineManager.create({ device, tuning: tuning as SavedTuning });
      const conv = await manager.prepare(description);
      checkClose(await conv.run(x), expected, 20, 'loaded');
      manager.destroy();
      return conv.strategy;
    };
    check((await strategyWith(table)) === other, 'the saved choice was not taken');
    for (const foreign of [
      null, {}, { ...table, version: '0.0.0' }, { ...table, adapter: 'other' }, { ...table, choices: null },
    ]) {
      check((await strategyWith(foreign)) === usual, `a foreign table was taken: ${JSON.stringify(foreign)}`);
    }
    await checkThrows(() => PipelineManager.create({ device, adapterKind: 'cpu' as 'gpu' }), ValueError,
      "adapterKind must be 'software' or 'gpu', got 'cpu'");
    const gpu = await PipelineManager.create({ device, adapterKind: 'gpu' });
    const conv = await gpu.prepare({ ...layer([1, 12, 12, 8], 1, 64), strategy: 'fused' });
    check(gpu.adapterKind === 'gpu' && conv.kernels[0]!.startsWith('f32-fused-tiled-'),
      `adapterKind gpu took ${conv.kernels.join()}`);
    const kept = (await PipelineManager.create({ device, tuning: table })).exportTuning();
    check(Object.keys(kept.choices).join() === key, `what is no choice was kept: ${Object.keys(kept.choices).join()}`);
    for (const [wrong, shown] of [['fast', "'fast'"], [5, '5'], [true, 'true']] as const) {
      await checkThrows(
        () => strategyWith(wrong), ValueError, `tuning must be 'measure' or a table of exportTuning, got ${shown}`);
    }
    await checkThrows(() => strategyWith({ measure: 'yes' }), ValueError, "measure must be true or false, got 'yes'");
    measuring.destroy();
    device.destroy();
  },

  async 'kernels for GPUs add the bias at the end: the sums are as without one, rounded once'() {
    using manager = await PipelineManager.create({ adapterKind: 'gpu' });
    const [x, d, p] = [tensor(1, 8, 8, 128), tensor(3, 3, 128, 1), tensor(1, 1, 128, 128)];
    for (const strategy of ['fused', 'two-pass'] as const) {
      const given = { padding: 'SAME', strategy, manager } as const;
      const { data: plain } = await separableConv2d(x, d, p, given);
      const { data } = await separableConv2d(x, d, p, { ...given, bias: new Float32Array(128).fill(1000) });
      const wrong = data.findIndex((value, i) => value !== Math.fround(plain[i]! + 1000));
      check(wrong < 0, `${strategy}, element ${wrong}: ${data[wrong]} for ${plain[wrong]} and 1000`);
    }
  },

  async 'the largest error is at most 2e-6 of the largest value for K up to 1024'() {
    using manager = await PipelineManager.create();
    for (const [size, C, M, O] of [
      [14, 32, 1, 64], [9, 128, 1, 128], [7, 256, 1, 64], [5, 512, 1, 64], [4, 1024, 1, 64], [4, 256, 4, 1024],
    ] as const) {
      for (const strategy of ['fused', 'two-pass'] as const) {
        const description = layer([1, size, size, C], M, O, { strategy, allowOverparameterized: true });
        const x = tensor(1, size, size, C);
        const expected = separableConv2dReference(
          x, description.depthwiseFilter, description.pointwiseFilter, description);
        const actual = await separableConv2d(
          x, description.depthwiseFilter, description.pointwiseFilter, { ...options(description), manager });
        const largest = expected.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const error = expected.data
          .reduce((most, value, i) => Math.max(most, Math.abs(actual.data[i]! - value)), 0) / largest;
        check(error > 0 && error <= 2e-6, `K = ${C * M}, ${strategy}: ${error}`);
      }
    }
  },
};

const options = ({ padding, strategy, allowOverparameterized }: ReturnType<typeof layer>) => ({
  padding, ...(strategy && { strategy }), ...(allowOverparameterized && { allowOverparameterized }),
});

export async function checkUncaptured(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 10)); // The news of errors may be under way.
  check(uncaptured.length === 0, `uncaptured errors: ${uncaptured.splice(0).join('; ')}`);
}

export type Scenarios = Readonly<Record<string, () => Promise<void>>>;

/** Runs one scenario, of these or others, with fresh random values. */
export async function runScenario(name: string, seed: number, others: Scenarios = {}): Promise<void> {
  seedScenarios(seed);
  await { ...scenarios, ...embedding, ...blockScenarios, ...storageScenarios(seed), ...others }[name]!();
  await checkUncaptured();
}

export const scenarioNames = [scenarios, embedding, blockScenarios, storageScenarios(0)].flatMap((some) =>
  Object.keys(some));
