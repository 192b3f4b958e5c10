import type { Convolution } from './convolution.js';
import type { Choice } from './plan.js';

const SAMPLES = 3;
/** Milliseconds that a sample should last, for the clock's sake, and runs that it takes at most. */
const [SAMPLE_TIME, MOST_RUNS] = [10, 20];

/** The fastest of the choices for one convolution; undefined: none could be measured. */
export async function fastest(
  device: GPUDevice, choices: readonly Choice[], prepare: (choice: Choice) => Promise<Convolution>,
): Promise<Choice | undefined> {
  let best: { choice: Choice; time: number } | undefined;
  for (const choice of choices) {
    const convolution = await prepare(choice).catch(() => undefined); // A candidate that cannot run is no candidate.
    if (!convolution) continue;
    const { inputByteLength, outputByteLength } = convolution;
    if (Math.max(inputByteLength, outputByteLength) > device.limits.maxBufferSize) {
      convolution.destroy(); // Only `run` can compute it, in portions.
      return undefined;
    }
    const time = await timeOf(device, convolution);
    if (!best || time < best.time) best = { choice, time };
  }
  return best?.choice;
}

/** Milliseconds of one run by the wall clock, the least of some samples; destroys the convolution. */
async function timeOf(device: GPUDevice, convolution: Convolution): Promise<number> {
  const buffer = (byteLength: number): GPUBuffer =>
    device.createBuffer({ label: 'sepconv-webgpu tuning', size: Math.max(16, byteLength), usage: GPUBufferUsage.STORAGE });
  const [input, output] = [buffer(convolution.inputByteLength), buffer(convolution.outputByteLength)];
  const sample = async (runs: number): Promise<number> => {
    const encoder = device.createCommandEncoder({ label: 'sepconv-webgpu tuning' });
    const pass = encoder.beginComputePass({ label: 'sepconv-webgpu tuning' });
    for (let run = 0; run < runs; run++) convolution.encode(pass, { input, output });
    pass.end();
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return (performance.now() - start) / runs;
  };
  try {
    const first = await sample(1);
    const runs = Math.max(1, Math.min(MOST_RUNS, Math.floor(SAMPLE_TIME / first)));
    let least = Infinity;
    for (let i = 0; i < SAMPLES; i++) least = Math.min(least, await sample(runs));
    return least;
  } finally {
    input.destroy();
    output.destroy();
    convolution.destroy();
  }
}
