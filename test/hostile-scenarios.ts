import {
  type ConvolutionDescriptor, PipelineManager, SepconvError, separableConv2d, type SeparableConv2dOptions,
  type Tensor4D, UnsupportedError, ValueError,
  type WarmUpDescriptor,
} from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { randomData } from './random.js';
import { intercept } from './intercept.js';
import { borrowedDevice, check, checkClose, checkThrows, draw, layer, tensor, upload } from './scenarios.js';

/**
 * Arguments that lie, throw or smuggle: none gets past the checks, into
 * a shader, or ends in anything but a typed error.
 */

const EVIL = '"; } @compute @workgroup_size(1) fn evil() {} // <img src=x onerror="document.title=1">';

const work = () => {
  const description = {
    ...layer([1, 6, 7, 3], 2, 9, {
      strides: [1, 2, 1, 1], rate: [1, 1], strategy: 'two-pass', activation: { leakyRelu: 0.25 },
    }),
    depthwiseBias: randomData(6, draw), bias: randomData(9, draw), padding: [[1, 2], [0, 3]],
  } as const satisfies ConvolutionDescriptor;
  const x = tensor(1, 6, 7, 3);
  return {
    description, x,
    expected: separableConv2dReference(x, description.depthwiseFilter, description.pointwiseFilter, description),
  };
};

/** The WGSL of all shaders compiled meanwhile. */
async function shadersOf(run: () => Promise<unknown>): Promise<string[]> {
  const sources: string[] = [];
  using _ = intercept(({ method, args, proceed }) => {
    if (method === 'createShaderModule') sources.push((args[0] as GPUShaderModuleDescriptor).code);
    return proceed();
  });
  await run();
  return sources;
}

/** An object whose every property, however deep, is itself when first read and something hostile afterwards. */
function fickle<T>(value: T, later: unknown): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  const read = new Set<PropertyKey>();
  return new Proxy(value, {
    get(target, property) {
      const content = Reflect.get(target, property) as unknown;
      if (typeof property === 'symbol' || property === 'length' || typeof content === 'function') return content;
      if (read.has(property)) return later;
      read.add(property);
      return fickle(content, later);
    },
  });
}

/** Puts properties on a prototype for the time of a test. */
function poisoned(prototype: object, properties: Readonly<Record<string, unknown>>): Disposable {
  for (const [name, value] of Object.entries(properties)) {
    Object.defineProperty(prototype, name, {
      __proto__: null, value, configurable: true, enumerable: true, writable: true,
    } as PropertyDescriptor);
  }
  return { [Symbol.dispose]: () => Object.keys(properties).forEach((name) => Reflect.deleteProperty(prototype, name)) };
}

const LATER: readonly unknown[] = [EVIL, -1, NaN, 2 ** 40, null, undefined, [EVIL], { shape: [1e9], data: EVIL }];

