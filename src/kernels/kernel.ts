import type { ActivationKind } from '../arguments/activation.js';
import { loaded, show } from '../arguments/errors.js';
import type { Dtype, Geometry } from '../arguments/geometry.js';
import type { Effort } from './gpu-time.js';
import type { DeviceProfile } from './profile.js';
import { packParams, specialize } from './shader.js';

/** How work is cut up. A kernel reads the fields that it uses, and takes less where the geometry is smaller. */
export interface Tile {
  /** Invocations of a workgroup along output channels and along pixels; one-dimensional kernels take their product. */
  readonly group: readonly [x: number, y: number];
  /** Outputs along H and along W. */
  readonly height?: number;
  readonly width?: number;
  /** Pixels. */
  readonly pixels?: number;
  /** Output channels. */
  readonly columns?: number;
  /** K that go through workgroup memory in one round; of a filter's gradient, pixels. */
  readonly chunk?: number;
  /** Parts that the k of a round, or all of K, are split into; each has a group of invocations of its own. */
  readonly slices?: number;
  /** Whether the next round is loaded while one is computed. */
  readonly ahead?: boolean;
  /** Vectors of 4 pointwise weights that an invocation holds. */
  readonly weights?: number;
  /** The most taps of the depthwise filter that are taken at once. */
  readonly taps?: number;
}

/** What there is to know of a kernel. `Work` is what it computes: a convolution's geometry, or the extents of a sum. */
export interface Kernel<Work = Geometry> {
  readonly name: string;
  /** The file in `shaders`. */
  readonly load: Load;
  /** The file that has the bodies of its activation functions. */
  readonly loadLibrary?: Load;
  /** What it binds after its uniforms, by the names that steps have for it; the last one is written. */
  readonly operands: readonly string[];
  /** Whether it can compute the work on a device; absent: always. */
  readonly fits?: (work: Work, profile: DeviceProfile) => boolean;
  readonly cut: (work: Work, tile: Tile) => Cut;
}

/** A shader's text, loaded when it is needed: a device downloads the shaders that it compiles. */
type Load = () => Promise<{ readonly default: string }>;

/** One work cut up for one kernel. */
export interface Cut {
  /** The shader's constants, which say which variant it is. */
  readonly constants: Readonly<Record<string, number>>;
  /** For each of its activation functions, the activation whose body it gets. */
  readonly bodies?: Readonly<Record<string, ActivationKind | 'itself'>>;
  /** What is stored as `dtype` says; absent: the shader has float32 only. */
  readonly elem?: Dtype;
  /** What it binds before what it writes, beside the kernel's operands. */
  readonly extras?: readonly string[];
  /** What the struct `Params` holds. */
  readonly params: Readonly<Record<string, unknown>>;
  /** For each of the images, where workgroups have one image only. */
  readonly workgroups: number;
  /** Images whose workgroups are apart; absent: they are not. */
  readonly images?: number;
  readonly group: Tile['group'];
  /** Bytes of workgroup memory; absent: none. */
  readonly memory?: number;
  /** What a pixel takes beside its multiply-adds by pointwise weights, in nanoseconds on SwiftShader. */
  readonly cost?: number;
  /** What its time depends on, on a GPU. */
  readonly effort?: Effort;
}

/** What kind of resource a bind group's entry is. */
export type BindingKind = 'uniform' | 'read' | 'write' | 'texture' | 'write-texture' | 'sampler';

/** How a pointwise filter is stored as a texture. */
export const FILTER_FORMAT = 'rgba32float';

/** A specialised kernel, not yet compiled. `name` is its cache key, GPU label, test title and benchmark row. */
export interface Variant extends Pick<Cut, 'constants' | 'bodies' | 'elem' | 'params'> {
  readonly kernel: string;
  readonly name: string;
  /** What it binds after its uniforms, the last one written. */
  readonly operands: readonly string[];
  readonly bindings: readonly BindingKind[];
  readonly load: Load;
  readonly loadLibrary: Load | undefined;
}

/** The variant that a cut needs; `others` are further values for its `Params`. */
export function variantOf<Work>(
  { name: kernel, operands: own, load, loadLibrary }: Kernel<Work>,
  { constants, bodies, elem, params, extras = [] }: Cut,
  others: Readonly<Record<string, number>> = {},
): Variant {
  const operands = [...own.slice(0, -1), ...extras, own.at(-1)!];
  return {
    kernel, name: nameOf(kernel, constants, bodies, elem), operands, bindings: bindingsOf(operands), load, loadLibrary,
    constants, bodies: bodies ?? {}, params: { ...params, ...others }, ...(elem && { elem }),
  };
}

/**
 * What a variant is called: `<dtype>-<kernel>-<activations>__<constants>`, where a constant is its name and its
 * value, so that two variants never share a name.
 */
function nameOf(
  kernel: string, constants: Cut['constants'], bodies: Cut['bodies'] = {}, elem: Dtype = 'f32',
): string {
  const values = Object.entries(constants).map(([constant, value]) => `${constant.toLowerCase()}${value}`);
  return [elem, kernel, ...Object.values(bodies)].join('-') + `__${values.join('_')}`;
}

/** The bindings of a kernel: its Params, what it reads, and last what it writes. */
export function bindingsOf(operands: readonly string[]): readonly BindingKind[] {
  return ['uniform', ...operands.map((operand, index): BindingKind => {
    const last = index === operands.length - 1;
    if (operand === 'filterTexture') return last ? 'write-texture' : 'texture';
    if (operand === 'nearest') return 'sampler';
    return last ? 'write' : 'read';
  })];
}

/** Whether a kernel takes the pointwise filter from a texture, which must be filled before. */
export const takesTexture = ({ operands }: { readonly operands: readonly string[] }): boolean =>
  operands.slice(0, -1).includes('filterTexture');

/** The program of a variant. @throws SepconvError where its files are not to be had */
export async function codeOf({ kernel, constants, bodies, elem, load, loadLibrary }: Variant): Promise<string> {
  const [source, library] = await Promise.all([sourceOf(kernel, load), loadLibrary && sourceOf(kernel, loadLibrary)]);
  return about(kernel, () => specialize(source, { constants, elem, bodies, library }));
}

/** The contents of its uniform buffer. @throws SepconvError where its file is not to be had */
export async function uniformsOf({ kernel, params, load }: Variant): Promise<ArrayBuffer> {
  const source = await sourceOf(kernel, load);
  return about(kernel, () => packParams(source, params));
}

const sourceOf = async (kernel: string, load: Load): Promise<string> =>
  (await loaded(`${kernel}.wgsl`, load)).default;

function about<T>(kernel: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`${kernel}.wgsl: ${show(error)}`, { cause: error });
  }
}
