/** Writes ONNX models by hand, so that the example needs no files. Yours come from a training framework. */

export interface Weights {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

type Attributes = Readonly<Record<string, number | readonly number[]>>;
type Node = readonly [operator: string, inputs: readonly string[], output: string, attributes?: Attributes];

interface Graph {
  readonly input: { readonly name: string; readonly shape: readonly number[] };
  readonly output: { readonly name: string; readonly shape: readonly number[] };
  readonly nodes: readonly Node[];
  readonly weights: readonly Weights[];
}

/** `picture` [1, 3, 32, 32], NCHW as ONNX has it, to `features` [1, 16, 16, 8], NHWC as separableConv2d has it. */
export const before = (filter: Weights): Uint8Array => model({
  input: { name: 'picture', shape: [1, 3, 32, 32] }, output: { name: 'features', shape: [1, 16, 16, 8] },
  weights: [filter],
  nodes: [
    ['Conv', ['picture', filter.name], 'convolved', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }],
    ['Relu', ['convolved'], 'positive'],
    ['Transpose', ['positive'], 'features', { perm: [0, 2, 3, 1] }],
  ],
});

/** `features` [1, 16, 16, 24], NHWC, to `scores` [1, 4]. */
export const after = (matrix: Weights): Uint8Array => model({
  input: { name: 'features', shape: [1, 16, 16, 24] }, output: { name: 'scores', shape: [1, 4] }, weights: [matrix],
  nodes: [
    ['ReduceMean', ['features'], 'means', { axes: [1, 2], keepdims: 0 }],
    ['MatMul', ['means', matrix.name], 'logits'],
    ['Softmax', ['logits'], 'scores', { axis: 1 }],
  ],
});

/** @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto for the numbers of the fields */
function model({ input, output, nodes, weights }: Graph): Uint8Array {
  const graph = [
    ...nodes.flatMap((one) => field(1, node(one))), ...field(2, text('graph')),
    ...weights.flatMap((one) => field(5, tensor(one))),
    ...field(11, value(input)), ...field(12, value(output)),
  ];
  return Uint8Array.from([...number(1, 8), ...field(7, graph), ...field(8, [...field(1, text('')), ...number(2, 17)])]);
}

type Bytes = readonly number[];
const [FLOAT, INT, INTS] = [1, 2, 7];

const node = ([operator, inputs, output, attributes = {}]: Node): Bytes => [
  ...inputs.flatMap((name) => field(1, text(name))), ...field(2, text(output)), ...field(4, text(operator)),
  ...Object.entries(attributes).flatMap(([name, given]) => field(5, [...field(1, text(name)), ...attribute(given)])),
];
const attribute = (given: number | readonly number[]): Bytes => (typeof given === 'number'
  ? [...number(3, given), ...number(20, INT)] : [...given.flatMap((one) => number(8, one)), ...number(20, INTS)]);
const tensor = ({ name, shape, data }: Weights): Bytes => [
  ...shape.flatMap((extent) => number(1, extent)), ...number(2, FLOAT), ...field(8, text(name)),
  ...field(9, [...new Uint8Array(data.buffer)]),
];
const value = ({ name, shape }: Graph['input']): Bytes => [
  ...field(1, text(name)),
  ...field(2, field(1, [...number(1, FLOAT), ...field(2, shape.flatMap((extent) => field(1, number(1, extent))))])),
];

/** Protobuf: a number, or so many bytes, with the number of its field before. */
const number = (tag: number, given: number): Bytes => [...varint(tag << 3), ...varint(given)];
const field = (tag: number, content: Bytes): Bytes =>
  [...varint((tag << 3) | 2), ...varint(content.length), ...content];
const varint = (given: number): Bytes =>
  (given < 128 ? [given] : [(given % 128) | 128, ...varint(Math.floor(given / 128))]);
const text = (given: string): Bytes => [...new TextEncoder().encode(given)];
