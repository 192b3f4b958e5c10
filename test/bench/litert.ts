import { Builder, type Offset } from 'flatbuffers';
import { getWebGpuDevice, loadAndCompile, loadLiteRt, Tensor } from '#litert';
import type { Problem } from '../cases.js';
import { type Contender, transposed } from './contender.js';
import { read } from './webgpu.js';

/** Its WebAssembly, and the script for that, lie in `folder`. */
export async function litert(folder: string): Promise<Contender> {
  await loadLiteRt(folder);
  return {
    async prepare(problem) {
      const { N, H, W, C } = problem.geometry;
      const compiled = await loadAndCompile(model(problem), {
        accelerator: 'webgpu', gpuOptions: { precision: 'fp32' },
      });
      const input = await new Tensor(problem.input, [N, H, W, C]).moveTo('webgpu');
      const device = getWebGpuDevice()!;
      let results: readonly Tensor[] = [];
      const drop = (): void => {
        for (const result of results) result.delete();
      };
      return {
        async run(repetitions) {
          for (let i = 0; i < repetitions; i++) {
            drop();
            results = await compiled.run(input);
          }
          await device.queue.onSubmittedWorkDone();
        },
        read: () => read(device, results[0]!.toGpuBuffer()),
        release() {
          drop();
          input.delete();
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
const [CONV_2D, DEPTHWISE_CONV_2D] = [3, 4];
const [CONV_2D_OPTIONS, DEPTHWISE_CONV_2D_OPTIONS] = [1, 2];

/** A TensorFlow Lite model of a depthwise and a 1x1 convolution, both with padding SAME. */
function model({ geometry: { N, H, W, C, KH, KW, M, K, OH, OW, O, SH, SW, RH, RW }, ...data }: Problem): Uint8Array {
  const builder = new Builder(data.pointwiseFilter.byteLength + 4096);
  const weights = [
    data.depthwiseFilter, new Float32Array(K), transposed(data.pointwiseFilter, 1, K, O), new Float32Array(O),
  ];
  const buffers = [table(builder, []), ...weights.map((values) => {
    builder.prep(16, values.byteLength); // the schema aligns buffers
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return table(builder, [ref(builder.createByteVector(bytes))]);
  })];
  /** Buffer 0 is empty: what the runtime computes. */
  const tensor = (name: string, buffer: number, ...shape: readonly number[]): Offset =>
    table(builder, [ref(ints(builder, shape)), undefined, uint(buffer), ref(builder.createString(name))]);
  const tensors = [
    tensor('x', 0, N, H, W, C),
    tensor('depthwise', 1, 1, KH, KW, K), tensor('depthwise bias', 2, K), tensor('intermediate', 0, N, OH, OW, K),
    tensor('pointwise', 3, O, 1, 1, K), tensor('pointwise bias', 4, O), tensor('y', 0, N, OH, OW, O),
  ];
  const [depthwise, pointwise] = [
    table(builder, [undefined, uint(SW), uint(SH), uint(M), undefined, uint(RW), uint(RH)]),
    table(builder, [undefined, uint(1), uint(1)]),
  ];
  const operator = (code: number, inputs: readonly number[], output: number, type: number, options: Offset): Offset =>
    table(builder, [uint(code), ref(ints(builder, inputs)), ref(ints(builder, [output])), byte(type), ref(options)]);
  const operators = [
    operator(0, [0, 1, 2], 3, DEPTHWISE_CONV_2D_OPTIONS, depthwise!),
    operator(1, [3, 4, 5], 6, CONV_2D_OPTIONS, pointwise!),
  ];
  const graph = table(builder, [
    ref(refs(builder, tensors)), ref(ints(builder, [0])), ref(ints(builder, [6])), ref(refs(builder, operators)),
  ]);
  const codes = [DEPTHWISE_CONV_2D, CONV_2D].map((code) =>
    table(builder, [byte(code), undefined, uint(1), uint(code)]));
  builder.finish(table(builder, [
    uint(3), ref(refs(builder, codes)), ref(refs(builder, [graph])), undefined, ref(refs(builder, buffers)),
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
