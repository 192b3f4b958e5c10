import type { ResultArray } from '../arguments/geometry.js';

/** The GPU's float16 from float32 and back. Float16 has 11 significant bits and reaches 65,504. */

interface Float16Like { readonly buffer: ArrayBufferLike }
type Float16Constructor = new (source: ArrayLike<number> | ArrayBuffer, offset?: number, length?: number) =>
  ArrayLike<number> & Float16Like;

/** What newer engines convert with, natively. */
const native = (globalThis as { Float16Array?: Float16Constructor }).Float16Array ?? null;

/** The bits of float32 values as float16, rounded to nearest even; above 65,519 they are infinite. */
export function toFloat16(values: Float32Array, convert: Float16Constructor | null = native): Uint16Array<ArrayBuffer> {
  const bits = new Uint16Array(Math.ceil(values.length / 2) * 2); // The GPU copies multiples of 4 bytes.
  if (convert) {
    bits.set(new Uint16Array(new convert(values).buffer));
    return bits;
  }
  for (const [i, value] of values.entries()) bits[i] = halfBits(value);
  return bits;
}

/** `length` float16 values as float32, exactly. */
export function fromFloat16(
  bytes: ArrayBuffer, length: number, convert: Float16Constructor | null = native,
): ResultArray {
  if (convert) return Float32Array.from(new convert(bytes, 0, length));
  return Float32Array.from(new Uint16Array(bytes, 0, length), halfValue);
}

const single = new Float32Array(1);
const singleBits = new Uint32Array(single.buffer);

function halfBits(x: number): number {
  single[0] = x;
  const word = singleBits[0]!;
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65,520 and above rounds to infinity.
  if (magnitude < 0x38800000) {
    // Subnormal: a multiple of 2^-24, the last bit of a float32 of 0.5 to 1. Adding 0.5 rounds x to that.
    single[0] = Math.abs(x) + 0.5;
    return sign | (singleBits[0]! - 0x3f000000);
  }
  const odd = (magnitude >>> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
}

function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
