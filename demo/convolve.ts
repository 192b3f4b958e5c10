import type { Convolution, Tensor4D } from 'sepconv-webgpu';

export interface TimedRun {
  readonly output: Tensor4D;
  /** The convolution alone, without upload and readback: the median of several runs. */
  readonly milliseconds: number;
  /** `gpu`: the GPU's own timestamps. `wall`: until the queue was done, where timestamps are not to be had. */
  readonly clock: 'gpu' | 'wall';
}

/** Few, because a software adapter takes its time and the picture waits for them. */
export const RUNS = 3;

/**
 * Runs a prepared convolution the way an application embeds it: its own buffers, its own encoder, its own compute
 * passes, the result read once at the end.
 */
export async function runTimed(device: GPUDevice, convolution: Convolution, input: Tensor4D): Promise<TimedRun> {
  const made: { destroy(): void }[] = [];
  const buffer = (label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer => {
    const created = device.createBuffer({ label: `demo ${label}`, size, usage });
    made.push(created);
    return created;
  };
  const { outputShape, outputByteLength } = convolution;
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ, QUERY_RESOLVE } = GPUBufferUsage;
  try {
    const photo = buffer('photo', input.data.byteLength, STORAGE | COPY_DST);
    const result = buffer('result', outputByteLength, STORAGE | COPY_SRC);
    const readback = buffer('readback', outputByteLength, COPY_DST | MAP_READ);
    device.queue.writeBuffer(photo, 0, Float32Array.from(input.data));

    const encoder = device.createCommandEncoder({ label: 'demo' });
    const querySet = device.features.has('timestamp-query')
      ? device.createQuerySet({ label: 'demo timestamps', type: 'timestamp', count: 2 * RUNS })
      : undefined;
    if (querySet !== undefined) made.push(querySet);
    for (let run = 0; run < RUNS; run++) {
      const pass = encoder.beginComputePass({
        label: `demo ${convolution.label}`,
        ...(querySet && {
          timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * run, endOfPassWriteIndex: 2 * run + 1 },
        }),
      });
      convolution.encode(pass, { input: photo, output: result });
      pass.end();
    }
    encoder.copyBufferToBuffer(result, 0, readback, 0, outputByteLength);
    let times: GPUBuffer | undefined;
    if (querySet !== undefined) {
      const resolved = buffer('timestamps', 16 * RUNS, QUERY_RESOLVE | COPY_SRC);
      times = buffer('timestamps readback', 16 * RUNS, COPY_DST | MAP_READ);
      encoder.resolveQuerySet(querySet, 0, 2 * RUNS, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, times, 0, 16 * RUNS);
    }
    await device.queue.onSubmittedWorkDone(); // the upload is not part of the wall time
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    const wall = (performance.now() - start) / RUNS;

    await Promise.all([readback.mapAsync(GPUMapMode.READ), times?.mapAsync(GPUMapMode.READ)]);
    const data = new Float32Array(readback.getMappedRange().slice(0));
    return {
      output: { shape: outputShape, data },
      ...(times === undefined
        ? { milliseconds: wall, clock: 'wall' }
        : { milliseconds: medianDuration(new BigUint64Array(times.getMappedRange())), clock: 'gpu' }),
    };
  } finally {
    for (const resource of made) resource.destroy();
  }
}

/** Pairs of begin and end in nanoseconds, to milliseconds. */
function medianDuration(timestamps: BigUint64Array): number {
  const durations = Array.from({ length: timestamps.length / 2 },
    (_, run) => Number((timestamps[2 * run + 1] ?? 0n) - (timestamps[2 * run] ?? 0n)) / 1e6);
  durations.sort((a, b) => a - b);
  return durations[durations.length >> 1] ?? NaN;
}
