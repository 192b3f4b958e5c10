import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import process from 'node:process';
import { compileFunction } from 'node:vm';
import { globals } from 'webgpu';
import { wrap } from './wrap.js';

/**
 * Dawn for Node as libraries made for browsers know WebGPU, and what else they take for granted.
 */

export function poseAsBrowser(gpu: GPU): void {
  Object.assign(globalThis, globals, { self: globalThis });
  const navigator = { gpu, userAgent: `Node.js/${process.versions.node}`, hardwareConcurrency: 1, languages: ['en'] };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  wrap(GPUQueue.prototype, 'writeBuffer', (writeBuffer) => function copied(
    this: GPUQueue, buffer: GPUBuffer, offset: number, data: GPUAllowSharedBufferSource, start = 0, size?: number,
  ) {
    // Dawn for Node refuses views of shared memory, which onnxruntime-web's WebAssembly has.
    if (!isShared(data)) return writeBuffer.call(this, buffer, offset, data, start, size);
    const unit = ArrayBuffer.isView(data) ? (data as Uint8Array).BYTES_PER_ELEMENT : 1;
    const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    const end = size === undefined ? bytes.length : (start + size) * unit;
    return writeBuffer.call(this, buffer, offset, bytes.slice(start * unit, end));
  });
}

const isShared = (data: AllowSharedBufferSource): boolean =>
  (ArrayBuffer.isView(data) ? data.buffer : data) instanceof SharedArrayBuffer;

/**
 * Where `importScripts` exists, LiteRT.js calls it to load the script that makes its WebAssembly, and expects a global
 * `ModuleFactory` of it. In Node the script itself reads from disk, if it runs as a CommonJS module.
 */
export async function withImportScripts<T>(work: () => Promise<T>): Promise<T> {
  const importScripts = (path: string): void => {
    const module = { exports: {} };
    const quiet = { ...console, log() {}, warn() {}, error() {} }; // It tells how it starts.
    const names = {
      module, exports: module.exports, require: createRequire(path), __filename: path, __dirname: dirname(path),
      console: quiet,
    };
    const script = compileFunction(readFileSync(path, 'utf8'), Object.keys(names), { filename: path });
    (script as (...values: unknown[]) => void)(...Object.values(names));
    Object.assign(globalThis, { ModuleFactory: module.exports });
  };
  Object.assign(globalThis, { importScripts });
  try {
    return await work();
  } finally {
    Reflect.deleteProperty(globalThis, 'importScripts'); // Others take it for a worker.
  }
}
