import { DeviceLostError, PipelineManager, SepconvError, separableConv2d } from 'sepconv-webgpu';
import { separableConv2dGradientsReference } from 'sepconv-webgpu/reference';
import { BOUND, loss, outcomeOf, prepareAndRun, problem, rightOr } from './fault-scenarios.js';
import { intercept, LiveResources } from './intercept.js';
import { borrowedDevice, check, checkClose, checkThrows, STORAGE } from './scenarios.js';

/** The ends of devices, managers and convolutions, with work in flight or none. */

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
    const outcomes = await Promise.all(
      [conv.run(work.x), conv.run(work.x), prepareAndRun(manager, work)].map((promise) => outcomeOf(promise, 'crash')));
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
async function checkUnusable(
  manager: PipelineManager, type: new (message: string) => SepconvError, text: string,
): Promise<void> {
  const { description, x } = problem();
  const { inputShape: _, depthwiseFilter, pointwiseFilter, ...options } = description;
  await checkThrows(() => manager.prepare(description), type, text);
  await checkThrows(() => manager.warmUp([description]), type, text);
  await checkThrows(() => separableConv2d(x, depthwiseFilter, pointwiseFilter, { ...options, manager }), type, text);
}

/** A device's buffers and a pass to encode into. */
function targets(device: GPUDevice): { pass: GPUComputePassEncoder; input: GPUBuffer; output: GPUBuffer } {
  const [input, output] = [0, 1].map(() =>
    device.createBuffer({ size: 256, usage: STORAGE })) as [GPUBuffer, GPUBuffer];
  return { pass: device.createCommandEncoder().beginComputePass(), input, output };
}

export const lifetimes: Readonly<Record<string, () => Promise<unknown>>> = {
  async 'memory that was not there is not given on: gradients made beside those that failed get other memory'() {
    const device = await borrowedDevice({
      maxBufferSize: (await navigator.gpu.requestAdapter())!.limits.maxBufferSize,
    });
    using manager = await PipelineManager.create({ device });
    const { description, x } = problem();
    let refused = 0;
    let all: PromiseSettledResult<Awaited<ReturnType<PipelineManager['prepareGradients']>>>[];
    {
      using _ = intercept(({ method, args, proceed, target }) => {
        const { label = '', size } = (args[0] ?? {}) as { label?: string; size?: number };
        if (method !== 'createBuffer' || label !== 'sepconv-webgpu product' || refused > 0) return proceed();
        refused++;
        return (target as GPUDevice).createBuffer({ label, size: size! + 2 ** 48, usage: STORAGE }); // Out of memory.
      });
      all = await Promise.allSettled([manager.prepareGradients(description), manager.prepareGradients(description)]);
    }
    // Either is first to want memory: compiling takes as long as it takes.
    const statuses = all.map(({ status }) => status);
    check(refused === 1 && statuses.includes('rejected'), `${refused}, ${statuses.join(', ')}`);
    const made = all.flatMap((one) => one.status === 'fulfilled' ? [one.value] : []);
    const expected = separableConv2dGradientsReference(
      x, x, description.depthwiseFilter, description.pointwiseFilter, description);
    for (const gradients of [...made, await manager.prepareGradients(description)]) {
      const actual = await gradients.run(x, x);
      checkClose(actual.input, expected.input, 40, 'gradients of memory that is there');
    }
    device.destroy();
  },

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
    const live = new LiveResources();
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

  async 'work in flight when its convolution, manager or device is destroyed'() {
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
