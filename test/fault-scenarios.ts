import { DeviceLostError, PipelineManager, SepconvError, type Tensor4D, UnsupportedError } from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { type Call, intercept, LiveResources } from './intercept.js';
import { borrowedDevice, check, checkClose, draw, layer, STORAGE, tensor } from './scenarios.js';

/**
 * Faults at the boundary to WebGPU, one at every single call in turn. The GPU itself is real: a
 * device is lost by really destroying it, a buffer is out of memory because it asks for too
 * much, a shader does not compile because it is wrong.
 */

/** Milliseconds in which every call must end, in success or in an error. Machines may do much else at the same time. */
export const BOUND = 30_000;

export type Outcome = { readonly y: Tensor4D } | { readonly error: unknown };

/** How a promise ends. @throws when it does not end in time */
export async function outcomeOf(promise: Promise<Tensor4D>, what: string): Promise<Outcome> {
  const late = new Promise<never>((_, reject) =>
    setTimeout(() => reject(new Error(`${what}: not ended after ${BOUND} ms`)), BOUND));
  return Promise.race([promise.then((y) => ({ y }), (error: unknown) => ({ error })), late]);
}

export const problem = () => {
  const description = layer([1, 4, 4, 4], 1, 4, { strategy: 'two-pass' });
  const x = tensor(1, 4, 4, 4);
  return {
    description, x,
    expected: separableConv2dReference(x, description.depthwiseFilter, description.pointwiseFilter, description),
  };
};
type Work = ReturnType<typeof problem>;

export async function prepareAndRun(manager: PipelineManager, { description, x }: Work): Promise<Tensor4D> {
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

/** Which calls of the work fail, one at a time: every one, or one call each of a third of the methods. */
export type Extent = 'every call' | 'some methods';

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

/**
 * Lets the work fail at one call after the other, and looks at how it
 * ends, at what is left, and at what works afterwards.
 */
async function sweep(extent: Extent, { concerns, fault, expect, survives }: Sweep): Promise<string> {
  const work = problem();
  const calls = await callsOf(work, concerns);
  check(calls.length > 0, 'no call is concerned');
  const chosen = extent === 'every call'
    ? [...calls.keys()]
    : thirdOf([...new Set(calls)]).map((method) => pick(positions(calls, method)));
  const healthy = await borrowedDevice();
  for (const index of chosen) {
    const what = `fault at call ${index}, ${calls[index]}`;
    const device = await largestDevice();
    const manager = await PipelineManager.create({ device });
    const live = new LiveResources();
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
      if (survives) {
        checkClose(await prepareAndRun(manager, work), work.expected, 20, `${what}: the same manager afterwards`);
      }
      manager.destroy();
      check(live.count === 0, `${what}: leaks ${live.labels()}`);
    }
    device.destroy();
    using next = await PipelineManager.create({ device: healthy });
    checkClose(await prepareAndRun(next, work), work.expected, 20, `${what}: a fresh manager afterwards`);
  }
  healthy.destroy();
  const failed = chosen.map((index) => `${index} ${calls[index]}`).join(', ');
  return `${chosen.length} of ${calls.length} calls failed: ${failed}`;
}

const positions = (calls: readonly string[], method: string): number[] =>
  [...calls.keys()].filter((index) => calls[index] === method);
/** Every third one, or all of fewer. */
function thirdOf<T>(values: readonly T[]): readonly T[] {
  const from = Math.floor(draw() * 3);
  return values.length < 3 ? values : values.filter((_, index) => index % 3 === from);
}
const pick = <T>(values: readonly T[]): T => values[Math.floor(draw() * values.length)]!;

const ASYNC = new Set(['createComputePipelineAsync', 'popErrorScope', 'mapAsync']);
/** Calls that have no say in the result, or end what has begun. */
const CLEANUP = new Set([
  'destroy', 'popErrorScope', 'pushErrorScope', 'getCompilationInfo', 'pushDebugGroup', 'popDebugGroup', 'unmap',
]);

/** The right result, if the fault came too late to matter, or an error of the type. */
export const rightOr = (
  type: new (message: string) => SepconvError, text = '',
): Expectation => (outcome, what, work) => {
  if ('y' in outcome) return checkClose(outcome.y, work.expected, 20, what);
  const { error } = outcome;
  check(error instanceof type && error.message.includes(text),
    `${what}: expected ${type.name} '${text}', got ${String(error)}`);
};

const mustFail = (type: new (message: string) => SepconvError, text: string): Expectation => (outcome, what, work) => {
  check('error' in outcome, `${what}: no error`);
  rightOr(type, text)(outcome, what, work);
};

/** A device that lets one ask for a buffer of more than there is memory. */
async function largestDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  return borrowedDevice({ maxBufferSize: adapter?.limits.maxBufferSize ?? 0 });
}

const tooMuch = (device: GPUDevice): GPUBuffer =>
  device.createBuffer({ size: device.limits.maxBufferSize, usage: STORAGE });

export const loss = 'the GPU device was lost (destroyed)';

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
      return (target as GPUDevice).createShaderModule({
        code: code.replace('@compute', 'fn broken() -> i32 {}\n@compute'),
      });
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