export const hostile: Readonly<Record<string, () => Promise<unknown>>> = {
  async 'what is checked is what is used: options, tensors and arrays are read once'() {
    const { description, x, expected } = work();
    using manager = await PipelineManager.create();
    for (const later of LATER) {
      const sources = await shadersOf(async () => {
        using conv = await manager.prepare(fickle(description, later));
        checkClose(await conv.run(fickle(x, later)), expected, 30, `prepare and run, then ${JSON.stringify(later)}`);
        const { inputShape: _, depthwiseFilter, pointwiseFilter, ...options } = description;
        const y = await separableConv2d(fickle(x, later), fickle(depthwiseFilter, later),
          fickle(pointwiseFilter, later), { ...fickle(options, later), manager });
        checkClose(y, expected, 30, `one call, then ${JSON.stringify(later)}`);
        const reference = separableConv2dReference(
          fickle(x, later), fickle(depthwiseFilter, later), fickle(pointwiseFilter, later), fickle(options, later));
        checkClose(reference, expected, 1, 'reference');
      });
      check(!sources.join().includes('evil'), 'a string reached a shader');
    }
  },

  async 'getters and proxies that throw are a ValueError each, and the manager works on'() {
    const { description, x, expected } = work();
    using manager = await PipelineManager.create();
    const thrown = new Proxy({}, {
      get() { throw new Error('mean'); }, getOwnPropertyDescriptor() { throw new Error('mean'); },
    });
    for (const name of [...Object.keys(description), 'rate', 'name', 'dtype']) {
      const mean = { ...description };
      Object.defineProperty(mean, name, { enumerable: true, get() { throw thrown; } });
      await checkThrows(() => manager.prepare(mean), ValueError, 'must be readable');
      await checkThrows(() => manager.warmUp([mean]), ValueError, 'must be readable');
    }
    const refuses = new Proxy({}, { ownKeys() { throw new TypeError('mean'); } });
    const endless: unknown[] = [];
    endless.push(endless);
    const bad: unknown[] = [refuses, thrown, null, undefined, 5, 'SAME', Symbol('s'), () => {}, [],
      { padding: endless }, { padding: thrown },
      { ...description, inputShape: endless }, { ...description, padding: endless },
      { ...description, activation: thrown }, { ...description, depthwiseFilter: thrown },
      { ...description, bias: endless }, { ...description, name: { toString: () => EVIL } },
      { ...description, inputShape: new Proxy([1, 6, 7, 3], { get() { throw new Error('mean'); } }) }];
    for (const options of bad) {
      await checkThrows(() => manager.prepare(options as ConvolutionDescriptor), ValueError, 'separableConv2d');
      await checkThrows(() => manager.warmUp([options as WarmUpDescriptor]), ValueError, 'separableConv2d');
      await checkThrows(
        () => separableConv2d(x, x, x, options as SeparableConv2dOptions), ValueError, 'separableConv2d');
    }
    const disguised = { shape: [3, 3, 3, 2], data: new Proxy(new Float32Array(54), {}) } as Tensor4D;
    await checkThrows(
      () => manager.prepare({ ...description, depthwiseFilter: disguised }), ValueError, 'must be a Float32Array');
    using conv = await manager.prepare(description);
    for (const input of [thrown, null, 5, endless, { shape: x.shape, data: [] }, { ...x, shape: endless }]) {
      await checkThrows(() => conv.run(input as Tensor4D), ValueError, 'separableConv2d: input');
    }
    for (const options of [{ device: {} }, { device: 5 }, { device: null }]) {
      await checkThrows(
        () => PipelineManager.create(options as { device: GPUDevice }), ValueError, 'device must be a GPUDevice');
    }
    checkClose(await conv.run(x), expected, 30, 'afterwards');
  },

  async 'data that is transferred away is refused, or was read before'() {
    const { description, x, expected } = work();
    using manager = await PipelineManager.create();
    const takeAway = ({ buffer }: Float32Array) => structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
    // So that each compiles.
    const activations = {
      depthwiseFilter: 'relu', pointwiseFilter: 'relu6', depthwiseBias: 'tanh', bias: 'elu',
    } as const;
    for (const [name, activation] of Object.entries(activations) as [keyof typeof activations, 'relu'][]) {
      const weight = description[name];
      const data = (weight instanceof Float32Array ? weight : weight.data).slice();
      const mean = {
        ...description, activation, [name]: weight instanceof Float32Array ? data : { shape: weight.shape, data },
      };
      {
        using _ = intercept(({ method, proceed }) => {
          if (method === 'createComputePipelineAsync' && data.length > 0) takeAway(data);
          return proceed();
        });
        await checkThrows(() => manager.prepare(mean), ValueError, `${name} must keep its data until prepare resolves`);
      }
      await checkThrows(() => manager.prepare(mean), ValueError, name);
    }
    using conv = await manager.prepare(description);
    const given = { shape: x.shape, data: x.data.slice() };
    const running = conv.run(given);
    takeAway(given.data);
    checkClose(await running, expected, 30, 'run');
    await checkThrows(() => conv.run(given), ValueError, 'input.data must have 126 elements');
  },

  async 'additions to Object.prototype and Array.prototype change nothing'() {
    const { description, x, expected } = work();
    const plain = layer([1, 6, 7, 3], 1, 9);
    const plainExpected = separableConv2dReference(x, plain.depthwiseFilter, plain.pointwiseFilter, plain);
    const device = await borrowedDevice();
    const names = [
      'strides', 'padding', 'rate', 'name', 'depthwiseBias', 'depthwiseActivation', 'bias', 'activation',
      'allowOverparameterized', 'strategy', 'dtype', 'manager', 'inputShape', 'shape', 'data', 'buffer', 'offset',
      'size', 'leakyRelu', 'tuning', 'adapterKind', 'device', 'evil',
    ];
    for (const [what, value] of [['a string', EVIL], ['a function', () => 7]] as const) {
      using _ = poisoned(Object.prototype, Object.fromEntries(names.map((name) => [name, value])));
      using __ = poisoned(Array.prototype, { evil: value, 4: value, last: value });
      const manager = await PipelineManager.create({ device });
      for (const [one, result] of [[description, expected], [plain, plainExpected]] as const) {
        const conv = await manager.prepare(one);
        checkClose(await conv.run(x), result, 30, `with ${what}`);
        const [input, output] = [upload(device, x.data), upload(device, new Float32Array(0), conv.outputByteLength)];
        device.pushErrorScope('validation');
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        conv.encode(pass, { input, output: { buffer: output, offset: 0 } });
        pass.end();
        device.queue.submit([encoder.finish()]);
        const error = await device.popErrorScope();
        check(error === null, `validation error: ${error?.message}`);
        conv.destroy();
      }
      manager.destroy();
    }
    // Names of WebGPU's own options harm any WebGPU program: what is promised is a typed error or the right result.
    const harmful = [
      ['mappedAtCreation', true], ['hasDynamicOffset', true], ['entryPoint', EVIL], ['constants', { evil: 1 }],
      ['timestampWrites', 5], ['sampler', 5], ['texture', { sampleType: EVIL }], ['minBindingSize', 2 ** 40],
    ] as const;
    const from = draw() < 0.5 ? 0 : 1; // Half of them, drawn.
    for (const [name, value] of harmful.filter((_, index) => index % 2 === from)) {
      const manager = await PipelineManager.create({ device });
      let y: Tensor4D | undefined;
      {
        using _ = poisoned(Object.prototype, { [name]: value });
        try {
          y = await (await manager.prepare(plain)).run(x);
        } catch (error) {
          check(error instanceof SepconvError, `${name}: ${String(error)}`);
        }
      }
      if (y) checkClose(y, plainExpected, 30, name);
      manager.destroy();
    }
    device.destroy();
  },

  async 'no string reaches a shader, and only whole numbers do'() {
    const { description, x, expected } = work();
    const device = await borrowedDevice();
    const compile = (more: object) => shadersOf(async () => {
      using manager = await PipelineManager.create({ device });
      using conv = await manager.prepare({ ...description, ...more });
      check(conv.label === ((more as { name?: string }).name ?? 'separableConv2d'), `label ${conv.label}`);
      checkClose(await conv.run(x), expected, 30, 'with a name');
    });
    const [named, unnamed] = [await compile({ name: EVIL }), await compile({})];
    check(named.length >= 2 && named.join() === unnamed.join(), 'the name changes a shader');
    using manager = await PipelineManager.create({ device });
    await checkThrows(() => manager.prepare({ ...description, name: EVIL, strides: 0 }), ValueError,
      `separableConv2d '${EVIL}': strides`);
    const smuggled = await shadersOf(async () => {
      const values = [EVIL, '2', [EVIL, EVIL], ['1', '1'], 1.5, [1, 1.5], NaN, Infinity, -1, 0, 2n, true,
        { valueOf: () => 2 }, [2, { valueOf: () => 2 }],
        new Number(2), () => 2, Symbol.iterator, [1, 2, 3], [2, 1, 1, 1], new Int32Array([1, 1])];
      for (const value of values) {
        for (const option of [
          'strides', 'rate', 'padding', 'activation', 'depthwiseActivation', 'strategy', 'dtype',
          'allowOverparameterized',
        ]) {
          if (option === 'allowOverparameterized' && value === true) continue;
          await checkThrows(
            () => manager.prepare({ ...description, [option]: value } as ConvolutionDescriptor), ValueError, option);
        }
      }
      for (const alpha of [EVIL, NaN, Infinity, '1', null, {}, [1]]) {
        const bad = { ...description, activation: { leakyRelu: alpha } } as unknown as ConvolutionDescriptor;
        await checkThrows(() => manager.prepare(bad), ValueError, 'activation');
      }
    });
    check(smuggled.length === 0, `${smuggled.length} shaders were made of bad arguments`);
    device.destroy();
  },

  async 'an adapter that refuses what it says it has gives a device with less'() {
    for (const [what, refuses] of [
      ['limits', ({ requiredLimits }: GPUDeviceDescriptor) => Object.keys(requiredLimits ?? {}).length > 0],
      ['features', ({ requiredFeatures }: GPUDeviceDescriptor) => [...(requiredFeatures ?? [])].length > 0],
    ] as const) {
      const requests: string[] = [];
      using _ = intercept(({ method, args, proceed }) => {
        if (method !== 'requestDevice') return proceed();
        const descriptor = args[0] as GPUDeviceDescriptor;
        requests.push(JSON.stringify(descriptor));
        return refuses(descriptor) ? Promise.reject(new DOMException('refused', 'OperationError')) : proceed();
      });
      const { description, x, expected } = work();
      using manager = await PipelineManager.create();
      checkClose(await (await manager.prepare(description)).run(x), expected, 30, `without ${what}`);
      check(requests.length > 1, `${what}: ${requests.join()}`);
    }
    using _ = intercept(({ method, proceed }) =>
      (method === 'requestDevice' ? Promise.reject(new DOMException('never', 'OperationError')) : proceed()));
    await checkThrows(
      () => PipelineManager.create(), UnsupportedError, 'WebGPU gives no device: OperationError: never');
  },

  async 'sizes beyond 2^31 indices or 2^53 are refused before anything is allocated'() {
    const device = await borrowedDevice();
    using manager = await PipelineManager.create({ device });
    const one = layer([1, 4, 4, 4], 1, 4);
    const small = upload(device, new Float32Array(64));
    const calls: string[] = [];
    using _ = intercept(({ method, proceed }) => {
      if (method.startsWith('create')) calls.push(method);
      return proceed();
    });
    const onGpu = (...shape: [number, number, number, number]) => ({ shape, buffer: small });
    const sizes: [object, typeof ValueError | typeof UnsupportedError][] = [
      [{ inputShape: [2 ** 27, 2 ** 13, 2 ** 13, 4] }, ValueError],
      [{ inputShape: [1, 2 ** 53, 1, 4] }, ValueError],
      [{ inputShape: [1, Number.MAX_SAFE_INTEGER, 1, 4] }, ValueError],
      [{ inputShape: [1, 1e300, 1, 4] }, ValueError],
      [{ inputShape: [1, 2 ** 31, 1, 4] }, UnsupportedError],
      [{ inputShape: [2 ** 31, 1, 1, 4] }, UnsupportedError],
      [{ inputShape: [1, 2 ** 16, 2 ** 15, 4] }, UnsupportedError],
      [{ padding: [[2 ** 32, 0], [0, 0]] }, UnsupportedError],
      [{ padding: [[Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER], [0, 0]] }, ValueError],
      // Two outputs only, but their coordinates do not fit: 32 bits of them would be other, valid ones.
      [{ strides: [2 ** 32, 1], padding: [[2 ** 32 + 1, 0], [1, 1]] }, UnsupportedError],
      [{ strides: [1, 2 ** 31], padding: [[1, 1], [2 ** 31 + 1, 0]] }, UnsupportedError],
      [{ rate: [2 ** 32, 1], padding: [[2 ** 32, 2 ** 32], [1, 1]] }, UnsupportedError],
      [{ rate: [1, 2 ** 31 - 1] }, UnsupportedError],
      [{ rate: [2 ** 52, 1] }, UnsupportedError],
      [{ rate: [Number.MAX_SAFE_INTEGER, 1], padding: 'VALID' }, ValueError],
      [{ pointwiseFilter: onGpu(1, 1, 4, 2 ** 40) }, UnsupportedError],
      [{ pointwiseFilter: onGpu(1, 1, 4, 2 ** 50) }, ValueError],
      [{ pointwiseFilter: onGpu(1, 1, 4, 1000) }, ValueError],
      [{ depthwiseFilter: onGpu(2 ** 20, 2 ** 20, 4, 1) }, UnsupportedError],
      [{ depthwiseFilter: onGpu(2 ** 26, 2 ** 26, 4, 1) }, ValueError],
    ];
    for (const [change, type] of sizes) {
      await checkThrows(() => manager.prepare({ ...one, ...change }), type, 'separableConv2d');
      if (!JSON.stringify(change).includes('[1,1,4,1000]')) {
        await checkThrows(() => manager.warmUp([{ ...one, ...change }]), type, 'separableConv2d');
      }
    }
    check(calls.length === 0, `${calls.join()} for sizes that cannot be`);
    device.destroy();
  },
};
