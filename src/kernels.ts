import activationsSource from '../shaders/activations.wgsl?raw';
import depthwiseSource from '../shaders/depthwise.wgsl?raw';
import fusedSource from '../shaders/fused.wgsl?raw';
import pointwiseSource from '../shaders/pointwise.wgsl?raw';
import type { ActivationKind } from './activation.js';
import type { Geometry } from './geometry.js';
import { specialize } from './specialize.js';

/** What a kernel reads or writes. `intermediate` is the depthwise result `[N, OH, OW, K_STRIDE]`. */
export type Operand =
  | 'input' | 'depthwiseFilter' | 'depthwiseBias' | 'intermediate' | 'pointwiseFilter' | 'bias' | 'output';

export type KernelName = 'depthwise' | 'pointwise' | 'fused';

/** How much one invocation computes, in outputs along W, pixels, and output channels. A preset has the largest wanted. */
export interface Tiles {
  readonly workgroup: number;
  readonly depthwise: { readonly width: number };
  readonly pointwise: { readonly rows: number; readonly columns: number };
  readonly fused: { readonly width: number; readonly columns: number };
}

/** One specialised shader. `name` is its cache key, GPU label, test title and benchmark row. */
export interface Variant {
  readonly kernel: KernelName;
  readonly name: string;
  readonly source: string;
}

interface Specialization {
  readonly name: string;
  readonly values: Record<string, number | string>;
  /** Invocations that the kernel needs, before rounding up to whole workgroups. */
  readonly invocations: number;
}

export interface Kernel {
  readonly source: string;
  /** In binding order, after the uniform Params at binding 0. The last one is written. */
  readonly operands: readonly Operand[];
  readonly specialization: (geometry: Geometry, tiles: Tiles) => Specialization;
}

/** Filter columns that a depthwise kernel takes at once: wider filters go in several rounds, to bound the code. */
const MAX_TAPS = 8;

/** All kernels. Variant names: `f32-<kernel>-<taps>s<SW>-c<INPUT_LANES>k<LANES>o<lanes>-<activations>__<tile>w<WORKGROUP>`. */
export const kernels: Readonly<Record<KernelName, Kernel>> = {
  depthwise: {
    source: depthwiseSource,
    operands: ['input', 'depthwiseFilter', 'depthwiseBias', 'intermediate'],
    specialization(g, tiles) {
      const row = rowTile(g, tiles.depthwise.width);
      const lanes = channelLanes(g);
      const { kind } = g.depthwiseActivation;
      return {
        name: `f32-depthwise-${row.TAPS}s${g.SW}-c${lanes.INPUT_LANES}k${lanes.LANES}-${kind}__${row.TILE_W}w${tiles.workgroup}`,
        values: { ...lanes, ...row, WORKGROUP: tiles.workgroup, activation: activationExpression(kind, lanes.Lanes) },
        invocations: g.N * g.OH * rowTiles(g, row.TILE_W) * (channelStride(g) / lanes.LANES),
      };
    },
  },
  pointwise: {
    source: pointwiseSource,
    operands: ['intermediate', 'pointwiseFilter', 'bias', 'output'],
    specialization(g, tiles) {
      const lanes = g.O % 4 === 0 ? 4 : 1;
      const pixels = g.N * g.OH * g.OW;
      const ROWS = pixels >= tiles.pointwise.rows ? tiles.pointwise.rows : 2 ** Math.floor(Math.log2(pixels));
      const COLUMNS = evenTile(g.O / lanes, tiles.pointwise.columns / lanes);
      const { kind } = g.activation;
      return {
        name: `f32-pointwise-o${lanes}-${kind}__${ROWS}x${COLUMNS * lanes}w${tiles.workgroup}`,
        values: {
          Lanes: type(lanes), LANES: lanes, ROWS, COLUMNS, WORKGROUP: tiles.workgroup,
          activation: activationExpression(kind, type(lanes)),
        },
        invocations: Math.ceil(pixels / ROWS) * Math.ceil(g.O / lanes / COLUMNS),
      };
    },
  },
  fused: {
    source: fusedSource,
    operands: ['input', 'depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias', 'output'],
    specialization(g, tiles) {
      const row = rowTile(g, tiles.fused.width);
      const lanes = channelLanes(g);
      const OUTPUT_LANES = g.O % 4 === 0 ? 4 : 1;
      const COLUMNS = evenTile(g.O / OUTPUT_LANES, tiles.fused.columns / OUTPUT_LANES);
      const [before, after] = [g.depthwiseActivation.kind, g.activation.kind];
      return {
        name: `f32-fused-${row.TAPS}s${g.SW}-c${lanes.INPUT_LANES}k${lanes.LANES}o${OUTPUT_LANES}-${before}-${after}`
          + `__${row.TILE_W}x${COLUMNS * OUTPUT_LANES}w${tiles.workgroup}`,
        values: {
          ...lanes, ...row, OutputLanes: type(OUTPUT_LANES), OUTPUT_LANES, COLUMNS, WORKGROUP: tiles.workgroup,
          depthwiseActivation: activationExpression(before, lanes.Lanes),
          activation: activationExpression(after, type(OUTPUT_LANES)),
        },
        invocations: g.N * g.OH * rowTiles(g, row.TILE_W) * Math.ceil(g.O / OUTPUT_LANES / COLUMNS),
      };
    },
  },
};

