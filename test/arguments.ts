import {
  type ConvolutionDescriptor, PipelineManager, separableConv2d, separableConv2dGradients, type Tensor4D,
  UnsupportedError, ValueError,
} from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { sumBound } from './bounds.js';
import { random, randomData } from './random.js';

/**
 * Arguments with something wrong in them, through the public API: an
 * error of the right class, or the reference's result.
 */

/** Puts a value in the place of a valid one. */
export interface Mutation {
  readonly call:
    | 'separableConv2d' | 'separableConv2dGradients' | 'prepare' | 'prepareGradients' | 'warmUp' | 'create' | 'run';
  /** Where: an argument or option, then perhaps one of its fields. */
  readonly path: readonly string[];
  /** The name of one of `values`. */
  readonly value: string;
}

const data = (length: number) => randomData(length, random(length));
const tensor = (...shape: Tensor4D['shape']): Tensor4D => ({ shape, data: data(shape.reduce((a, b) => a * b, 1)) });
const throws = () => { throw new Error('mean'); };

/** Made anew for each use. None of them is large. */
const values: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined, null: () => null, true: () => true, false: () => false, symbol: () => Symbol('s'),
  bigint: () => 1n, function: () => throws,
  ...Object.fromEntries(
    [NaN, -1, -0, 0, 0.5, 1, 2, 3, 7, 1e308, Infinity, 2 ** 31, 2 ** 32, 2 ** 53].map((n) => [`${n}`, () => n])),
  ...Object.fromEntries([
    '', '2', 'SAME', 'valid', 'relu', 'leakyRelu', 'tanh', 'constructor', '__proto__', 'auto', 'fused', 'two-pass',
    'f32', 'f16', 'f64', 'x'.repeat(9999),
  ].map((text) => [`'${text.slice(0, 12)}'`, () => text])),
  ...Object.fromEntries([
    [], [1], [1, 1], [2, 1], [1, 2, 2, 1], [2, 1, 1, 1], [1, 1, 1], [1, 2 ** 31], [2 ** 31, 1], [NaN, 1], ['1', 1],
    [0, 0], [-1, 1], [[1, 2], [0, 1]], [[1, -1], [0, 0]],
    [[1, 2], [0, 0.5]], [[0, 0], [1, 1], [2, 0], [0, 0]], [[1, 0], [1, 1], [2, 0], [0, 0]], [[2 ** 31, 0], [0, 0]],
    [1, 5, 5, 4], [1, 0, 5, 4], [0, 5, 5, 4], [3, 3, 4, 0],
    [5, 5, 4], [1, 5, 5, 4, 1], [2 ** 20, 2 ** 20, 2 ** 20, 2 ** 20], [1, 1, 4, -8],
  ].map((list) => [JSON.stringify(list), () => structuredClone(list)])),
  holes: () => Array.from({ length: 4 }), long: () => Array.from({ length: 1e5 }, () => 1),
  cyclic: () => { const list: unknown[] = []; list.push(list, list); return list; },
  '{}': () => ({}), date: () => new Date(0), map: () => new Map([['shape', 1]]),
  'without prototype': () => Object.create(null) as object,
  'leakyRelu 0.5': () => ({ leakyRelu: 0.5 }), 'leakyRelu NaN': () => ({ leakyRelu: NaN }),
  "leakyRelu '1'": () => ({ leakyRelu: '1' }), 'leakyRelu 1e300': () => ({ leakyRelu: 1e300 }),
  ...Object.fromEntries([0, 4, 8, 36, 100].map((length) => [`Float32Array(${length})`, () => data(length)])),
  'Float64Array(8)': () => new Float64Array(8), 'Array(8)': () => [...data(8)],
  'Uint8Array(8)': () => new Uint8Array(8), ArrayBuffer: () => new ArrayBuffer(32),
  'detached Float32Array': () => {
    const list = data(8);
    structuredClone(list.buffer, { transfer: [list.buffer as ArrayBuffer] });
    return list;
  },
  'tensor [1, 5, 5, 4]': () => tensor(1, 5, 5, 4), 'tensor [3, 3, 4, 2]': () => tensor(3, 3, 4, 2),
  'tensor [1, 1, 4, 8]': () => tensor(1, 1, 4, 8),
  'tensor too short': () => ({ shape: [3, 3, 4, 1], data: data(7) }),
  'shape without data': () => ({ shape: [1, 1, 4, 8] }),
  'buffer of nothing': () => ({ shape: [8], buffer: {} }),
  'buffer without shape': () => ({ shape: null, buffer: null }),
  'getter that throws': () => ({
    get shape() { return throws(); }, get data() { return throws(); },
    get leakyRelu() { return throws(); }, get 0() { return throws(); },
  }),
  'getter that changes': () => {
    let reads = 0;
    return {
      get shape() { return reads++ ? -1 : [1, 1, 4, 8]; }, data: data(32),
      get leakyRelu() { return reads++ ? 'evil' : 0.5; },
    };
  },
  'proxy that throws': () =>
    new Proxy({}, { get: throws, has: throws, ownKeys: throws, getOwnPropertyDescriptor: throws }),
  'toString that throws': () =>
    ({ toString: throws, valueOf: throws, get [Symbol.toStringTag]() { return throws(); } }),
};
export const valueNames = Object.keys(values);

