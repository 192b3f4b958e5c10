import { getFloat16 } from '@petamoriken/float16';
import { ByteBuffer } from 'flatbuffers';
import type { Weight } from './weights.js';

/**
 * Reads networks in TensorFlow Lite's format, as far as the demo's have it: float32 tensors, constants also as float16
 * behind an operator that widens them, one subgraph. Whatever else a file has is an error.
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
 */

/**
 * The operators that occur: their codes in the schema, and where their options have what. A fused activation is none
 * in all of them, which is checked. A slot is the number of a field in the table of options.
 */
const OPERATORS = {
  ADD: { code: 0, options: {}, activation: 0 },
  AVERAGE_POOL_2D: {
    code: 1, options: { padding: 0, strideW: 1, strideH: 2, filterW: 3, filterH: 4 }, activation: 5,
  },
  CONV_2D: {
    code: 3, options: { padding: 0, strideW: 1, strideH: 2, dilationW: 4, dilationH: 5 }, activation: 3,
  },
  DEPTHWISE_CONV_2D: {
    code: 4, options: { padding: 0, strideW: 1, strideH: 2, multiplier: 3, dilationW: 5, dilationH: 6 }, activation: 4,
  },
  DEQUANTIZE: { code: 6, options: {} },
  LOGISTIC: { code: 14, options: {} },
  MUL: { code: 18, options: {}, activation: 0 },
  RELU: { code: 19, options: {} },
  RESIZE_BILINEAR: { code: 23, options: { alignCorners: 2, halfPixelCenters: 3 } },
  HARD_SWISH: { code: 117, options: {} },
  Convolution2DTransposeBias: { code: 32, options: {} },
} as const satisfies Record<string, OperatorFormat>;

interface OperatorFormat {
  readonly code: number;
  readonly options: Readonly<Record<string, number>>;
  /** The slot of the fused activation. */
  readonly activation?: number;
}

export type OperatorName = keyof typeof OPERATORS;
export type OptionsOf<Name extends OperatorName> = Readonly<Record<keyof (typeof OPERATORS)[Name]['options'], number>>;

/** An operator by its name, with the numbers of the tensors that it reads and writes. */
export interface Operator {
  readonly name: OperatorName;
  readonly inputs: readonly number[];
  readonly output: number;
  /** Numbers as the schema has them: of enumerations the value, of booleans 0 or 1; 0 where the file says nothing. */
  readonly options: Readonly<Record<string, number>>;
}

export interface Model {
  readonly input: number;
  readonly output: number;
  /** In the order in which they run; those that only widen constants are done. */
  readonly operators: readonly Operator[];
  readonly shapeOf: (tensor: number) => readonly number[];
  /** A constant, as float32. @throws Error where the tensor is none */
  readonly weight: (tensor: number) => Weight;
}

/** In the schema: of tensors, and of operators without a code of their own. */
const [FLOAT32, FLOAT16] = [0, 1];
const CUSTOM = 32;

/** @throws Error in plain words when the file is damaged, or has something that is not read here */
export function readModel(bytes: Uint8Array<ArrayBuffer>): Model {
  const identifier = String.fromCharCode(...bytes.subarray(4, 8));
  if (identifier !== 'TFL3') throw new Error(`This is no TensorFlow Lite file: it says ${JSON.stringify(identifier)}`);
  const buffer = new BoundedBuffer(bytes);
  return modelOf(new Table(buffer, buffer.readInt32(0)), bytes);
}

function modelOf(model: Table, bytes: Uint8Array<ArrayBuffer>): Model {
  const graphs = model.tables(2);
  if (graphs.length !== 1) throw new Error(`The network has ${graphs.length} subgraphs, not one`);
  const graph = graphs[0]!;
  const names = model.tables(1).map(operatorName);
  const buffers = model.tables(4);
  const tensors = graph.tables(0).map((tensor) => ({
    shape: tensor.ints(0), type: tensor.byte(1), data: buffers[tensor.int(2)]?.bytes(0), name: tensor.text(3) ?? '',
  }));
  const widened = new Map<number, number>();
  const operators: Operator[] = [];
  for (const one of graph.tables(3)) {
    const name = nth(names, one.int(0), 'operator');
    const [inputs, outputs] = [one.ints(1), one.ints(2)];
    if (outputs.length !== 1) throw new Error(`${name} has ${outputs.length} outputs, not one`);
    if (name === 'DEQUANTIZE') widened.set(outputs[0]!, inputs[0]!);
    else operators.push({ name, inputs, output: outputs[0]!, options: optionsOf(name, one.table(4)) });
  }
  const weight = (tensor: number): Weight => {
    const { shape, type, data, name } = nth(tensors, widened.get(tensor) ?? tensor, 'tensor');
    if (!data) throw new Error(`${name} is no constant`);
    const count = shape.reduce((product, extent) => product * extent, 1);
    const size = type === FLOAT32 ? 4 : type === FLOAT16 ? 2 : undefined;
    if (!size) throw new Error(`${name} has the type ${type}, which is not read: only float32 and float16`);
    if (data.length !== count * size) throw new Error(`${name} has ${data.length} bytes, not ${count * size}`);
    const view = new DataView(bytes.buffer, data.byteOffset, data.byteLength);
    const value = (i: number): number => (size === 4 ? view.getFloat32(4 * i, true) : getFloat16(view, 2 * i, true));
    return { shape, data: Float32Array.from({ length: count }, (_, i) => value(i)) };
  };
  const only = (what: string, list: readonly number[]): number => {
    if (list.length !== 1) throw new Error(`The network has ${list.length} ${what}s, not one`);
    return list[0]!;
  };
  for (const { output } of operators) {
    const { type, name } = nth(tensors, output, 'tensor');
    if (type !== FLOAT32) throw new Error(`${name} has the type ${type}, which is not computed: only float32`);
  }
  return {
    input: only('input', graph.ints(1)), output: only('output', graph.ints(2)), operators, weight,
    shapeOf: (tensor) => nth(tensors, tensor, 'tensor').shape,
  };
}

