import process from 'node:process';
import { globals } from 'webgpu';

/**
 * Dawn for Node as libraries made for browsers know WebGPU, and with the device's own clock for every pass of theirs.
 */

export function poseAsBrowser(gpu: GPU): void {
  Object.assign(globalThis, globals, { self: globalThis });
  const navigator = { gpu, userAgent: `Node.js/${process.versions.node}`, hardwareConcurrency: 1, languages: ['en'] };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  wrap(GPUQueue.prototype, 'writeBuffer', (writeBuffer) => function copied(
    this: GPUQueue, buffer: GPUBuffer, offset: number, data: GPUAllowSharedBufferSource, start = 0, size?: number,
  ) {
    // Dawn for Node refuses views of shared memory, which onnxruntime-web's WebAssembly has.
    if (!isShared(data)) return writeBuffer.call(this, buffer, offset, data, start, size);
    const unit = ArrayBuffer.isView(data) ? (data as Uint8Array).BYTES_PER_ELEMENT : 1;
    const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    const end = size === undefined ? bytes.length : (start + size) * unit;
    return writeBuffer.call(this, buffer, offset, bytes.slice(start * unit, end));
  });
}

const isShared = (data: AllowSharedBufferSource): boolean =>
  (ArrayBuffer.isView(data) ? data.buffer : data) instanceof SharedArrayBuffer;

/** Puts a function around a method of a class. */
function wrap<T, K extends keyof T>(type: T, name: K, around: (method: T[K]) => T[K]): void {
  type[name] = around(type[name]);
}

/** Passes of a query set: two timestamps each, of the 4,096 that it can hold. */
const PASSES = 2048;

interface Clock { readonly device: GPUDevice; readonly sets: GPUQuerySet[]; passes: number }
const clocks = new Map<GPUDevice, Clock>();
let running = false;

/** Gives every device that is requested from now on timestamps, which its passes take while `deviceTime` waits. */
export function timeAllDevices(): void {
  wrap(GPUAdapter.prototype, 'requestDevice', (requestDevice) => async function withTimestamps(
    this: GPUAdapter, descriptor: GPUDeviceDescriptor = {},
  ) {
    const requiredFeatures = [...new Set([...(descriptor.requiredFeatures ?? []), 'timestamp-query' as const])];
    const device = await requestDevice.call(this, { ...descriptor, requiredFeatures });
    const clock: Clock = { device, sets: [], passes: 0 };
    clocks.set(device, clock);
    const createCommandEncoder = device.createCommandEncoder.bind(device);
    device.createCommandEncoder = (options) => timed(createCommandEncoder(options), clock);
    return device;
  });
}

function timed(encoder: GPUCommandEncoder, clock: Clock): GPUCommandEncoder {
  const beginComputePass = encoder.beginComputePass.bind(encoder);
  encoder.beginComputePass = (descriptor = {}) => {
    if (!running || descriptor.timestampWrites) return beginComputePass(descriptor);
    const [set, pass] = [Math.floor(clock.passes / PASSES), clock.passes++ % PASSES];
    const querySet = clock.sets[set] ??= clock.device.createQuerySet({ type: 'timestamp', count: 2 * PASSES });
    const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * pass, endOfPassWriteIndex: 2 * pass + 1 };
    return beginComputePass({ ...descriptor, timestampWrites });
  };
  return encoder;
}

/** Milliseconds that the passes take on their devices, of all that `work` submits. */
export async function deviceTime(work: () => Promise<unknown>): Promise<number> {
  for (const clock of clocks.values()) clock.passes = 0;
  running = true;
  try {
    await work();
  } finally {
    running = false;
  }
  let total = 0;
  for (const { device, sets, passes } of clocks.values()) {
    for (const [index, querySet] of sets.entries()) {
      const count = Math.min(PASSES, passes - index * PASSES);
      if (count > 0) total += await timeOf(device, querySet, count);
    }
  }
  return total;
}

async function timeOf(device: GPUDevice, querySet: GPUQuerySet, passes: number): Promise<number> {
  const size = 16 * passes;
  const resolved = device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const readable = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(querySet, 0, 2 * passes, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, readable, 0, size);
  device.queue.submit([encoder.finish()]);
  await readable.mapAsync(GPUMapMode.READ);
  const stamps = new BigUint64Array(readable.getMappedRange().slice(0));
  for (const buffer of [resolved, readable]) buffer.destroy();
  let total = 0;
  for (let i = 0; i < stamps.length; i += 2) total += Number(stamps[i + 1]! - stamps[i]!) / 1e6;
  return total;
}
