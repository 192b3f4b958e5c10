import type { Resources } from '../resources.js';
import type { Step } from './gpu-network.js';

export interface LayerTimes {
  /** Of each layer, in milliseconds; the first is the picture's way into the first tensor. */
  readonly milliseconds: readonly number[];
  /** `gpu`: the GPU's own timestamps, one pass per layer. `wall`: until the queue was done, one submit per layer. */
  readonly clock: 'gpu' | 'wall';
}

type Timed = Pick<Step, 'name' | 'encode'>;

/**
 * Runs steps one after the other, to see how long each takes: by the device's timestamps where it has some. `onStep`
 * gets the share of steps that are done and makes each wait for the one before, so that a slow network neither holds
 * the GPU for long nor cannot be stopped: it may throw.
 */
export function stepTimer(
  device: GPUDevice, steps: readonly Timed[], resources: Resources,
): (onStep?: (share: number) => void) => Promise<LayerTimes> {
  if (!device.features.has('timestamp-query')) return (onStep) => byWall(device, steps, onStep);
  const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const count = 2 * steps.length;
  const set = resources.keep(device.createQuerySet({ type: 'timestamp', count }));
  const resolved = resources.buffer('timestamps', 8 * count, QUERY_RESOLVE | COPY_SRC);
  const readback = resources.buffer('timestamps readback', 8 * count, MAP_READ | COPY_DST);
  return async (onStep) => {
    let encoder = device.createCommandEncoder();
    for (const [i, { name, encode }] of steps.entries()) {
      const pass = encoder.beginComputePass({
        label: name,
        timestampWrites: { querySet: set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      });
      encode(pass);
      pass.end();
      if (onStep === undefined) continue;
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      onStep((i + 1) / steps.length);
      encoder = device.createCommandEncoder();
    }
    encoder.resolveQuerySet(set, 0, set.count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, readback, 0, readback.size);
    device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    const ticks = new BigUint64Array(readback.getMappedRange());
    const milliseconds = steps.map((_, i) => Number(ticks[2 * i + 1]! - ticks[2 * i]!) / 1e6);
    readback.unmap();
    return { milliseconds, clock: 'gpu' };
  };
}

async function byWall(
  device: GPUDevice, steps: readonly Timed[], onStep?: (share: number) => void,
): Promise<LayerTimes> {
  const milliseconds: number[] = [];
  for (const { encode } of steps) {
    await device.queue.onSubmittedWorkDone();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encode(pass);
    pass.end();
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    milliseconds.push(performance.now() - start);
    onStep?.(milliseconds.length / steps.length);
  }
  return { milliseconds, clock: 'wall' };
}
