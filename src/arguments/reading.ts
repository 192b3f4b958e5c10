import { isObject, mustBe, show, ValueError } from './errors.js';
import { operation, type Passes, type TensorArgument } from './geometry.js';

/** Longer arrays are cut to this length: what is left still breaks every rule, and fits a message. */
const LONGEST = 8;

export const asIs = (value: unknown): unknown => value;

/** A plain copy of an array of numbers, or of pairs. */
function copyArray(value: unknown, depth = 2): unknown {
  if (!Array.isArray(value) || depth === 0) return value;
  return Array.from({ length: Math.min(value.length, LONGEST) }, (_, index) => copyArray(value[index], depth - 1));
}

/**
 * A plain copy of a tensor or an activation; its data or buffer stays the same object.
 * @throws ValueError for names beside a buffer or a slope that nothing reads: `byteOffset` instead of `offset`, say
 */
function copyRecord(value: unknown, where: string): unknown {
  const isRecord = isObject(value) && !ArrayBuffer.isView(value) && !Array.isArray(value);
  if (!isRecord) return copyArray(value);
  const record = emptyRecord();
  for (const field of ['shape', 'data', 'buffer', 'offset', 'leakyRelu']) {
    const content = copyArray(given(value, field));
    if (content !== undefined) record[field] = content;
  }
  if (record['buffer'] !== undefined) checkNames(`${where}: names`, value, ['shape', 'buffer', 'offset']);
  if (record['leakyRelu'] !== undefined) checkNames(`${where}: names`, value, ['leakyRelu']);
  return record;
}

const asArray = (value: unknown): unknown => copyArray(value);

/** How each option is read. */
const READERS = {
  strides: asArray, padding: asArray, rate: asArray, name: asIs,
  depthwiseBias: copyRecord, depthwiseActivation: copyRecord, bias: copyRecord, activation: copyRecord,
  allowOverparameterized: asIs, strategy: asIs, dtype: asIs, manager: asIs,
  residual: copyRecord, inputScale: asIs, inputShape: asArray, depthwiseFilter: copyRecord, pointwiseFilter: copyRecord,
} satisfies Record<string, (value: unknown, where: string) => unknown>;

type OptionName = keyof typeof READERS;
const CONVOLUTION = [
  'strides', 'padding', 'rate', 'name', 'depthwiseBias', 'depthwiseActivation', 'bias', 'activation',
  'allowOverparameterized', 'strategy', 'dtype',
] as const satisfies OptionName[];
/** What each of the one calls takes. */
const ONE_PASS: readonly OptionName[] = [
  'strides', 'padding', 'rate', 'name', 'bias', 'activation', 'dtype', 'manager',
];
export const ONE_CALL: Readonly<Record<Passes, readonly OptionName[]>> = {
  both: [...CONVOLUTION, 'manager'], depthwise: ONE_PASS, pointwise: ONE_PASS,
};
/** What `prepare`, `prepareGradients` and `warmUp` take. */
export const DESCRIPTOR: readonly OptionName[] = [
  'inputShape', 'depthwiseFilter', 'pointwiseFilter', ...CONVOLUTION, 'residual', 'inputScale',
];

/** Without a prototype, so that nothing is found on it that was not put there. */
const emptyRecord = (): Record<string, unknown> => Object.create(null) as Record<string, unknown>;

/**
 * A property of a caller's object, its own or of its class. What other scripts put on `Object.prototype` does not
 * count.
 */
export function given(object: object, name: string): unknown {
  if (!(name in Object.prototype)) return Reflect.get(object, name);
  let holder: object | null = object;
  while (holder !== null && holder !== Object.prototype && !Object.hasOwn(holder, name)) {
    holder = Object.getPrototypeOf(holder) as object | null;
  }
  return holder === null || holder === Object.prototype ? undefined : Reflect.get(object, name);
}

/**
 * A plain record of the caller's options. Each option is read only once, because getters and proxies may answer
 * differently the next time: so what is used is what was checked.
 * @throws ValueError unless options are an object whose properties are all among `names`
 */
export function readOptions<T extends object>(
  options: T, names: readonly OptionName[], op = operation(), what = 'options',
): T {
  const record = emptyRecord();
  readNames(`${op}: ${what}`, options, names, (value, option) => {
    const read = READERS[option](value, `${op}: ${option}`);
    if (read !== undefined) record[option] = read;
  });
  if (record['name'] !== undefined && typeof record['name'] !== 'string') {
    throw mustBe(`${op}: name`, 'a string', record['name']);
  }
  return record as T;
}

/**
 * What `read` makes of each option.
 * @throws ValueError unless options are an object whose properties are all among `names`
 */
export function readNames<Name extends string, T>(
  where: string, options: unknown, names: readonly Name[], read: (value: unknown, name: Name) => T,
): readonly T[] {
  if (!isObject(options)) throw mustBe(where, 'an object', options);
  return reading(where, () => {
    checkNames(where, options, names);
    return names.map((name) => read(given(options, name), name));
  });
}

/** Refuses properties that nothing reads, as misspelt ones are, unless they are undefined. @throws ValueError */
export function checkNames(where: string, object: object, names: readonly string[]): void {
  const unknown = Object.keys(object).find((name) => !names.includes(name) && given(object, name) !== undefined);
  if (unknown === undefined) return;
  throw mustBe(where, `among ${names.join(', ') || 'none'}`, unknown);
}

/** The same for a tensor. @throws ValueError */
export const readTensor = (where: string, tensor: TensorArgument): TensorArgument =>
  reading(where, () => copyRecord(tensor, where) as TensorArgument);

/** What `read` returns. @throws ValueError where the caller's object, which it reads, throws */
export function reading<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ValueError) throw error;
    throw new ValueError(`${where} must be readable, got ${show(error)}`, { cause: error });
  }
}
