import { checkNames, given } from '../arguments/reading.js';
import { isObject, mustBe, ValueError } from '../arguments/errors.js';
import type { Step } from '../plan/steps.js';
import { BUFFER } from './flags.js';

/** A range of a buffer, checked. */
export type Binding = Required<GPUBufferBinding>;

/** Where a caller has a tensor: a whole buffer, or a range of one. */
export type Target = GPUBuffer | GPUBufferBinding;

/** Checks that a caller's targets have no names that nothing reads. @throws ValueError */
export function checkTargets(op: string, targets: unknown, names: readonly string[]): void {
  if (!isObject(targets)) throw mustBe(`${op}: targets`, `an object of ${names.join(', ')}`, targets);
  checkNames(`${op}: targets`, targets, names);
}

/** Checks a caller's buffer or range. @throws ValueError */
export function resolveBinding(
  device: GPUDevice, where: string, target: Target | undefined, byteLength: number,
): Binding {
  const own = (name: string): unknown => (isObject(target) ? given(target, name) : undefined);
  const part = own('buffer') as GPUBuffer | undefined;
  if (part) checkNames(`${where}: names`, target!, ['buffer', 'offset', 'size']);
  const buffer = part ?? target as GPUBuffer | undefined;
  const [offset, size] = part ? [own('offset') as number ?? 0, own('size') as number | undefined] : [0, undefined];
  if (!buffer || !(buffer.usage & BUFFER.STORAGE)) {
    throw mustBe(where, 'a GPUBuffer with usage STORAGE', buffer?.usage ?? target);
  }
  const alignment = device.limits.minStorageBufferOffsetAlignment;
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % alignment !== 0) {
    throw mustBe(`${where} offset`, `a multiple of ${alignment}`, offset);
  }
  if (size !== undefined && (!Number.isSafeInteger(size) || size < 0)) {
    throw mustBe(`${where} size`, 'a non-negative integer', size);
  }
  const room = Math.min(size ?? Infinity, buffer.size - offset);
  if (room < byteLength) throw new ValueError(`${where} must have ${byteLength} bytes from its offset, got ${room}`);
  return { buffer, offset, size: byteLength };
}

/**
 * Checks that no step overwrites what is still read. `theirs` are the caller's ranges: this run's targets, and the
 * filters and biases. The latter are `lasting`: later runs read them too.
 *
 * - WebGPU lets no dispatch read and write one buffer, whatever the ranges.
 * - A written range must not overlap a range that a later step reads, a lasting range, or another written range.
 *
 * @throws ValueError that names both arguments
 */
export function checkApart(
  op: string, steps: readonly Step[], theirs: ReadonlyMap<string, Binding>, lasting: (value: string) => boolean,
): void {
  const written = new Set(steps.map(({ writes }) => writes.value).filter((value) => theirs.has(value)));
  const lastRead = new Map(steps.flatMap(({ reads }, index) => reads.map(({ value }) => [value, index] as const)));
  for (const [index, { reads, writes }] of steps.entries()) {
    const target = writes.value;
    const to = theirs.get(target);
    if (!to) continue;
    const hint = (other: string): string =>
      (target === 'output' && other === 'input' ? ": only strategy 'two-pass' without bands works in place" : '');
    for (const { value } of reads) {
      if (theirs.get(value)?.buffer !== to.buffer) continue;
      throw new ValueError(`${op}: ${target} must be another buffer than ${value}, because WebGPU lets no dispatch `
        + `read and write one buffer, got the same${hint(value)}`);
    }
    for (const [other, from] of theirs) {
      const apart = from.buffer !== to.buffer || from.offset >= to.offset + to.size
        || to.offset >= from.offset + from.size;
      if (apart || other === target) continue;
      if (!lasting(other) && !written.has(other) && (lastRead.get(other) ?? -1) <= index) continue;
      throw new ValueError(`${op}: ${target} must not overlap ${other}, got bytes ${bytes(to)} and ${bytes(from)} `
        + `of one buffer${hint(other)}`);
    }
  }
}

const bytes = ({ offset, size }: Binding): string => `${offset} to ${offset + size}`;

const numbers = new WeakMap<GPUBuffer, number>();
let lastNumber = 0;

/** A text that is the same for the same ranges under the same names. */
export const keyOf = (bindings: ReadonlyMap<string, Binding>): string =>
  [...bindings].map(([value, { buffer, offset }]) => {
    const number = numbers.get(buffer) ?? ++lastNumber;
    numbers.set(buffer, number);
    return `${value} ${number} ${offset}`;
  }).join();
