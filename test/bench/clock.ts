import type { Reading } from './contender.js';
import { AHEAD } from './measure.js';
import { ceilingKernels, type CeilingKernels, type Ceilings, OPERATIONS } from './webgpu.js';
import { wrap } from './wrap.js';

/**
 * The device's own clock, for every library that asks Dawn for Node for a device.
 *
 * Before a sample's first pass the device gets other work, which takes it about `AHEAD` milliseconds: it raises its
 * clock meanwhile, and what the library records while it is busy runs back to back. That work goes to the queue of the
 * device that the pass is for, so to the contender's own, whichever it is. Another device's work would not do: a GPU
 * switches between the queues of devices, or runs them at once, and the sample would wait for the wrong thing.
 * Behind that work goes the canary, so that it tells the clock at which the sample begins.
 */

/** Passes of a query set: two timestamps each, of the 4,096 that it can hold. */
const PASSES = 2048;
/**
 * The canary: passes of so many empty dispatches, the fastest of which counts. A pass costs some microseconds of its
 * own, an empty dispatch of an H100 1.6. What else disturbs a pass is not the clock, and rarely hits all of them.
 */
const [CANARY_PASSES, DISPATCHES] = [3, 256];
/** Workgroups of other work in one dispatch at most: some milliseconds of a large GPU. */
const MOST_GROUPS = 2 ** 14;

interface Clock {
  readonly device: GPUDevice;
  readonly createCommandEncoder: () => GPUCommandEncoder;
  readonly kernels: CeilingKernels;
  readonly canary: GPUQuerySet;
  /** Of the passes of a sample. */
  readonly sets: GPUQuerySet[];
  passes: number;
}
const clocks: Clock[] = [];
let running = false;
/** Of the other work before each sample. */
let workgroups = 0;
/** When the other work was submitted, and when the sample's last commands were. */
let [started, submitted] = [0, 0];

/** Gives every device that is requested from now on timestamps, which its passes take while `deviceTime` waits. */
export function timeAllDevices(code: string): void {
  wrap(GPUAdapter.prototype, 'requestDevice', (requestDevice) => async function withTimestamps(
    this: GPUAdapter, descriptor: GPUDeviceDescriptor = {},
  ) {
    const requiredFeatures = [...new Set([...(descriptor.requiredFeatures ?? []), 'timestamp-query' as const])];
    const device = await requestDevice.call(this, { ...descriptor, requiredFeatures });
    await timeDevice(device, code);
    return device;
  });
}

/** The same for one device, which must have the feature. */
export async function timeDevice(device: GPUDevice, code: string): Promise<void> {
  const createCommandEncoder = device.createCommandEncoder.bind(device);
  const clock: Clock = {
    device, createCommandEncoder, kernels: await ceilingKernels(device, code, 16 * 64 * MOST_GROUPS), sets: [],
    passes: 0,
    canary: device.createQuerySet({ type: 'timestamp', count: 2 * CANARY_PASSES }),
  };
  clocks.push(clock);
  void device.lost.then(() => clocks.splice(clocks.indexOf(clock), 1));
  device.createCommandEncoder = (options) => timed(createCommandEncoder(options), clock);
  const { queue } = device;
  const submit = queue.submit.bind(queue);
  queue.submit = (commands) => {
    submit(commands);
    submitted = performance.now();
  };
}

/**
 * From now on samples are queued behind other work: multiply-adds that take `AHEAD` milliseconds at the ceiling. With a
 * ceiling of 0 there is none.
 */
export function queueBehindOtherWork({ gflops }: Pick<Ceilings, 'gflops'>): void {
  workgroups = Math.ceil(AHEAD * gflops * 1e6 / OPERATIONS);
}

function timed(encoder: GPUCommandEncoder, clock: Clock): GPUCommandEncoder {
  const beginComputePass = encoder.beginComputePass.bind(encoder);
  encoder.beginComputePass = (descriptor = {}) => {
    if (!running || descriptor.timestampWrites) return beginComputePass(descriptor);
    if (clock.passes === 0) submitOtherWork(clock);
    const [set, pass] = [Math.floor(clock.passes / PASSES), clock.passes++ % PASSES];
    const querySet = clock.sets[set] ??= clock.device.createQuerySet({ type: 'timestamp', count: 2 * PASSES });
    return beginComputePass({ ...descriptor, timestampWrites: stamps(querySet, pass) });
  };
  return encoder;
}

const stamps = (querySet: GPUQuerySet, pass: number): GPUComputePassTimestampWrites =>
  ({ querySet, beginningOfPassWriteIndex: 2 * pass, endOfPassWriteIndex: 2 * pass + 1 });

function submitOtherWork({ device, createCommandEncoder, kernels: { multiplyAdd, empty }, canary }: Clock): void {
  if (workgroups > 0) {
    const encoder = createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let left = workgroups; left > 0; left -= MOST_GROUPS) multiplyAdd(pass, Math.min(left, MOST_GROUPS));
    pass.end();
    for (let i = 0; i < CANARY_PASSES; i++) {
      const timedPass = encoder.beginComputePass({ timestampWrites: stamps(canary, i) });
      for (let j = 0; j < DISPATCHES; j++) empty(timedPass, 1);
      timedPass.end();
    }
    device.queue.submit([encoder.finish()]);
  }
  started = performance.now();
}

/**
 * Milliseconds that the passes take on their devices, of all that `work` submits; and how an empty dispatch did before
 * it. @throws Error if `work` submits none
 */
export async function deviceTime(work: () => Promise<unknown>): Promise<Reading> {
  for (const clock of clocks) clock.passes = 0;
  running = true;
  try {
    await work();
  } finally {
    running = false;
  }
  const used = clocks.filter(({ passes }) => passes > 0);
  if (used.length === 0) throw new Error('it ran nothing on a device whose clock can be read');
  const recording = submitted - started;
  let [milliseconds, canary] = [0, 0];
  for (const { device, sets, passes, canary: canaries } of used) {
    for (const [index, querySet] of sets.entries()) {
      const count = Math.min(PASSES, passes - index * PASSES);
      if (count > 0) milliseconds += (await durations(device, querySet, count)).reduce((sum, one) => sum + one, 0);
    }
    if (workgroups === 0) continue;
    canary = Math.max(canary, Math.min(...await durations(device, canaries, CANARY_PASSES)) / DISPATCHES);
  }
  return { milliseconds, recording, ...(canary > 0 && { canary }) };
}

/** Milliseconds of each of so many passes. */
async function durations(device: GPUDevice, querySet: GPUQuerySet, passes: number): Promise<number[]> {
  const size = 16 * passes;
  const resolved = device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const readable = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(querySet, 0, 2 * passes, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, readable, 0, size);
  device.queue.submit([encoder.finish()]);
  await readable.mapAsync(GPUMapMode.READ);
  const times = new BigUint64Array(readable.getMappedRange().slice(0));
  for (const buffer of [resolved, readable]) buffer.destroy();
  return Array.from({ length: passes }, (_, pass) => Number(times[2 * pass + 1]! - times[2 * pass]!) / 1e6);
}
