/** Buffers of the tests: poisoned before a run, with guard words on both sides. */

export const GUARD_BYTES = 256;
/** A NaN that no arithmetic makes: what must be overwritten, or must not. */
export const POISON = 0x7fc0dead;

/** The contents of a buffer for a result of so many bytes. */
export const guarded = (byteLength: number): Uint32Array<ArrayBuffer> => new Uint32Array((byteLength + 2 * GUARD_BYTES) / 4).fill(POISON);

/** The result in such a buffer, and what is wrong with it. */
export function unguarded(words: Uint32Array, byteLength: number): { readonly data: Float32Array; readonly failure?: string } {
  const [start, end] = [GUARD_BYTES / 4, (GUARD_BYTES + byteLength) / 4];
  const inside = words.slice(start, end);
  const outside = [...words.subarray(0, start), ...words.subarray(end)];
  const data = new Float32Array(inside.buffer);
  if (outside.some((word) => word !== POISON)) return { data, failure: 'words beside it were overwritten' };
  return inside.includes(POISON) ? { data, failure: `element ${inside.indexOf(POISON)} was not written` } : { data };
}
