import type { PipelineManager } from 'sepconv-webgpu';
import { askForManager, lossError } from './watch.js';

let current: Promise<PipelineManager> | undefined;
const sources = new Map<string, string>();
/** Of the work that is going on: what ends it at a loss. */
const running = new Set<(loss: Error) => void>();
let tell: (trouble: unknown) => void = () => {};

/** Milliseconds that the news of a device's loss may lag behind its effects. */
const LOSS_NEWS = 1000;

/** Calls `show` with what is wrong with the GPU as a whole, and with `undefined` when all is well again. */
export function watchGpu(show: (trouble: unknown) => void): void {
  tell = show;
}

/** The manager of all tabs; after its device was lost, a new one. */
export function currentManager(): Promise<PipelineManager> {
  current ??= create();
  return current;
}

/** What `work` gives. The loss of the device ends it, even if the browser never answers what it was asked. */
export async function untilLost<T>(work: Promise<T>): Promise<T> {
  const { promise: loss, reject } = Promise.withResolvers<never>();
  running.add(reject);
  try {
    return await Promise.race([work, loss]);
  } catch (error) {
    // WebGPU's own calls fail at a loss before its news, and do not tell of it.
    if (error instanceof DOMException && /Abort|Operation/.test(error.name)) {
      await Promise.race([loss, new Promise((resolve) => setTimeout(resolve, LOSS_NEWS))]);
    }
    throw error;
  } finally {
    running.delete(reject);
  }
}

/** The WGSL of a kernel variant that was compiled since the page opened. */
export const shaderSource = (kernel: string): string | undefined => sources.get(kernel);

async function create(): Promise<PipelineManager> {
  let manager: PipelineManager;
  try {
    manager = await askForManager();
  } catch (error) {
    current = undefined;
    tell(error);
    throw error;
  }
  const { device } = manager;
  const createShaderModule = device.createShaderModule.bind(device);
  // The library labels each module with the variant's name. The device is this page's alone.
  device.createShaderModule = (descriptor) => {
    sources.set(descriptor.label?.split(' ').at(-1) ?? '', descriptor.code);
    return createShaderModule(descriptor);
  };
  device.addEventListener('uncapturederror', ({ error }) => reportError(new Error(error.message)));
  manager.lost.then((info) => {
    manager.destroy();
    current = undefined;
    const loss = lossError(info);
    for (const end of running) end(loss);
    tell(loss);
  }, reportError);
  tell(undefined);
  return manager;
}

/** The adapter's name, as far as the browser tells it. */
export function adapterText({ device, adapterKind }: PipelineManager): string {
  const { vendor, architecture, description } = device.adapterInfo;
  const name = description || [vendor, architecture].filter(Boolean).join(' ') || 'the browser does not tell its name';
  return adapterKind === 'software' ? `${name} (software, runs on the CPU)` : name;
}
