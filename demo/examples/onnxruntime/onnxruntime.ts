import * as ort from 'onnxruntime-web/webgpu';
import { PipelineManager } from 'sepconv-webgpu';
import { showLoss } from '../report.js';
import { after, before } from './models.js';

/** A separable layer between two ONNX models, on onnxruntime-web's device: what they hand over stays on the GPU. */

const random = (...shape: number[]): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => Math.random() - 0.5);

export const weights = {
  filter: { name: 'filter', shape: [8, 3, 3, 3], data: random(8, 3, 3, 3) },
  layer: {
    depthwiseFilter: { shape: [3, 3, 8, 1], data: random(3, 3, 8, 1) },
    pointwiseFilter: { shape: [1, 1, 8, 24], data: random(1, 1, 8, 24) },
    padding: 'SAME', activation: 'relu6',
  },
  matrix: { name: 'matrix', shape: [24, 4], data: random(24, 4) },
} as const;

ort.env.wasm.numThreads = 1; // The CPU only encodes.
const options = { executionProviders: ['webgpu'], preferredOutputLocation: 'gpu-buffer' } as const;
const first = await ort.InferenceSession.create(before(weights.filter), options);
const last = await ort.InferenceSession.create(after(weights.matrix), options);
const device = await ort.env.webgpu.device; // There once a session is.
device.lost.then(showLoss, reportError);
const manager = await PipelineManager.create({ device });
const layer = await manager.prepare({ inputShape: [1, 16, 16, 8], ...weights.layer });

/** `[1, 3, 32, 32]` to four scores, which alone come back from the GPU. */
export async function classify(picture: Float32Array): Promise<Float32Array> {
  const { features } = await first.run({ picture: new ort.Tensor('float32', picture, [1, 3, 32, 32]) });
  const output = device.createBuffer({
    size: layer.outputByteLength, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
  });

  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  layer.encode(pass, { input: features!.gpuBuffer, output });
  pass.end();
  device.queue.submit([encoder.finish()]); // The runtime has submitted its own work before `run` resolved.

  const filtered = ort.Tensor.fromGpuBuffer(output, { dataType: 'float32', dims: layer.outputShape });
  const { scores } = await last.run({ features: filtered });
  features!.dispose();
  output.destroy(); // Not before the queue is done with it: WebGPU sees to that.
  return await scores!.getData(true) as Float32Array;
}

const scores = await classify(random(1, 3, 32, 32));
document.querySelector('pre')!.textContent = `scores ${[...scores].map((score) => score.toFixed(4)).join('  ')}`;