/** The variant of a kernel for one geometry, and how many invocations it takes. */
export function variant(kernel: KernelName, geometry: Geometry, tiles: Tiles): Variant & { invocations: number } {
  const { source, specialization } = kernels[kernel];
  const { name, values, invocations } = specialization(geometry, tiles);
  return { kernel, name, invocations, source: specialize(source, values) };
}

/** Channels from one pixel of the intermediate to the next: K rounded up so that pointwise kernels can load four at once. */
export const channelStride = ({ K }: Geometry): number => Math.ceil(K / 4) * 4;

/** The bytes of a kernel's `Params`, in the order and types of the struct in its source. */
export function uniformData(kernel: KernelName, geometry: Geometry): ArrayBuffer {
  const { N, OH, OW } = geometry;
  const values: Record<string, unknown> = {
    ...geometry, PIXELS: N * OH * OW, K_STRIDE: channelStride(geometry),
    depthwiseAlpha: geometry.depthwiseActivation.alpha, alpha: geometry.activation.alpha,
  };
  const struct = /struct Params \{(.*?)\n\}/s.exec(kernels[kernel].source)?.[1] ?? '';
  const fields = [...struct.replaceAll(/\/\/.*/g, '').matchAll(/(\w+): (i32|f32),/g)];
  const view = new DataView(new ArrayBuffer(Math.ceil(fields.length / 4) * 16));
  fields.forEach(([, field, elementType], index) => {
    const value = values[field!];
    if (typeof value !== 'number') throw new Error(`${kernel}.wgsl: no value for Params.${field}`);
    if (elementType === 'i32') view.setInt32(index * 4, value, true);
    else view.setFloat32(index * 4, value, true);
  });
  return view.buffer;
}

const type = (lanes: number): string => (lanes === 4 ? 'vec4f' : 'f32');

/** Vector loads need four channels side by side in both the input and the depthwise filter. */
function channelLanes({ C, M }: Geometry) {
  const INPUT_LANES = M === 1 && C % 4 === 0 ? 4 : 1;
  const LANES = INPUT_LANES === 4 || M % 4 === 0 ? 4 : 1;
  return { Input: type(INPUT_LANES), INPUT_LANES, Lanes: type(LANES), LANES };
}

function rowTile({ KW, SW, OW, RW }: Geometry, width: number) {
  const TAPS = Math.min(KW, MAX_TAPS);
  const TILE_W = evenTile(Math.ceil(OW / RW), width);
  return { SW, TAPS, TILE_W, SPAN: (TILE_W - 1) * SW + TAPS };
}

const rowTiles = ({ OW, RW }: Geometry, width: number): number => RW * Math.ceil(OW / (width * RW));

/** The tile of at most `most` that covers `count` in as few and as even tiles as can be. */
function evenTile(count: number, most: number): number {
  return Math.ceil(count / Math.ceil(count / Math.max(1, Math.floor(most))));
}

function activationExpression(kind: ActivationKind, lanes: string): string {
  const expression = new RegExp(`^fn ${kind}_?\\(.*\\{ return (.*); \\}`, 'm').exec(activationsSource)?.[1];
  if (!expression) throw new Error(`activations.wgsl: no function ${kind}`);
  return expression.replaceAll(/\bT\b/g, lanes);
}
