import { UnsupportedError } from '../arguments/errors.js';
import type { Variant } from '../kernels/kernels.js';
import type { Tile } from '../kernels/tiles.js';
import type { DeviceProfile } from './presets.js';

/** One run of a kernel. */
export interface Dispatch extends Variant<string> {
  readonly uniforms: ArrayBuffer;
  readonly grid: readonly [x: number, y: number];
}

/** Bytes that a binding can have. Kernels count elements in 31 bits. */
export const bindingLimit = ({ limits }: DeviceProfile): number =>
  Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, 2 ** 31);

/**
 * Spreads workgroups over two dimensions where one does not hold them; kernels flatten the index again.
 * @throws UnsupportedError
 */
export function grid(
  op: string, workgroups: number, { group }: Pick<Tile, 'group'>, { limits }: DeviceProfile,
): readonly [number, number] {
  const most = limits.maxComputeWorkgroupsPerDimension;
  const y = Math.ceil(workgroups / most);
  const x = Math.ceil(workgroups / y);
  if (y > most || x * y * group[0] * group[1] > 2 ** 31 - 1) {
    throw new UnsupportedError(`${op}: needs ${workgroups} workgroups, more than fit one dispatch`);
  }
  return [x, y];
}
