import * as ort from 'onnxruntime-web/webgpu';
import type { Problem } from '../cases.js';
import { type Contender, paddingOf, transposed } from './contender.js';
import { read } from './webgpu.js';

export async function onnxruntime(): Promise<Contender> {
  ort.env.wasm.numThreads = 1; // The CPU only encodes.
  return {
    async prepare(problem) {
      const { N, H, W, C, OH, OW, O } = problem.geometry;
      const session = await ort.InferenceSession.create(model(problem), {
        executionProviders: [{ name: 'webgpu' }], preferredOutputLocation: 'gpu-buffer',
      });
      const device = await ort.env.webgpu.device;
      const buffer = (size: number): GPUBuffer =>
        device.createBuffer({
          size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
        });
      const [input, output] = [buffer(problem.input.byteLength), buffer(4 * N * O * OH * OW)];
      device.queue.writeBuffer(input, 0, transposed(problem.input, N, H * W, C));
      const x = ort.Tensor.fromGpuBuffer(input, { dataType: 'float32', dims: [N, C, H, W] });
      const y = ort.Tensor.fromGpuBuffer(output, { dataType: 'float32', dims: [N, O, OH, OW] });
      return {
        async run(repetitions) {
          for (let i = 0; i < repetitions; i++) await session.run({ x }, { y });
          await device.queue.onSubmittedWorkDone();
        },
        read: async () => transposed(await read(device, output), N, O, OH * OW),
        async release() {
          await session.release();
          input.destroy();
          output.destroy();
        },
      };
    },
  };
}

/**
 * An ONNX model of two convolutions in NCHW: `x` by a group per channel, then by a 1x1 kernel, to `y`.
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
function model(problem: Problem): Uint8Array {
  const { N, H, W, C, KH, KW, K, OH, OW, O, SH, SW, RH, RW } = problem.geometry;
  const [[top, bottom], [left, right]] = paddingOf(problem);
  const depthwise = convolution('x', 'depthwise', 'intermediate', {
    group: C, kernel_shape: [KH, KW], strides: [SH, SW], dilations: [RH, RW], pads: [top, left, bottom, right],
  });
  const pointwise = convolution('intermediate', 'pointwise', 'y', { group: 1, kernel_shape: [1, 1] });
  const graph = [
    field(1, depthwise), field(1, pointwise), field(2, text('separable')),
    field(5, weights('depthwise', [K, 1, KH, KW], transposed(problem.depthwiseFilter, 1, KH * KW, K))),
    field(5, weights('pointwise', [O, K, 1, 1], transposed(problem.pointwiseFilter, 1, K, O))),
    field(11, value('x', [N, C, H, W])), field(12, value('y', [N, O, OH, OW])),
  ].flat();
  const operatorSet = [...field(1, text('')), ...number(2, 17)];
  return concatenate([...number(1, 8), ...field(7, graph), ...field(8, operatorSet)]);
}

/** Protobuf as a list of byte runs, so that weights are not copied at every level. */
type Bytes = readonly Uint8Array[];

function convolution(
  input: string, filter: string, output: string, attributes: Record<string, number | readonly number[]>,
): Bytes {
  return [
    field(1, text(input)), field(1, text(filter)), field(2, text(output)), field(4, text('Conv')),
    ...Object.entries(attributes).map(([name, values]) => field(5, typeof values === 'number'
      ? [...field(1, text(name)), ...number(3, values), ...number(20, 2)]
      : [...field(1, text(name)), ...values.flatMap((one) => number(8, one)), ...number(20, 7)])),
  ].flat();
}

const FLOAT = 1;
const weights = (name: string, shape: readonly number[], data: Float32Array): Bytes =>
  [
    ...shape.flatMap((extent) => number(1, extent)), ...number(2, FLOAT), ...field(8, text(name)),
    ...field(9, [new Uint8Array(data.buffer)]),
  ];
const value = (name: string, shape: readonly number[]): Bytes => {
  const extents = shape.flatMap((extent) => field(1, number(1, extent)));
  return [...field(1, text(name)), ...field(2, field(1, [...number(1, FLOAT), ...field(2, extents)]))];
};

const text = (value: string): Bytes => [new TextEncoder().encode(value)];
const number = (tag: number, value: number): Bytes => [varint(tag << 3), varint(value)];
const field = (tag: number, content: Bytes): Bytes =>
  [varint((tag << 3) | 2), varint(content.reduce((sum, { length }) => sum + length, 0)), ...content];

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Uint8Array.from([...bytes, value]);
}

function concatenate(runs: Bytes): Uint8Array {
  const result = new Uint8Array(runs.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const run of runs) {
    result.set(run, offset);
    offset += run.length;
  }
  return result;
}
