import { DeviceLostError, PipelineManager, SepconvError, separableConv2d, type Tensor4D, UnsupportedError } from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { type Call, intercept, LiveBuffers } from './intercept.js';
import { borrowedDevice, check, checkClose, checkThrows, draw, layer, STORAGE, tensor } from './scenarios.js';

/**
 * Faults at the boundary to WebGPU, one at every single call in turn. The GPU itself is real: a device is lost by really
 * destroying it, a buffer is out of memory because it asks for too much, a shader does not compile because it is wrong.
 */

/** Milliseconds in which every call must end, in success or in an error. Machines may do much else at the same time. */
const BOUND = 30_000;

type Outcome = { readonly y: Tensor4D } | { readonly error: unknown };

/** How a promise ends. @throws when it does not end in time */
async function outcomeOf(promise: Promise<Tensor4D>, what: string): Promise<Outcome> {
  const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error(`${what}: not ended after ${BOUND} ms`)), BOUND));
  return Promise.race([promise.then((y) => ({ y }), (error: unknown) => ({ error })), late]);
}

const problem = () => {
  const description = layer([1, 4, 4, 4], 1, 4, { strategy: 'two-pass' });
  const x = tensor(1, 4, 4, 4);
  return { description, x, expected: separableConv2dReference(x, description.depthwiseFilter, description.pointwiseFilter, description) };
};
type Work = ReturnType<typeof problem>;

async function prepareAndRun(manager: PipelineManager, { description, x }: Work): Promise<Tensor4D> {
  const conv = await manager.prepare(description);
  try {
    return await conv.run(x);
  } finally {
    conv.destroy();
  }
}

/** What to do instead of, or around, the call that shall fail. */
type Fault = (call: Call, device: GPUDevice, manager: PipelineManager) => unknown;
type Expectation = (outcome: Outcome, what: string, work: Work) => void;

interface Sweep {
  /** Which calls can fail so. */
  readonly concerns: (method: string) => boolean;
  readonly fault: Fault;
  readonly expect: Expectation;
  /** Whether the same manager must work afterwards. */
  readonly survives: boolean;
}

/** Which calls of the work fail, one at a time: every one, or one of each method. */
export type Extent = 'every call' | 'each method';

/** The calls that the work makes. */
async function callsOf(work: Work, concerns: (method: string) => boolean): Promise<readonly string[]> {
  using manager = await PipelineManager.create();
  const calls: string[] = [];
  using _ = intercept(({ method, proceed }) => {
    if (concerns(method)) calls.push(method);
    return proceed();
  });
  await prepareAndRun(manager, work);
  return calls;
}

/** Lets the work fail at one call after the other, and looks at how it ends, at what is left, and at what works afterwards. */
async function sweep(extent: Extent, { concerns, fault, expect, survives }: Sweep): Promise<string> {
  const work = problem();
  const calls = await callsOf(work, concerns);
  check(calls.length > 0, 'no call is concerned');
  const chosen = extent === 'every call' ? [...calls.keys()] : [...new Set(calls)].map((method) => pick(positions(calls, method)));
  const healthy = await borrowedDevice();
  for (const index of chosen) {
    const what = `fault at call ${index}, ${calls[index]}`;
    const device = await largestDevice();
    const manager = await PipelineManager.create({ device });
    const live = new LiveBuffers();
    {
      let seen = 0;
      using _ = intercept((call) => {
        const proceed = (): unknown => {
          const result = call.proceed();
          live.see(call.method, call.target, result);
          return result;
        };
        return concerns(call.method) && seen++ === index ? fault({ ...call, proceed }, device, manager) : proceed();
      });
      const outcome = await outcomeOf(prepareAndRun(manager, work), what);
      check(seen > index, `${what}: was not reached`);
      expect(outcome, what, work);
      seen = Infinity;
      if (survives) checkClose(await prepareAndRun(manager, work), work.expected, 20, `${what}: the same manager afterwards`);
      manager.destroy();
      check(live.count === 0, `${what}: leaks ${live.labels()}`);
    }
    device.destroy();
    using next = await PipelineManager.create({ device: healthy });
    checkClose(await prepareAndRun(next, work), work.expected, 20, `${what}: a fresh manager afterwards`);
  }
  healthy.destroy();
  return `${chosen.length} of ${calls.length} calls failed: ${chosen.map((index) => `${index} ${calls[index]}`).join(', ')}`;
}

