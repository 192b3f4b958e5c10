import { PipelineManager } from 'sepconv-webgpu';
import type { Difference } from '../demo/compare.js';
import { maskRows, Segmenter } from '../demo/networks/segmenter.js';
import { verify } from '../demo/networks/verify.js';
import { photoTensor } from './photo-tensor.js';

/** Runs in a real browser: our mask and LiteRT.js's, from the very same numbers. */

const photos = '/node_modules/@vladmandic/face-api/demo';
const file = '/node_modules/@mediapipe/selfie_segmentation/selfie_segmentation.tflite';
const SIDE = 256;

const manager = await PipelineManager.create();
const uncaptured: string[] = [];
manager.device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));
const segmenter = await Segmenter.create(manager);

/** What is used of LiteRT.js; its own types change everybody's Float32Array. */
interface LiteRt {
  readonly Tensor: new (data: Float32Array, shape: readonly number[]) => LiteRtTensor;
  readonly loadLiteRt: (folder: string) => Promise<unknown>;
  readonly loadAndCompile: (model: Uint8Array, options: { accelerator: 'wasm' }) => Promise<{
    run(input: LiteRtTensor): Promise<LiteRtTensor[]>;
  }>;
}
interface LiteRtTensor { data(): Promise<Float32Array>; delete(): void }

const theirs = (async () => {
  const folder = '/node_modules/@litertjs/core'; // By its path, so that TypeScript does not see its types.
  const litert = (await import(/* @vite-ignore */ `${folder}/dist/index.js`)) as LiteRt;
  const { loadAndCompile, loadLiteRt, Tensor } = litert;
  await loadLiteRt(`${folder}/wasm/`);
  const model = new Uint8Array(await (await fetch(file)).arrayBuffer());
  return { Tensor, compiled: await loadAndCompile(model, { accelerator: 'wasm' }) };
})();

const picture = (name: string) => photoTensor(`${photos}/${name}`, SIDE);

/** Runs the network on the GPU; every buffer that it writes held other numbers before. */
async function run(input: Float32Array<ArrayBuffer>): Promise<void> {
  const { device } = manager;
  device.queue.writeBuffer(segmenter.input, 0, input);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  segmenter.encode(pass);
  pass.end();
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
}

export interface Masks {
  /** The largest difference of any pixel's probability. */
  readonly difference: number;
  /** The share of pixels that are a person's. */
  readonly person: number;
}

async function compareMasks(name: string): Promise<Masks> {
  const input = await picture(name);
  await run(Float32Array.from(input, () => Math.random()));
  await run(input);
  const ours = maskRows((await segmenter.readLayers()).at(-1)!);
  const { Tensor, compiled } = await theirs;
  const tensor = new Tensor(input, [1, SIDE, SIDE, 3]);
  const [result] = await compiled.run(tensor);
  const expected = await result!.data();
  for (const one of [tensor, result!]) one.delete();
  if (uncaptured.length > 0) throw new Error(uncaptured.join('\n'));
  if (ours.length !== expected.length) throw new Error(`${ours.length} pixels, not ${expected.length}`);
  return {
    difference: expected.reduce((most, value, i) => Math.max(most, Math.abs(value - ours[i]!)), 0),
    person: expected.reduce((sum, value) => sum + (value > 0.5 ? 1 : 0), 0) / expected.length,
  };
}

/** The difference of each layer from the CPU reference. */
async function verifyLayers(name: string): Promise<(Difference & { readonly name: string })[]> {
  await run(await picture(name));
  const differences: Difference[] = [];
  await verify(segmenter, (difference) => differences.push(difference), new AbortController().signal);
  return segmenter.layers.map(({ name: layer }, i) => ({ name: layer, ...differences[i]! }));
}

/** By what each layer is computed. */
const layers = (): { readonly name: string; readonly kernels: readonly string[]; readonly ours: boolean }[] =>
  segmenter.layers.map(({ name, kernels, strategy }) => ({ name, kernels, ours: strategy !== undefined }));

declare global {
  interface Window {
    segmenter: { compareMasks: typeof compareMasks; verifyLayers: typeof verifyLayers; layers: typeof layers };
  }
}
window.segmenter = { compareMasks, verifyLayers, layers };