const OPTIONS = [
  'strides', 'padding', 'rate', 'name', 'depthwiseBias', 'depthwiseActivation', 'bias', 'activation',
  'allowOverparameterized', 'strategy', 'dtype',
];
const TENSORS = ['depthwiseFilter', 'pointwiseFilter'];
const fields = (name: string) =>
  [[name, 'shape'], [name, 'data'], ...['0', '1', '2', '3'].map((axis) => [name, 'shape', axis])];
const UNKNOWN = ['stride', 'dilations', 'constructor', 'activations', ''];
const DESCRIPTOR = [[], ...[...OPTIONS, ...UNKNOWN, ...TENSORS, 'inputShape'].map((name) => [name]),
  ['inputShape', '1'], ['strides', '0'], ['padding', '1', '0'], ['rate', '1'],
  ...TENSORS.flatMap(fields)];

const ONE_CALL = [...['input', ...TENSORS].flatMap((name) => [[name], ...fields(name)]),
  ...[
    [], ...[...OPTIONS, ...UNKNOWN, 'manager'].map((name) => [name]),
    ['strides', '0'], ['padding', '1', '0'], ['rate', '1'],
  ].map((path) => ['options', ...path])];

/** What can be mutated. */
export const places: Readonly<Record<Mutation['call'], readonly (readonly string[])[]>> = {
  separableConv2d: ONE_CALL,
  separableConv2dGradients: [...ONE_CALL, ['outputGradient'], ...fields('outputGradient')],
  prepare: DESCRIPTOR,
  prepareGradients: DESCRIPTOR,
  warmUp: [...DESCRIPTOR.map((path) => ['0', ...path]), []],
  run: [[], ['shape'], ['data'], ['shape', '0'], ['shape', '2']],
  create: [[], ['device'], ['tuning'], ['adapterKind'], ['maxBindingBytes']],
};

const options = () => ({
  strides: [1, 1], padding: [[1, 1], [1, 1]], rate: [1, 1], name: 'layer', depthwiseBias: data(4),
  depthwiseActivation: 'relu6', bias: data(8), activation: 'linear',
  allowOverparameterized: false, strategy: 'two-pass', dtype: 'f32',
});
const filters = () => ({ depthwiseFilter: tensor(3, 3, 4, 1), pointwiseFilter: tensor(1, 1, 4, 8) });
const descriptor = () => ({ ...options(), ...filters(), inputShape: [1, 5, 5, 4] }) as unknown as ConvolutionDescriptor;

function mutate(target: unknown, [head, ...rest]: readonly string[], value: unknown): unknown {
  if (head === undefined) return value;
  const copy: object = Array.isArray(target) ? [...target as unknown[]] : { ...(target as object) };
  const changed = copy as Record<string, unknown>;
  Object.defineProperty(changed, head, {
    value: mutate(changed[head], rest, value), enumerable: true, configurable: true, writable: true,
  });
  return changed;
}

type Arguments = Parameters<typeof separableConv2d>;

