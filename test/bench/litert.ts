import { Builder, type Offset } from 'flatbuffers';
import { getWebGpuDevice, loadAndCompile, loadLiteRt, Tensor } from '#litert';
import type { ResolvedActivation } from '../../src/arguments/activation.js';
import type { Problem } from '../cases.js';
import { type Contender, transposed } from './contender.js';
import { read } from './webgpu.js';
import type { Tensors } from './workloads.js';

/** Its WebAssembly, and the script for that, lie in `folder`. */
export async function litert(folder: string): Promise<Contender> {
  await loadLiteRt(folder);
  return {
    async prepare(problem) {
      const { N, K } = problem.geometry;
      const first = problem.expand ?? problem;
      const { H, W, C } = first.geometry;
      const compiled = await loadAndCompile(model(problem), {
        accelerator: 'webgpu', gpuOptions: { precision: 'fp32' },
      });
      const inputs = [await new Tensor(first.input, [N, H, W, C]).moveTo('webgpu')];
      if (problem.inputScale) inputs.push(await new Tensor(problem.inputScale, [N, 1, 1, K]).moveTo('webgpu'));
      const device = getWebGpuDevice()!;
      let results: readonly Tensor[] = [];
      const drop = (): void => {
        for (const result of results) result.delete();
      };
      return {
        async run(repetitions) {
          for (let i = 0; i < repetitions; i++) {
            drop();
            results = await compiled.run(inputs);
          }
          await device.queue.onSubmittedWorkDone();
        },
        read: () => read(device, results[0]!.toGpuBuffer()),
        release() {
          drop();
          for (const input of inputs) input.delete();
          compiled.delete();
        },
      };
    },
  };
}

/**
 * Numbers of the schema.
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
 */
const [ADD, CONV_2D, DEPTHWISE_CONV_2D, LOGISTIC, MUL] = [0, 3, 4, 14, 18];
const [NO_OPTIONS, CONV_2D_OPTIONS, DEPTHWISE_CONV_2D_OPTIONS, ADD_OPTIONS, MUL_OPTIONS] = [0, 1, 2, 11, 21];
const RELU6 = 3;

/**
 * A TensorFlow Lite model of a depthwise and a 1x1 convolution, both with padding SAME; of a block with its first
 * convolution, activations, factors and residual. SiLU is two operators there.
 */
