import { adapterKindOf, adapterName } from '../../src/gpu/device.js';
import { PipelineCache } from '../../src/gpu/pipelines.js';
import type { DeviceProfile } from '../../src/kernels/profile.js';
import { PipelineManager, profileOf } from '../../src/manager.js';
import type { DeviceFacts } from './report.js';

/** A device to check, with what works on it, until something goes wrong on it. */
export interface Lab {
  readonly device: GPUDevice;
  readonly profile: DeviceProfile;
  readonly pipelines: PipelineCache;
  readonly manager: PipelineManager;
  /** Rejects when the device is lost, and at an error that nothing caught. */
  readonly trouble: Promise<never>;
  /** Resolves when the device is done with all it was given, and has told of errors. */
  readonly settled: () => Promise<void>;
  readonly destroy: () => void;
}

/** A device was lost. */
export class LossError extends Error {}
/** WebGPU reports an error to nobody in particular. */
export class UncapturedError extends Error {
  readonly gpuError: GPUError;
  constructor(gpuError: GPUError) {
    super(gpuError.message);
    this.gpuError = gpuError;
  }
}

/** Pipelines that a lab keeps: all that a check compiles, each once. */
const MOST_PIPELINES = 4096;

/** The device becomes the lab's own. */
export async function openLab(device: GPUDevice): Promise<Lab> {
  const trouble = new Promise<never>((_, reject) => {
    device.addEventListener('uncapturederror', ({ error }) => reject(new UncapturedError(error)));
    void device.lost.then(({ reason, message }) => reject(new LossError(`${reason}: ${message}`)));
  });
  trouble.catch(() => undefined); // Whoever works tells.
  const manager = await PipelineManager.create({ device });
  await Promise.race([hurry(device), trouble]).catch((error: unknown) => {
    device.destroy();
    throw error;
  });
  return {
    device, manager, trouble, profile: profileOf(device, adapterKindOf(device)),
    pipelines: new PipelineCache(device, MOST_PIPELINES),
    async settled() {
      await device.queue.onSubmittedWorkDone();
      await new Promise((resolve) => setTimeout(resolve));
    },
    destroy() {
      manager.destroy();
      device.destroy();
    },
  };
}

/** Milliseconds after which an empty submit is late, and between those that hurry it. */
const [LATE, HURRY] = [20, 4];

/** Firefox looks for the end of work every 100 ms, and whenever something is submitted: then it is told to. */
async function hurry({ queue, lost }: GPUDevice): Promise<void> {
  let start = 0;
  for (let i = 0; i < 2; i++) { // The first may have been sent just before it looks, the second just after.
    start = performance.now();
    queue.submit([]);
    await queue.onSubmittedWorkDone();
  }
  if (performance.now() - start < LATE) return;
  const submit = queue.submit.bind(queue); // Not the one that tells a stopwatch.
  const timer = setInterval(() => submit([]), HURRY);
  void lost.then(() => clearInterval(timer));
}

/** What a report tells of a device. */
export function factsOf({ device, profile: { kind } }: Lab): DeviceFacts {
  const limits: Record<string, number> = {};
  for (const name in device.limits) { // They are getters of the prototype.
    const value = device.limits[name as keyof GPUSupportedLimits];
    if (typeof value === 'number') limits[name] = value;
  }
  return { name: adapterName(device), kind, features: [...device.features].sort(), limits };
}
