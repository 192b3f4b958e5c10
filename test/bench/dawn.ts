import process from 'node:process';
import { globals } from 'webgpu';

/**
 * Poses as a browser to libraries that look for one, with Dawn's WebGPU, and times all passes of their devices by the
 * GPU's own clock.
 */
export function poseAsBrowser(gpu: GPU): void {
  Object.assign(globalThis, globals);
  const navigator = { gpu, userAgent: `Node.js/${process.versions.node}`, hardwareConcurrency: 1, languages: ['en'] };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  Object.assign(globalThis, { self: globalThis });
  // Dawn for Node refuses views of shared memory, which onnxruntime-web's WebAssembly has.
  const { writeBuffer } = GPUQueue.prototype;
  GPUQueue.prototype.writeBuffer = function copied(buffer, offset, data, start = 0, size?) {
    if (!isShared(data)) return writeBuffer.call(this, buffer, offset, data, start, size);
    const unit = ArrayBuffer.isView(data) ? bytesEach(data) : 1;
    const whole = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    const end = size === undefined ? whole.length : (start + size) * unit;
    return writeBuffer.call(this, buffer, offset, whole.slice(start * unit, end));
  };
}

const isShared = (data: AllowSharedBufferSource): boolean =>
  (ArrayBuffer.isView(data) ? data.buffer : data) instanceof SharedArrayBuffer;
const bytesEach = (view: ArrayBufferView): number => (view as Partial<Uint8Array>).BYTES_PER_ELEMENT ?? 1;

/** Passes that a run may have: two timestamps each, of the 4,096 that a query set can hold. */
const MOST_PASSES = 2048;

interface Clock { readonly device: GPUDevice; readonly querySet: GPUQuerySet; passes: number }
const clocks: Clock[] = [];
let running = false;

/** From now on every device that is requested has timestamps, and every pass of it takes two while `gpuTime` waits. */
export function timeAllDevices(): void {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function withTimestamps(descriptor = {}) {
    const requiredFeatures = new Set([...(descriptor.requiredFeatures ?? []), 'timestamp-query' as const]);
    const device = await requestDevice.call(this, { ...descriptor, requiredFeatures: [...requiredFeatures] });
    const querySet = device.createQuerySet({ type: 'timestamp', count: 2 * MOST_PASSES });
    const clock: Clock = { device, querySet, passes: 0 };
    clocks.push(clock);
    const createCommandEncoder = device.createCommandEncoder.bind(device);
    device.createCommandEncoder = (options) => timed(createCommandEncoder(options), clock);
    return device;
  };
}

function timed(encoder: GPUCommandEncoder, clock: Clock): GPUCommandEncoder {
  const beginComputePass = encoder.beginComputePass.bind(encoder);
  encoder.beginComputePass = (descriptor = {}) => {
    if (!running || descriptor.timestampWrites || clock.passes === MOST_PASSES) return beginComputePass(descriptor);
    const begin = 2 * clock.passes++;
    const timestampWrites = {
      querySet: clock.querySet, beginningOfPassWriteIndex: begin, endOfPassWriteIndex: begin + 1,
    };
    return beginComputePass({ ...descriptor, timestampWrites });
  };
  return encoder;
}

/** Milliseconds of GPU time of the passes that `work` records on any device. */
export async function gpuTime(work: () => Promise<unknown>): Promise<number> {
  for (const clock of clocks) clock.passes = 0;
  running = true;
  try {
    await work();
  } finally {
    running = false;
  }
  let total = 0;
  for (const { device, querySet, passes } of clocks) {
    if (passes === 0) continue;
    if (passes === MOST_PASSES) throw new Error(`a sample has more than ${MOST_PASSES} passes`);
    const size = 16 * passes;
    const resolved = device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
    const readable = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    encoder.resolveQuerySet(querySet, 0, 2 * passes, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, readable, 0, size);
    device.queue.submit([encoder.finish()]);
    await readable.mapAsync(GPUMapMode.READ);
    const stamps = new BigUint64Array(readable.getMappedRange());
    for (let i = 0; i < stamps.length; i += 2) total += Number(stamps[i + 1]! - stamps[i]!) / 1e6;
    for (const buffer of [resolved, readable]) buffer.destroy();
  }
  return total;
}
