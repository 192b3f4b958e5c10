// What someone's app does with the installed package: a layer by one call, and encoded into a pass of the app's own.
import { PipelineManager, separableConv2d, type Tensor4D } from 'sepconv-webgpu';
import { type ReferenceOptions, separableConv2dReference } from 'sepconv-webgpu/reference';

export interface Report {
  readonly adapter: string;
  /** The largest errors, relative to the largest value that the reference gives. */
  readonly errors: Readonly<Record<'oneCall' | 'fused' | 'two-pass', number>>;
}

/** Bytes before and after the output that must stay as they are. */
const MARGIN = 256;

/** Runs a random layer. Null: this environment has no adapter. */
export async function tryLayer(seed: number): Promise<Report | null> {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) return null;
  const next = random(seed);
  const [x, depthwiseFilter, pointwiseFilter] = [
    tensor(next, 1, 13, 11, 6), tensor(next, 3, 3, 6, 2), tensor(next, 1, 1, 12, 16),
  ];
  const options: ReferenceOptions = {
    strides: [1, 2, 2, 1], padding: 'SAME', depthwiseActivation: 'relu6', activation: { leakyRelu: 0.1 },
    depthwiseBias: tensor(next, 1, 1, 1, 12).data, bias: tensor(next, 1, 1, 1, 16).data, name: 'layer',
  };
  const expected = separableConv2dReference(x, depthwiseFilter, pointwiseFilter, options);
  const y = await separableConv2d(x, depthwiseFilter, pointwiseFilter, options);

  const device = await adapter.requestDevice();
  const manager = await PipelineManager.create({ device });
  const encoded = async (strategy: 'fused' | 'two-pass'): Promise<number> => {
    const conv = await manager.prepare({ inputShape: x.shape, depthwiseFilter, pointwiseFilter, ...options, strategy });
    return largestError(expected, { shape: conv.outputShape, data: await encode(device, (pass, input, buffer) => {
      conv.encode(pass, { input, output: { buffer, offset: MARGIN } });
    }, x.data, conv.outputByteLength) });
  };
  const errors = {
    oneCall: largestError(expected, y), fused: await encoded('fused'), 'two-pass': await encoded('two-pass'),
  };
  manager.destroy();
  device.destroy();
  const { vendor, architecture, description } = adapter.info;
  return { adapter: [vendor, architecture, description].join(' ').trim(), errors };
}

/** Runs one pass whose output starts as NaN, and reads the output back. */
async function encode(
  device: GPUDevice, work: (pass: GPUComputePassEncoder, input: GPUBuffer, output: GPUBuffer) => void,
  data: Float32Array, byteLength: number,
): Promise<Float32Array> {
  const size = byteLength + 2 * MARGIN;
  const input = device.createBuffer({ size: data.byteLength, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  const output = device.createBuffer({
    size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
  });
  const readable = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(input, 0, Float32Array.from(data));
  device.queue.writeBuffer(output, 0, new Float32Array(size / 4).fill(NaN));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  work(pass, input, output);
  pass.end();
  encoder.copyBufferToBuffer(output, 0, readable, 0, size);
  device.queue.submit([encoder.finish()]);
  await readable.mapAsync(GPUMapMode.READ);
  const read = new Float32Array(readable.getMappedRange().slice(0));
  const [before, after] = [read.slice(0, MARGIN / 4), read.slice(-MARGIN / 4)];
  if (![...before, ...after].every(Number.isNaN)) throw new Error('the layer wrote outside its output');
  return read.slice(MARGIN / 4, -MARGIN / 4);
}

function largestError(expected: Tensor4D, actual: Tensor4D): number {
  if (actual.shape.join() !== expected.shape.join()) {
    throw new Error(`shape ${actual.shape.join()}, expected ${expected.shape.join()}`);
  }
  const most = (values: Float32Array) => values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  return most(actual.data.map((value, i) => value - (expected.data[i] ?? NaN))) / most(expected.data);
}

function tensor(next: () => number, ...shape: [number, number, number, number]): Tensor4D {
  return { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, next) };
}

/** Numbers in [-1, 1). */
function random(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) | 0) / 2 ** 31;
}
