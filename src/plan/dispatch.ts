import { UnsupportedError } from '../arguments/errors.js';
import { type Cut, type Kernel, type Variant, variantOf } from '../kernels/kernel.js';
import type { DeviceProfile } from '../kernels/profile.js';
import type { KernelChoice } from './presets.js';

/** One run of a kernel. */
export interface Dispatch extends Variant {
  readonly grid: readonly [x: number, y: number, z: number];
}

/** The most bytes of a binding: kernels count elements in 31 bits. */
export const bindingLimit = ({ limits }: DeviceProfile): number =>
  Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, 2 ** 31);

/** Runs a kernel over some work. `others` are further values for its `Params`. @throws UnsupportedError */
export function dispatchOf<Work>(
  op: string, { kernel, tile }: KernelChoice<Work, Kernel<Work>>, work: Work, profile: DeviceProfile,
  others?: Readonly<Record<string, number>>,
): Dispatch {
  const cut = kernel.cut(work, tile);
  return { ...variantOf(kernel, cut, others), grid: gridOf(op, cut, profile) };
}

/** Spreads workgroups over two dimensions if there are too many for one; kernels flatten the index again. */
function gridOf(op: string, { workgroups, group, images = 1 }: Cut, { limits }: DeviceProfile): Dispatch['grid'] {
  const most = limits.maxComputeWorkgroupsPerDimension;
  const y = Math.ceil(workgroups / most);
  const x = Math.ceil(workgroups / y);
  if (Math.max(y, images) > most || x * y * group[0] * group[1] > 2 ** 31 - 1) {
    throw new UnsupportedError(`${op}: needs ${workgroups} workgroups, more than fit one dispatch`);
  }
  return [x, y, images];
}