/** @throws Error where a list of the file has no such element */
function nth<T>(list: readonly T[], index: number, what: string): T {
  const found = list[index];
  if (found === undefined) throw new Error(`The TensorFlow Lite file is damaged: it has no ${what} ${index}`);
  return found;
}

/** @throws Error where the table above has no such operator */
function operatorName(code: Table): OperatorName {
  const number = Math.max(code.byte(0), code.int(3)); // Newer files have codes above 127 in a field of their own.
  const custom = code.text(1);
  const entry = Object.entries(OPERATORS).find(([name, one]) =>
    one.code === number && (number !== CUSTOM || name === custom));
  if (!entry) throw new Error(`The network has an operator that is not known: ${custom ?? `number ${number}`}`);
  return entry[0] as OperatorName;
}

function optionsOf(name: OperatorName, table: Table | undefined): Operator['options'] {
  const { options, activation }: OperatorFormat = OPERATORS[name];
  if (activation !== undefined && table?.byte(activation)) {
    throw new Error(`${name} has a fused activation, which is not read`);
  }
  return Object.fromEntries(Object.entries(options).map(([option, slot]) => {
    const isEnumeration = /padding|alignCorners|halfPixelCenters/.test(option);
    const byDefault = /dilation/.test(option) ? 1 : 0;
    return [option, (isEnumeration ? table?.byte(slot) : table?.int(slot, byDefault)) ?? byDefault];
  }));
}

/** The library's own reads zeros beyond the end. */
class BoundedBuffer extends ByteBuffer {
  override readInt32(at: number): number {
    return super.readInt32(this.#checked(at, 4));
  }

  override readUint16(at: number): number {
    return super.readUint16(this.#checked(at, 2));
  }

  override readUint8(at: number): number {
    return super.readUint8(this.#checked(at, 1));
  }

  #checked(at: number, size: number): number {
    if (at >= 0 && at + size <= this.capacity()) return at;
    throw new Error('The TensorFlow Lite file is damaged: it points beyond its end');
  }
}

/** A table of a flatbuffer: fields by their slots, absent ones as the schema's default. */
class Table {
  readonly #buffer: BoundedBuffer;
  readonly #at: number;

  constructor(buffer: BoundedBuffer, at: number) {
    this.#buffer = buffer;
    this.#at = at;
  }

  int(slot: number, byDefault = 0): number {
    const at = this.#field(slot);
    return at === undefined ? byDefault : this.#buffer.readInt32(at);
  }

  byte(slot: number): number {
    const at = this.#field(slot);
    return at === undefined ? 0 : this.#buffer.readInt8(at);
  }

  text(slot: number): string | undefined {
    const at = this.#field(slot);
    return at === undefined ? undefined : this.#buffer.__string(at) as string;
  }

  table(slot: number): Table | undefined {
    const at = this.#field(slot);
    return at === undefined ? undefined : new Table(this.#buffer, this.#buffer.__indirect(at));
  }

  ints(slot: number): readonly number[] {
    return this.#elements(slot).map((at) => this.#buffer.readInt32(at));
  }

  tables(slot: number): readonly Table[] {
    return this.#elements(slot).map((at) => new Table(this.#buffer, this.#buffer.__indirect(at)));
  }

  bytes(slot: number): Uint8Array | undefined {
    const at = this.#field(slot);
    if (at === undefined) return undefined;
    const start = this.#buffer.__vector(at);
    return this.#buffer.bytes().subarray(start, start + this.#buffer.__vector_len(at));
  }

  #field(slot: number): number | undefined {
    const offset = this.#buffer.__offset(this.#at, 4 + 2 * slot);
    return offset === 0 ? undefined : this.#at + offset;
  }

  /** Where the elements of a vector lie, 4 bytes each. */
  #elements(slot: number): readonly number[] {
    const at = this.#field(slot);
    if (at === undefined) return [];
    const start = this.#buffer.__vector(at);
    const length = this.#buffer.__vector_len(at);
    if (length > 0) this.#buffer.readInt32(start + 4 * (length - 1)); // The last one lies within the file.
    return Array.from({ length }, (_, i) => start + 4 * i);
  }
}