/** Makes each call, and a valid one after it. Gives what went wrong. */
export async function checkArguments(mutations: readonly Mutation[]): Promise<string[]> {
  const failures: string[] = [];
  const manager = await PipelineManager.create();
  const uncaptured: string[] = [];
  manager.device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));
  const x = tensor(1, 5, 5, 4);
  const conv = await manager.prepare(descriptor());
  const expected = await conv.run(x);
  for (const mutation of mutations) {
    let failure = await tried(manager, mutation, x).catch((error: unknown) => describe(error));
    const again = await conv.run(x).catch((error: unknown) => describe(error));
    if (typeof again === 'string') failure ??= `a valid call afterwards: ${again}`;
    else if (again.data.some((value, i) => value !== expected.data[i])) {
      failure ??= 'a valid call afterwards had another result';
    }
    if (uncaptured.length > 0) failure ??= `uncaptured: ${uncaptured.splice(0).join()}`;
    if (failure !== undefined) failures.push(`${JSON.stringify(mutation)}: ${failure}`);
  }
  manager.destroy();
  return failures;
}

const describe = (error: unknown): string => (
  error instanceof Error
    ? `${error.name}: ${error.message} ${error.stack?.split('\n').slice(0, 3).join(' ') ?? ''}`
    : typeof error
);

async function tried(
  manager: PipelineManager, { call, path, value }: Mutation, x: Tensor4D,
): Promise<string | undefined> {
  const make = values[value]!;
  switch (call) {
    case 'prepare': return typed(async () => {
      (await manager.prepare(mutate(descriptor(), path, make()) as ConvolutionDescriptor)).destroy();
    });
    case 'prepareGradients': return typed(async () => {
      (await manager.prepareGradients(mutate(descriptor(), path, make()) as ConvolutionDescriptor)).destroy();
    });
    case 'separableConv2dGradients': {
      const given = { outputGradient: tensor(1, 5, 5, 8), input: x, ...filters(), options: { ...options(), manager } };
      const all = mutate(given, path, make()) as Record<string, unknown>;
      const names = ['outputGradient', 'input', 'depthwiseFilter', 'pointwiseFilter', 'options'];
      return typed(() =>
        separableConv2dGradients(...names.map((name) => all[name]) as Parameters<typeof separableConv2dGradients>));
    }
    case 'warmUp': return typed(() =>
      manager.warmUp(mutate([descriptor()], path, make()) as Parameters<typeof manager.warmUp>[0]));
    case 'create': return typed(async () => {
      const given = mutate({ device: manager.device }, path, make());
      (await PipelineManager.create(given as Parameters<typeof PipelineManager.create>[0])).destroy();
    });
    case 'run': {
      const conv = await manager.prepare(descriptor());
      try {
        return await typed(() => conv.run(mutate(x, path, make()) as Tensor4D));
      } finally {
        conv.destroy();
      }
    }
    case 'separableConv2d': {
      const argumentsWith = (gpu: object) => {
        const given = { input: x, ...filters(), options: { ...options(), ...gpu } };
        const all = mutate(given, path, make()) as Record<string, unknown>;
        return [all['input'], all['depthwiseFilter'], all['pointwiseFilter'], all['options']] as Arguments;
      };
      let result: Tensor4D | Error | undefined;
      const failure = await typed(async () => {
        result = await separableConv2d(...argumentsWith({ manager })).catch((error: Error) => error);
        if (result instanceof Error) throw result;
      });
      const gpuOnly = ['strategy', 'dtype', 'manager'].includes(path[1] ?? '') || result instanceof UnsupportedError;
      return failure ?? (gpuOnly ? undefined : compareWithReference(result, argumentsWith({})));
    }
  }
}

/** Nothing, or what it threw that it should not. */
async function typed(work: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error instanceof ValueError || error instanceof UnsupportedError ? undefined : describe(error);
  }
}

/** The reference takes and refuses the same. */
function compareWithReference(y: Tensor4D | Error | undefined, args: Arguments): string | undefined {
  let expected: Tensor4D;
  try {
    expected = separableConv2dReference(...args as Parameters<typeof separableConv2dReference>);
  } catch (error) {
    return error instanceof ValueError && y instanceof ValueError ? undefined : `the reference: ${describe(error)}`;
  }
  if (y === undefined || y instanceof Error) return `the reference takes it, ${String(y)}`;
  if (String(y.shape) !== String(expected.shape)) return `shape ${String(y.shape)}, not ${String(expected.shape)}`;
  const wrong = expected.data.findIndex((value, i) => !(Math.abs(y.data[i]! - value) <= sumBound(40, 40, true)));
  return wrong < 0 ? undefined : `element ${wrong} is ${y.data[wrong]}, not ${expected.data[wrong]}`;
}