function model({ geometry: g, expand, ...data }: Tensors): Uint8Array {
  const { N, H, W, C, KH, KW, M, K, OH, OW, O, SH, SW, RH, RW } = g;
  const builder = new Builder(data.pointwiseFilter.byteLength + (expand?.pointwiseFilter.byteLength ?? 0) + 65536);
  const buffers = [table(builder, [])]; // It is empty: what the runtime computes.
  const tensors: Offset[] = [];
  const [operators, codes]: [Offset[], number[]] = [[], []];
  const tensor = (shape: readonly number[], values?: Float32Array): number => {
    if (values) {
      builder.prep(16, values.byteLength); // the schema aligns buffers
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      buffers.push(table(builder, [ref(builder.createByteVector(bytes))]));
    }
    const name = builder.createString(`t${tensors.length}`);
    const fields = [ref(ints(builder, shape)), undefined, uint(values ? buffers.length - 1 : 0), ref(name)];
    return tensors.push(table(builder, fields)) - 1;
  };
  /** Adds an operator; its result. */
  const operator = (
    code: number, inputs: readonly number[], shape: readonly number[], type = NO_OPTIONS,
    options: readonly (Field | undefined)[] = [],
  ): number => {
    if (!codes.includes(code)) codes.push(code);
    const output = tensor(shape);
    const written = type === NO_OPTIONS ? [] : [byte(type), ref(table(builder, options))];
    operators.push(table(builder, [
      uint(codes.indexOf(code)), ref(ints(builder, inputs)), ref(ints(builder, [output])), ...written,
    ]));
    return output;
  };
  const fusedInto = ({ kind }: ResolvedActivation) => (kind === 'relu6' ? byte(RELU6) : undefined);
  const activate = (y: number, shape: readonly number[], { kind }: ResolvedActivation): number =>
    (kind === 'silu' ? operator(MUL, [y, operator(LOGISTIC, [y], shape)], shape, MUL_OPTIONS) : y);
  const pointwise = (x: number, { geometry, pointwiseFilter, bias }: Problem, shape: readonly number[]): number => {
    const { K: k, O: o, activation } = geometry;
    const weights = [
      tensor([o, 1, 1, k], transposed(pointwiseFilter, 1, k, o)), tensor([o], bias ?? new Float32Array(o)),
    ];
    return activate(operator(CONV_2D, [x, ...weights], shape, CONV_2D_OPTIONS, [
      undefined, uint(1), uint(1), fusedInto(activation),
    ]), shape, activation);
  };
  const x = tensor([N, H, W, expand?.geometry.C ?? C]);
  const scale = data.inputScale && tensor([N, 1, 1, K]);
  const between = [N, OH, OW, K];
  const depthwiseWeights = [
    tensor([1, KH, KW, K], data.depthwiseFilter), tensor([K], data.depthwiseBias ?? new Float32Array(K)),
  ];
  const expanded = expand ? pointwise(x, expand, [N, H, W, C]) : x;
  const filtered = activate(operator(
    DEPTHWISE_CONV_2D, [expanded, ...depthwiseWeights], between, DEPTHWISE_CONV_2D_OPTIONS,
    [undefined, uint(SW), uint(SH), uint(M), fusedInto(g.depthwiseActivation), uint(RW), uint(RH)],
  ), between, g.depthwiseActivation);
  const scaled = scale === undefined ? filtered : operator(MUL, [filtered, scale], between, MUL_OPTIONS);
  const projected = pointwise(scaled, { geometry: g, ...data }, [N, OH, OW, O]);
  const y = g.residual ? operator(ADD, [projected, x], [N, OH, OW, O], ADD_OPTIONS) : projected;
  const inputs = scale === undefined ? [x] : [x, scale];
  const graph = table(builder, [
    ref(refs(builder, tensors)), ref(ints(builder, inputs)), ref(ints(builder, [y])), ref(refs(builder, operators)),
  ]);
  const written = codes.map((code) => table(builder, [byte(code), undefined, uint(1), uint(code)]));
  builder.finish(table(builder, [
    uint(3), ref(refs(builder, written)), ref(refs(builder, [graph])), undefined, ref(refs(builder, buffers)),
  ]), 'TFL3');
  return builder.asUint8Array();
}

/** Writes one field of a table. */
type Field = (builder: Builder, slot: number) => void;
const byte = (value: number): Field => (builder, slot) => builder.addFieldInt8(slot, value, 0);
const uint = (value: number): Field => (builder, slot) => builder.addFieldInt32(slot, value, 0);
const ref = (offset: Offset): Field => (builder, slot) => builder.addFieldOffset(slot, offset, 0);

/** A table of fields by their numbers; absent ones have the schema's default. */
function table(builder: Builder, fields: readonly (Field | undefined)[]): Offset {
  builder.startObject(fields.length);
  for (const [slot, write] of fields.entries()) write?.(builder, slot);
  return builder.endObject();
}

function vector(builder: Builder, values: readonly number[], add: (value: number) => void): Offset {
  builder.startVector(4, values.length, 4);
  for (const value of values.toReversed()) add(value); // flatbuffers grow downwards
  return builder.endVector();
}

const ints = (builder: Builder, values: readonly number[]): Offset =>
  vector(builder, values, (value) => builder.addInt32(value));
const refs = (builder: Builder, offsets: readonly Offset[]): Offset =>
  vector(builder, offsets, (offset) => builder.addOffset(offset));