const positions = (calls: readonly string[], method: string): number[] => [...calls.keys()].filter((index) => calls[index] === method);
const pick = <T>(values: readonly T[]): T => values[Math.floor(draw() * values.length)]!;

const ASYNC = new Set(['createComputePipelineAsync', 'popErrorScope', 'mapAsync']);
/** Calls that have no say in the result, or end what has begun. */
const CLEANUP = new Set(['destroy', 'popErrorScope', 'pushErrorScope', 'getCompilationInfo', 'pushDebugGroup', 'popDebugGroup', 'unmap']);

/** The right result, if the fault came too late to matter, or an error of the type. */
const rightOr = (type: new (message: string) => SepconvError, text = ''): Expectation => (outcome, what, work) => {
  if ('y' in outcome) return checkClose(outcome.y, work.expected, 20, what);
  const { error } = outcome;
  check(error instanceof type && error.message.includes(text), `${what}: expected ${type.name} '${text}', got ${String(error)}`);
};

const mustFail = (type: new (message: string) => SepconvError, text: string): Expectation => (outcome, what, work) => {
  check('error' in outcome, `${what}: no error`);
  rightOr(type, text)(outcome, what, work);
};

/** A device that lets one ask for a buffer of more than there is memory. */
async function largestDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  check(adapter !== null, 'no adapter');
  return adapter.requestDevice({ requiredLimits: { maxBufferSize: adapter.limits.maxBufferSize } });
}

const tooMuch = (device: GPUDevice): GPUBuffer => device.createBuffer({ size: device.limits.maxBufferSize, usage: STORAGE });

const loss = 'the GPU device was lost (destroyed)';

/** Faults at single calls; `extent` says at how many. */
export const sweeps: Readonly<Record<string, (extent: Extent) => Promise<unknown>>> = {
  'the device is destroyed before a call': (extent) => sweep(extent, {
    concerns: () => true,
    fault: ({ proceed }, device) => {
      device.destroy();
      return proceed();
    },
    expect: rightOr(DeviceLostError, loss),
    survives: false,
  }),

  'the device is destroyed when an awaited call has ended': (extent) => sweep(extent, {
    concerns: (method) => ASYNC.has(method),
    fault: async ({ proceed }, device) => {
      const result = await proceed();
      device.destroy();
      return result;
    },
    expect: rightOr(DeviceLostError, loss),
    survives: false,
  }),

  'the manager is destroyed before a call': (extent) => sweep(extent, {
    concerns: (method) => !CLEANUP.has(method),
    fault: ({ proceed }, _, manager) => {
      manager.destroy();
      return proceed();
    },
    expect: rightOr(SepconvError, 'destroyed'),
    survives: false,
  }),

  'a call throws or rejects': (extent) => sweep(extent, {
    concerns: (method) => !CLEANUP.has(method),
    fault: ({ method }) => {
      if (ASYNC.has(method)) return Promise.reject(new DOMException('injected', 'OperationError'));
      throw new RangeError('injected');
    },
    expect: mustFail(SepconvError, 'injected'),
    survives: true,
  }),

  'a buffer is out of memory': async () => {
    const device = await largestDevice();
    device.pushErrorScope('out-of-memory');
    tooMuch(device);
    const error = await device.popErrorScope();
    device.destroy();
    if (error === null) return `SKIPPED: this adapter has memory for ${device.limits.maxBufferSize} bytes`;
    return sweep('every call', {
      concerns: (method) => method === 'createBuffer',
      fault: ({ target, args: [descriptor] }, { limits }) =>
        (target as GPUDevice).createBuffer({ ...descriptor as GPUBufferDescriptor, size: limits.maxBufferSize }),
      expect: mustFail(UnsupportedError, 'out-of-memory'),
      survives: true,
    });
  },

  'a shader does not compile': () => sweep('every call', {
    concerns: (method) => method === 'createShaderModule',
    fault: ({ target, args: [descriptor] }) => {
      const { code } = descriptor as GPUShaderModuleDescriptor;
      return (target as GPUDevice).createShaderModule({ code: code.replace('@compute', 'fn broken() -> i32 {}\n@compute') });
    },
    expect: mustFail(SepconvError, 'the shader did not compile'),
    survives: true,
  }),

  'a buffer cannot be mapped': () => sweep('every call', {
    concerns: (method) => method === 'mapAsync',
    fault: ({ target, proceed }) => {
      const mapped = proceed();
      (target as GPUBuffer).unmap(); // WebGPU's own way to call it off.
      return mapped;
    },
    expect: mustFail(SepconvError, 'separableConv2d: '),
    survives: true,
  }),
};

