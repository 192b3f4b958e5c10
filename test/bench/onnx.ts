import * as ort from 'onnxruntime-web/webgpu';
import type { ResolvedActivation } from '../../src/arguments/activation.js';
import type { Problem } from '../cases.js';
import { type Contender, paddingOf, transposed } from './contender.js';
import { read } from './webgpu.js';
import type { Tensors } from './workloads.js';

export async function onnxruntime(): Promise<Contender> {
  ort.env.wasm.numThreads = 1; // The CPU only encodes.
  return {
    async prepare(problem) {
      const { N, K, OH, OW, O } = problem.geometry;
      const first = problem.expand ?? problem;
      const { H, W, C } = first.geometry;
      const session = await ort.InferenceSession.create(model(problem), {
        executionProviders: [{ name: 'webgpu' }], preferredOutputLocation: 'gpu-buffer',
      });
      const device = await ort.env.webgpu.device;
      const buffer = (size: number): GPUBuffer =>
        device.createBuffer({
          size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
        });
      const [input, scale, output] = [buffer(first.input.byteLength), buffer(4 * N * K), buffer(4 * N * O * OH * OW)];
      device.queue.writeBuffer(input, 0, transposed(first.input, N, H * W, C));
      if (problem.inputScale) device.queue.writeBuffer(scale, 0, problem.inputScale as Float32Array<ArrayBuffer>);
      const x = ort.Tensor.fromGpuBuffer(input, { dataType: 'float32', dims: [N, C, H, W] });
      const s = ort.Tensor.fromGpuBuffer(scale, { dataType: 'float32', dims: [N, K, 1, 1] });
      const inputs = problem.inputScale ? { x, s } : { x };
      const y = ort.Tensor.fromGpuBuffer(output, { dataType: 'float32', dims: [N, O, OH, OW] });
      return {
        async run(repetitions) {
          for (let i = 0; i < repetitions; i++) await session.run(inputs, { y });
          await device.queue.onSubmittedWorkDone();
        },
        read: async () => transposed(await read(device, output), N, O, OH * OW),
        async release() {
          await session.release();
          for (const one of [input, scale, output]) one.destroy();
        },
      };
    },
  };
}

/**
 * An ONNX model of two convolutions in NCHW: `x` by a group per channel, then by a 1x1 kernel, to `y`; of a block with
 * its first convolution, activations, the factors `s` and the residual.
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
function model(problem: Tensors): Uint8Array {
  const { geometry, expand, depthwiseFilter, depthwiseBias, inputScale } = problem;
  const { N, H, W, C, KH, KW, K, OH, OW, O, SH, SW, RH, RW } = geometry;
  const [[top, bottom], [left, right]] = paddingOf(problem);
  const [nodes, constants]: [Bytes[], Bytes[]] = [[], []];
  const constant = (shape: readonly number[], data: Float32Array): string => {
    constants.push(field(5, weights(`w${constants.length}`, shape, data)));
    return `w${constants.length - 1}`;
  };
  const compute = (
    operator: string, inputs: readonly string[], attributes: Attributes = {}, output = `t${nodes.length}`,
  ): string => {
    nodes.push(field(1, node(operator, inputs, output, attributes)));
    return output;
  };
  const activate = (y: string, { kind }: ResolvedActivation): string => {
    if (kind === 'silu') return compute('Mul', [y, compute('Sigmoid', [y])]);
    const [least, most] = [0, 6].map((bound) => constant([], Float32Array.of(bound)));
    return kind === 'relu6' ? compute('Clip', [y, least!, most!]) : y;
  };
  const bias = (data: Float32Array | undefined): readonly string[] => (data ? [constant([data.length], data)] : []);
  const pointwise = (x: string, { geometry: g, pointwiseFilter, bias: b }: Problem, output?: string): string => {
    const filter = constant([g.O, g.K, 1, 1], transposed(pointwiseFilter, 1, g.K, g.O));
    return compute('Conv', [x, filter, ...bias(b)], { group: 1, kernel_shape: [1, 1] }, output);
  };
  const expanded = expand ? activate(pointwise('x', expand), expand.geometry.activation) : 'x';
  const filter = constant([K, 1, KH, KW], transposed(depthwiseFilter, 1, KH * KW, K));
  const filtered = activate(compute('Conv', [expanded, filter, ...bias(depthwiseBias)], {
    group: C, kernel_shape: [KH, KW], strides: [SH, SW], dilations: [RH, RW], pads: [top, left, bottom, right],
  }), geometry.depthwiseActivation);
  const scaled = inputScale ? compute('Mul', [filtered, 's']) : filtered;
  const projected = pointwise(scaled, problem, geometry.residual ? undefined : 'y');
  if (geometry.residual) compute('Add', [projected, 'x'], {}, 'y');
  const graph = [
    ...nodes, field(2, text('separable')), ...constants, field(11, value('x', [N, expand?.geometry.C ?? C, H, W])),
    ...(inputScale ? [field(11, value('s', [N, K, 1, 1]))] : []), field(12, value('y', [N, O, OH, OW])),
  ].flat();
  const operatorSet = [...field(1, text('')), ...number(2, 17)];
  return concatenate([...number(1, 8), ...field(7, graph), ...field(8, operatorSet)]);
}

/** Protobuf as a list of byte runs, so that weights are not copied at every level. */
type Bytes = readonly Uint8Array[];

type Attributes = Readonly<Record<string, number | readonly number[]>>;

function node(operator: string, inputs: readonly string[], output: string, attributes: Attributes): Bytes {
  return [
    ...inputs.map((input) => field(1, text(input))), field(2, text(output)), field(4, text(operator)),
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
