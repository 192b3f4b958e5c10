import { SepconvError, show, UnsupportedError } from '../arguments/errors.js';
import type { AdapterKind, DeviceProfile } from '../kernels/profile.js';

/** Optional features that kernels or callers profit from, and limits that allow larger tensors. */
const WANTED_FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'] as const satisfies GPUFeatureName[];
const WANTED_LIMITS = [
  'maxBufferSize', 'maxStorageBufferBindingSize', 'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupStorageSize',
] as const;

/**
 * A device of the library's own, with the features and limits that the adapter offers. Some adapters refuse what they
 * offer: then a device with less.
 * @throws UnsupportedError without WebGPU
 */
export async function requestDevice(): Promise<GPUDevice> {
  const gpu = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (!gpu) {
    throw new UnsupportedError('This environment has no WebGPU (navigator.gpu): use a current browser on a page '
      + 'from https or localhost, or pass a GPUDevice');
  }
  let refusal: unknown;
  for (const wanted of [everything, featuresOnly, nothing]) {
    try {
      // A fresh adapter each time: one adapter gives one device, and some count a refused request as that one.
      const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' }) ?? await gpu.requestAdapter();
      if (!adapter) break;
      return await adapter.requestDevice({ label: 'sepconv-webgpu', ...wanted(adapter) });
    } catch (error) {
      refusal ??= error;
    }
  }
  if (refusal) throw new UnsupportedError(`WebGPU gives no device: ${show(refusal)}`, { cause: refusal });
  throw new UnsupportedError('WebGPU found no adapter: the GPU or its driver may be blocked in this browser');
}

type Wanted = (adapter: GPUAdapter) => GPUDeviceDescriptor;
const featuresOnly: Wanted = ({ features }) => ({
  requiredFeatures: WANTED_FEATURES.filter((feature) => features.has(feature)),
});
const everything: Wanted = (adapter) => ({
  ...featuresOnly(adapter),
  requiredLimits: Object.fromEntries(WANTED_LIMITS.map((limit) => [limit, adapter.limits[limit]])),
});
const nothing: Wanted = () => ({});

/** Software adapters say so themselves (lavapipe in Firefox, which tells no names), or are known by their names. */
export function adapterKindOf(device: Pick<GPUDevice, 'adapterInfo'>): AdapterKind {
  const software = /swiftshader|llvmpipe|lavapipe|basic render/i.test(adapterName(device));
  return software || infoOf(device).isFallbackAdapter ? 'software' : 'gpu';
}

/** What the browser tells of a device's adapter, which may be nothing. */
export function adapterName(owner: Pick<GPUDevice, 'adapterInfo'>): string {
  const { vendor, architecture, device, description } = infoOf(owner);
  return [vendor, architecture, device, description].join(' ').trim();
}

/** Browsers of before 2025 have no `adapterInfo` on a device. */
const infoOf = ({ adapterInfo }: Pick<GPUDevice, 'adapterInfo'>): Partial<GPUAdapterInfo> =>
  (adapterInfo as GPUAdapterInfo | undefined) ?? {};

/**
 * Runs GPU calls inside error scopes, and rejects with the error that WebGPU reports. Without scopes it would go to
 * the `uncapturederror` of the device's owner. `work` must be synchronous: a scope held across an `await` would catch
 * the errors of other code.
 */
export async function checked<T>(device: GPUDevice, where: string, work: () => T): Promise<T> {
  const { result, sound } = scoped(device, where, work);
  await sound;
  return result;
}

/** As `checked`, with the result at once. `sound` rejects when WebGPU reports an error. */
export function scoped<T>(
  device: GPUDevice, where: string, work: () => T,
): { readonly result: T; readonly sound: Promise<void> } {
  const filters = ['validation', 'out-of-memory', 'internal'] as const;
  for (const filter of filters) device.pushErrorScope(filter);
  const popped: Promise<GPUError | null>[] = [];
  let result: T;
  try {
    result = work();
  } finally {
    popped.push(...filters.map(() => device.popErrorScope()));
    for (const promise of popped) promise.catch(() => undefined);
  }
  const sound = Promise.all(popped).then((errors) => {
    for (const [index, error] of errors.entries()) {
      if (!error) continue;
      const filter = filters.at(-1 - index);
      const message = `${where}: WebGPU reports ${filter}: ${error.message}`;
      throw filter === 'out-of-memory' ? new UnsupportedError(message) : new SepconvError(message);
    }
  });
  sound.catch(() => undefined); // Whoever awaits it is told.
  return { result, sound };
}

/** The library's version. */
export const VERSION = '0.1.0';

/** What measurements hold for. Those of another version, adapter or kind of device are not trusted. */
export const measuredOn = (device: GPUDevice, profile: DeviceProfile) =>
  ({ version: VERSION, adapter: adapterName(device), device: profile });
