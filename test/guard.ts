import { fromFloat16 } from '../src/gpu/float16.js';
import type { Dtype } from '../src/arguments/geometry.js';

/** Buffers of the tests: poisoned before a run, with guard words on both sides. */

export const GUARD_BYTES = 256;
/** NaNs that no arithmetic makes: what must be overwritten, or must not. */
const POISON = { f32: 0x7fc0dead, f16: 0x7ead7ead };

/** The contents of a buffer for a result of so many bytes. */
export const guarded = (byteLength: number, dtype: Dtype = 'f32'): Uint32Array<ArrayBuffer> =>
  new Uint32Array(Math.ceil(byteLength / 4) + 2 * GUARD_BYTES / 4).fill(POISON[dtype]);

/** The result in such a buffer, and what is wrong with it. */
export function unguarded(
  words: Uint32Array<ArrayBuffer>, byteLength: number, dtype: Dtype = 'f32',
): { readonly data: Float32Array; readonly failure?: string } {
  const half = dtype === 'f16';
  const units = half ? new Uint16Array(words.buffer, words.byteOffset, words.length * 2) : words;
  const poison = half ? POISON.f16 % 2 ** 16 : POISON.f32;
  const [start, end] = [GUARD_BYTES, GUARD_BYTES + byteLength]
    .map((at) => at / units.BYTES_PER_ELEMENT) as [number, number];
  const inside = units.slice(start, end);
  const data = half ? fromFloat16(inside.buffer, inside.length) : new Float32Array(inside.buffer);
  const outside = [...units.subarray(0, start), ...units.subarray(end)];
  if (outside.some((unit) => unit !== poison)) return { data, failure: 'words beside it were overwritten' };
  return inside.includes(poison) ? { data, failure: `element ${inside.indexOf(poison)} was not written` } : { data };
}
