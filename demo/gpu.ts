import { PipelineManager } from 'sepconv-webgpu';

let current: Promise<PipelineManager> | undefined;
const sources = new Map<string, string>();

/** The manager of all tabs; after its device was lost, a new one. */
export function currentManager(): Promise<PipelineManager> {
  current ??= create();
  current.catch(() => (current = undefined));
  return current;
}

/** The WGSL of a kernel variant that was compiled since the page opened. */
export const shaderSource = (kernel: string): string | undefined => sources.get(kernel);

async function create(): Promise<PipelineManager> {
  const manager = await PipelineManager.create();
  const { device } = manager;
  const createShaderModule = device.createShaderModule.bind(device);
  // The library labels each module with the variant's name. The device is this page's alone.
  device.createShaderModule = (descriptor) => {
    sources.set(descriptor.label?.split(' ').at(-1) ?? '', descriptor.code);
    return createShaderModule(descriptor);
  };
  device.addEventListener('uncapturederror', ({ error }) => reportError(new Error(error.message)));
  manager.lost.then(() => {
    manager.destroy();
    current = undefined;
  }, reportError);
  return manager;
}

/** The adapter's name, as far as the browser tells it. */
export function adapterText({ device, adapterKind }: PipelineManager): string {
  const { vendor, architecture, description } = device.adapterInfo;
  const name = description || [vendor, architecture].filter(Boolean).join(' ') || 'the browser does not tell its name';
  return adapterKind === 'software' ? `${name} (software, runs on the CPU)` : name;
}