let flying = false;
/** Whether `surviveCrash` has runs in flight. */
export const running = (): boolean => flying;

/** Runs until the device is lost, whoever took it, and once more on a new one. Tells the error. */
export async function surviveCrash(): Promise<string> {
  const work = problem();
  const manager = await PipelineManager.create();
  const conv = await manager.prepare(work.description);
  let error: unknown;
  for (const end = performance.now() + BOUND; error === undefined && performance.now() < end;) {
    const outcomes = await Promise.all([conv.run(work.x), conv.run(work.x), prepareAndRun(manager, work)].map((promise) => outcomeOf(promise, 'crash')));
    flying = true;
    for (const outcome of outcomes) {
      rightOr(DeviceLostError, 'the GPU device was lost')(outcome, 'crash', work);
      if ('error' in outcome) error = outcome.error;
    }
  }
  check(error !== undefined, 'the device was not lost');
  await checkUnusable(manager, DeviceLostError, 'the GPU device was lost');
  manager.destroy();
  for (let attempt = 0; ; attempt++) { // The browser starts another GPU process, which takes a while.
    try {
      using next = await PipelineManager.create();
      checkClose(await prepareAndRun(next, work), work.expected, 20, 'after the crash');
      return error instanceof Error ? error.message : '';
    } catch (failure) {
      check(failure instanceof SepconvError && attempt < 50, `after the crash: ${String(failure)}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** Every call that needs the device, after its loss or the end of its manager. */
async function checkUnusable(manager: PipelineManager, type: new (message: string) => SepconvError, text: string): Promise<void> {
  const { description, x } = problem();
  const { inputShape: _, depthwiseFilter, pointwiseFilter, ...options } = description;
  await checkThrows(() => manager.prepare(description), type, text);
  await checkThrows(() => manager.warmUp([description]), type, text);
  await checkThrows(() => separableConv2d(x, depthwiseFilter, pointwiseFilter, { ...options, manager }), type, text);
}

/** A device's buffers and a pass to encode into. */
function targets(device: GPUDevice): { pass: GPUComputePassEncoder; input: GPUBuffer; output: GPUBuffer } {
  const [input, output] = [0, 1].map(() => device.createBuffer({ size: 256, usage: STORAGE })) as [GPUBuffer, GPUBuffer];
  return { pass: device.createCommandEncoder().beginComputePass(), input, output };
}

export const lifetimes: Readonly<Record<string, () => Promise<unknown>>> = {
  async 'after the loss of a device every call is a DeviceLostError, whosever it was'() {
    for (const device of [undefined, await borrowedDevice()]) {
      const manager = await PipelineManager.create(device ? { device } : {});
      const { description, x } = problem();
      const conv = await manager.prepare(description);
      const { pass, ...buffers } = targets(manager.device);
      manager.device.destroy();
      const info = await manager.lost;
      check(manager.lost instanceof Promise && info.reason === 'destroyed', `lost: ${info.reason}`);
      for (let again = 0; again < 2; again++) {
        await checkUnusable(manager, DeviceLostError, loss);
        await checkThrows(() => conv.run(x), DeviceLostError, `separableConv2d: ${loss}`);
        await checkThrows(() => conv.encode(pass, buffers), DeviceLostError, `separableConv2d: ${loss}`);
      }
      manager.destroy();
      manager.destroy();
      await checkUnusable(manager, DeviceLostError, loss);
    }
  },

  async 'after destroy every call says so; twice is harmless'() {
    for (const device of [undefined, await borrowedDevice()]) {
      const manager = await PipelineManager.create(device ? { device } : {});
      const { description, x } = problem();
      const [first, second] = [await manager.prepare(description), await manager.prepare(description)];
      const { pass, ...buffers } = targets(manager.device);
      first.destroy();
      first.destroy();
      await checkThrows(() => first.run(x), SepconvError, 'separableConv2d: this convolution was destroyed');
      await checkThrows(() => first.encode(pass, buffers), SepconvError, 'this convolution was destroyed');
      await second.run(x);
      manager.destroy();
      manager.destroy();
      await checkUnusable(manager, SepconvError, 'the PipelineManager was destroyed');
      await checkThrows(() => second.run(x), SepconvError, 'this convolution was destroyed');
      second.destroy();
      if (!device) check((await manager.lost).reason === 'destroyed', 'an own device is destroyed with its manager');
      device?.destroy();
    }
  },

  async '`using` destroys convolutions and managers'() {
    const work = problem();
    const device = await borrowedDevice();
    const live = new LiveBuffers();
    using _ = intercept(({ method, target, proceed }) => {
      const result = proceed();
      live.see(method, target, result);
      return result;
    });
    {
      using manager = await PipelineManager.create({ device });
      {
        using conv = await manager.prepare(work.description);
        checkClose(await conv.run(work.x), work.expected, 20, 'using');
      }
      const pooled = live.count;
      check(pooled === 3, `a run keeps ${pooled} buffers for the next: ${live.labels()}`);
    }
    check(live.count === 0, `left: ${live.labels()}`);
    device.destroy();
  },

  async 'the shared manager is made anew after the loss of its device, in flight or between calls'() {
    const { description, x, expected } = problem();
    const { inputShape: _, depthwiseFilter, pointwiseFilter, ...options } = description;
    const devices: GPUDevice[] = [];
    using __ = intercept(({ method, proceed }) => {
      const result = proceed();
      if (method === 'requestDevice') void (result as Promise<GPUDevice>).then((device) => devices.push(device));
      return result;
    });
    const run = () => separableConv2d(x, depthwiseFilter, pointwiseFilter, options);
    await run();
    for (let round = 0; round < 3; round++) {
      devices.at(-1)!.destroy();
      await devices.at(-1)!.lost;
      checkClose(await run(), expected, 20, 'between calls');
      check(devices.length === 2 * round + 2, `${devices.length} devices in round ${round}`);
      const running = [run(), run(), run()];
      await new Promise((resolve) => setTimeout(resolve, round * 5));
      devices.at(-1)!.destroy();
      for (const outcome of await Promise.all(running.map((promise) => outcomeOf(promise, 'in flight')))) {
        rightOr(DeviceLostError, loss)(outcome, 'in flight', { description, x, expected });
      }
      await devices.at(-1)!.lost;
      checkClose(await run(), expected, 20, 'after calls in flight');
    }
    devices.at(-1)!.destroy();
  },

  async 'work in flight ends well or in a typed error when its convolution, manager or device is destroyed'() {
    const work = problem();
    const endings = {
      convolution: { expect: rightOr(SepconvError, 'destroyed'), own: false },
      manager: { expect: rightOr(SepconvError, 'destroyed'), own: false },
      'manager with its device': { expect: rightOr(SepconvError, 'destroyed'), own: true },
      device: { expect: rightOr(DeviceLostError, loss), own: false },
    };
    for (const [what, { expect, own }] of Object.entries(endings)) {
      const device = own ? undefined : await borrowedDevice();
      const manager = await PipelineManager.create(device ? { device } : {});
      const conv = await manager.prepare(work.description);
      const warming = manager.warmUp([{ ...work.description, activation: 'tanh' }]).then(() => work.expected);
      const running = [warming, ...Array.from({ length: 8 }, () => conv.run(work.x)), prepareAndRun(manager, work)];
      if (what === 'convolution') conv.destroy();
      else if (what === 'device') device!.destroy();
      else manager.destroy();
      const outcomes = await Promise.all(running.map((promise) => outcomeOf(promise, what)));
      for (const [index, outcome] of outcomes.entries()) expect(outcome, `${what}, ${index}`, work);
      manager.destroy();
      device?.destroy();
    }
  },

  async 'a measuring manager whose device is lost'() {
    for (const delay of [0, 20, 60]) {
      const work = problem();
      const device = await borrowedDevice();
      const manager = await PipelineManager.create({ device, tuning: 'measure' });
      const prepared = Promise.all([0, 1].map(() => prepareAndRun(manager, work))).then(([y]) => y!);
      setTimeout(() => device.destroy(), delay);
      rightOr(DeviceLostError, loss)(await outcomeOf(prepared, 'measuring'), 'measuring', work);
      device.destroy();
      await device.lost;
      await checkThrows(() => manager.prepare(work.description), DeviceLostError, loss);
      manager.destroy();
    }
  },
};
