import { scoped } from './device.js';
import { BUFFER } from './flags.js';

/** Most bytes and buffers that a pool keeps for reuse; beyond either, what lay unused longest is destroyed. */
const [MOST_POOLED_BYTES, MOST_POOLED] = [256 * 2 ** 20, 256];

/**
 * Buffers for upload, results and readback, reused by size and usage so that a run allocates nothing after the first.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #free: GPUBuffer[] = [];
  #mostBytes = MOST_POOLED_BYTES;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** A buffer of at least `byteLength` bytes with stale contents. May be called inside an error scope only. */
  acquire(byteLength: number, usage: GPUBufferUsageFlags, label: string): GPUBuffer {
    const index = this.#free.findLastIndex((buffer) =>
      buffer.usage === usage && buffer.size >= byteLength && buffer.size <= 2 * Math.max(byteLength, 4096));
    const [buffer] = index < 0 ? [] : this.#free.splice(index, 1);
    if (!buffer) {
      return this.#device.createBuffer({ label, size: Math.max(16, Math.ceil(byteLength / 16) * 16), usage });
    }
    buffer.label = label;
    return buffer;
  }

  /** Gives a buffer back once its last use is submitted; the oldest go when too much lies unused. */
  release(buffer: GPUBuffer): void {
    this.#free.push(buffer);
    let bytes = this.#free.reduce((sum, { size }) => sum + size, 0);
    while (bytes > this.#mostBytes || this.#free.length > MOST_POOLED) {
      const oldest = this.#free.shift()!;
      bytes -= oldest.size;
      oldest.destroy();
    }
  }

  /** Destroys what lies unused now, and the rest when it comes back. */
  destroy(): void {
    this.#mostBytes = 0;
    for (const buffer of this.#free.splice(0)) buffer.destroy();
  }
}

/** A buffer of scratch memory. `sound` rejects when there is no memory for it. */
export interface Memory {
  readonly buffer: GPUBuffer;
  readonly sound: Promise<void>;
}

/**
 * Memory between passes. All programs of one manager share one buffer for each purpose, because the dispatches of a
 * queue run in order. A program that needs more gets a larger buffer, which later programs share.
 */
export class Scratch {
  readonly #device: GPUDevice;
  readonly #users = new Map<Memory, number>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** A program may get memory that another asked for and that is not there: each awaits `sound`. */
  acquire(where: string, byteLength: number, purpose: string): Memory {
    const label = `sepconv-webgpu ${purpose}`;
    const shared = [...this.#users.keys()].find(({ buffer }) => buffer.label === label && buffer.size >= byteLength);
    const memory = shared ?? this.#create(where, label, byteLength);
    this.#users.set(memory, (this.#users.get(memory) ?? 0) + 1);
    return memory;
  }

  /** Destroys the buffer with its last user. */
  release(memory: Memory): void {
    const users = (this.#users.get(memory) ?? 0) - 1;
    if (users > 0) {
      this.#users.set(memory, users);
    } else if (this.#users.delete(memory)) {
      memory.buffer.destroy();
    }
  }

  #create(where: string, label: string, size: number): Memory {
    const { result: buffer, sound } = scoped(this.#device, where, () =>
      this.#device.createBuffer({ label, size, usage: BUFFER.STORAGE | BUFFER.COPY_SRC }));
    return { buffer, sound };
  }
}
