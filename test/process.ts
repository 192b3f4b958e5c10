import process from 'node:process';
import { createInterface } from 'node:readline';
import type { Tests } from './page.js';

/**
 * Lets a process of Deno or Node stand in for a page: each line of input is a
 * call of `tests`, each line of output its result.
 */

if ('Deno' in globalThis) {
  // Deno 2.9 ends where `adapterInfo` of a device is first read after its adapter was collected.
  const held: unknown[] = [];
  const requestAdapter = navigator.gpu.requestAdapter.bind(navigator.gpu);
  navigator.gpu.requestAdapter = async (options) => {
    const adapter = await requestAdapter(options);
    held.push(adapter);
    return adapter;
  };
} else {
  const { create, globals } = await import('webgpu');
  const navigator = { gpu: create([]) }; // Dawn ends with this object.
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: navigator });
}
const { tests } = await import('./page.js');

for await (const line of createInterface({ input: process.stdin })) {
  const { name, args } = JSON.parse(line) as { name: keyof Tests; args: unknown[] };
  let answer: { result?: unknown; error?: string };
  try {
    answer = { result: await (tests[name] as (...args: unknown[]) => unknown)(...args) };
  } catch (error) {
    answer = { error: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(); // Or Dawn's thread would keep it.
