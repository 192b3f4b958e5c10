import activationsSource from '../shaders/activations.wgsl?raw';
import depthwiseSource from '../shaders/depthwise.wgsl?raw';
import fusedQuadSource from '../shaders/fused-quad.wgsl?raw';
import fusedSource from '../shaders/fused.wgsl?raw';
import pointwiseQuadSource from '../shaders/pointwise-quad.wgsl?raw';
import pointwiseSource from '../shaders/pointwise.wgsl?raw';
import type { ActivationKind } from './activation.js';
import type { Geometry } from './geometry.js';
import { specialize } from './specialize.js';

/** What a kernel reads or writes. `intermediate` is the depthwise result `[N, OH, OW, K_STRIDE]`. */
export type Operand =
  | 'input' | 'depthwiseFilter' | 'depthwiseBias' | 'intermediate' | 'pointwiseFilter' | 'bias' | 'output';

/** The `-quad` kernels need the feature `subgroups`. */
export type KernelName = 'depthwise' | 'pointwise' | 'pointwise-quad' | 'fused' | 'fused-quad';

/**
 * How much one invocation computes, or one quad in the `-quad` kernels: in outputs along H and W, pixels, and output
 * channels. A preset has the largest wanted.
 */
export interface Tiles {
  readonly workgroup: number;
  readonly depthwise: Area;
  readonly pointwise: { readonly rows: number; readonly columns: number };
  readonly fused: { readonly width: number; readonly columns: number };
  readonly 'pointwise-quad': { readonly rows: number; readonly columns: number };
  readonly 'fused-quad': Area & { readonly columns: number };
}

interface Area { readonly height: number; readonly width: number }

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
  readonly workgroup: number;
}

export interface Kernel {
  readonly source: string;
  /** In binding order, after the uniform Params at binding 0. The last one is written. */
  readonly operands: readonly Operand[];
  readonly specialization: (geometry: Geometry, tiles: Tiles) => Specialization;
}

/** Filter columns that a depthwise kernel takes at once: wider filters go in several rounds, to bound the code. */
const MAX_TAPS = 8;
/** Taps that a two-dimensional tile takes at once, for the same reason: a 5x5 filter. */
const MAX_TILE_TAPS = 25;
/** Lanes of a quad, which is a workgroup of the `-quad` kernels. */
const QUAD = 4;

/** All kernels. Variant names: `f32-<kernel>-<taps>s<strides>-c<INPUT_LANES>k<LANES>o<lanes>-<activations>__<tile>w<WORKGROUP>`. */
export const kernels: Readonly<Record<KernelName, Kernel>> = {
  depthwise: {
    source: depthwiseSource,
    operands: ['input', 'depthwiseFilter', 'depthwiseBias', 'intermediate'],
    specialization(g, { depthwise, workgroup }) {
      const area = areaTile('depthwise', g, depthwise);
      const lanes = channelLanes(g);
      const { kind } = g.depthwiseActivation;
      return {
        name: `f32-depthwise-${area.name}-c${lanes.INPUT_LANES}k${lanes.LANES}-${kind}__${area.tile}w${workgroup}`,
        values: { ...lanes, ...area.values, WORKGROUP: workgroup, activation: activationExpression(kind, lanes.Lanes) },
        invocations: area.tiles * (channelStride(g) / lanes.LANES),
        workgroup,
      };
    },
  },
  pointwise: {
    source: pointwiseSource,
    operands: ['intermediate', 'pointwiseFilter', 'bias', 'output'],
    specialization(g, { pointwise, workgroup }) {
      const lanes = outputLanes(g);
      const pixels = g.N * g.OH * g.OW;
      const ROWS = rowsOf(pixels, pointwise.rows);
      const COLUMNS = evenTile(g.O / lanes.LANES, pointwise.columns / lanes.LANES);
      const { kind } = g.activation;
      return {
        name: `f32-pointwise-o${lanes.LANES}-${kind}__${ROWS}x${COLUMNS * lanes.LANES}w${workgroup}`,
        values: { ...lanes, ROWS, COLUMNS, WORKGROUP: workgroup, activation: activationExpression(kind, lanes.Lanes) },
        invocations: Math.ceil(pixels / ROWS) * Math.ceil(g.O / lanes.LANES / COLUMNS),
        workgroup,
      };
    },
  },
  'pointwise-quad': {
    source: pointwiseQuadSource,
    operands: ['intermediate', 'pointwiseFilter', 'bias', 'output'],
    specialization(g, tiles) {
      const lanes = outputLanes(g);
      const pixels = g.N * g.OH * g.OW;
      const ROWS = rowsOf(pixels, tiles['pointwise-quad'].rows);
      const { COLUMNS, columns, columnTiles } = quadColumns(g, tiles['pointwise-quad'].columns);
      const { kind } = g.activation;
      return {
        name: `f32-pointwise-quad-o${lanes.LANES}-${kind}__${ROWS}x${columns}w${QUAD}`,
        values: { ...lanes, ROWS, COLUMNS, activation: activationExpression(kind, lanes.Lanes) },
        invocations: Math.ceil(pixels / ROWS) * columnTiles * QUAD,
        workgroup: QUAD,
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
        workgroup: tiles.workgroup,
      };
    },
  },
  'fused-quad': {
    source: fusedQuadSource,
    operands: ['input', 'depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias', 'output'],
    specialization(g, tiles) {
      const most = tiles['fused-quad'];
      const area = areaTile('fused-quad', g, most);
      const lanes = outputLanes(g);
      const { COLUMNS, columns, columnTiles } = quadColumns(g, most.columns);
      const [before, after] = [g.depthwiseActivation.kind, g.activation.kind];
      return {
        name: `f32-fused-quad-${area.name}-o${lanes.LANES}-${before}-${after}__${area.tile}x${columns}w${QUAD}`,
        values: {
          ...lanes, ...area.values, COLUMNS,
          depthwiseActivation: activationExpression(before, 'f32'), activation: activationExpression(after, lanes.Lanes),
        },
        invocations: area.tiles * columnTiles * QUAD,
        workgroup: QUAD,
      };
    },
  },
};

/** The variant of a kernel for one geometry, and how many workgroups of which size it takes. */
export function variant(kernel: KernelName, geometry: Geometry, tiles: Tiles): Variant & { workgroups: number; workgroup: number } {
  const { source, specialization } = kernels[kernel];
  const { name, values, invocations, workgroup } = specialization(geometry, tiles);
  return { kernel, name, workgroups: Math.ceil(invocations / workgroup), workgroup, source: specialize(source, values) };
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

function outputLanes({ O }: Geometry) {
  const vector = O % 4 === 0;
  return {
    Lanes: type(vector ? 4 : 1), LANES: vector ? 4 : 1,
    Weights: vector ? 'mat4x4f' : 'vec4f', product: vector ? 'b * a' : 'dot(b, a)',
  };
}

/** Tiles of few pixels are powers of two, so that there are few variants. */
const rowsOf = (pixels: number, most: number): number => (pixels >= most ? most : 2 ** Math.floor(Math.log2(pixels)));

/** Scalar tiles are half as wide: they have four times as many stores, each a branch, and would compile for 4 to 6 s. */
export function quadColumns(g: Geometry, most: number) {
  const { LANES } = outputLanes(g);
  const packs = Math.ceil(g.O / LANES / QUAD);
  const COLUMNS = evenTile(packs, (LANES === 4 ? most : most / 2) / LANES / QUAD);
  return { COLUMNS, columns: COLUMNS * LANES * QUAD, columnTiles: Math.ceil(packs / COLUMNS) };
}

/**
 * A tile along H and W, its part of a name, and how many there are. Tiles of strides and large filters are smaller, to
 * bound the code (4x7 outputs at 5x5 would compile for 2 s on SwiftShader); up to stride 2 the fused kernel's stays whole,
 * for the product's sake.
 */
function areaTile(kernel: 'depthwise' | 'fused-quad', { N, KH, KW, SH, SW, OH, OW, RH, RW }: Geometry, most: Area) {
  const TAPS_W = divisor(KW, MAX_TAPS);
  const TAPS_H = divisor(KH, Math.floor(MAX_TILE_TAPS / TAPS_W));
  const alone = kernel === 'depthwise';
  const height = Math.ceil(most.height / (alone ? SH : Math.ceil(SH / 2)) / (alone && TAPS_H * TAPS_W > 9 ? 2 : 1));
  const width = Math.ceil(most.width / (alone ? SW : Math.ceil(SW / 2)));
  const TILE_H = evenTile(Math.ceil(OH / RH), height);
  const TILE_W = evenTile(Math.ceil(OW / RW), width);
  return {
    name: `${TAPS_H}x${TAPS_W}s${SH}x${SW}`,
    tile: `${TILE_H}x${TILE_W}`,
    tiles: N * RH * Math.ceil(OH / (TILE_H * RH)) * RW * Math.ceil(OW / (TILE_W * RW)),
    values: {
      SH, SW, TAPS_H, TAPS_W, TILE_H, TILE_W, SPAN_H: (TILE_H - 1) * SH + TAPS_H, SPAN_W: (TILE_W - 1) * SW + TAPS_W,
    },
  };
}

/** What one depthwise value costs a kernel, in loads, 30 multiply-adds being worth one. */
export function areaLoads(kernel: 'depthwise' | 'fused-quad', geometry: Geometry, tiles: Tiles): number {
  const { TAPS_H, TAPS_W, TILE_H, TILE_W, SPAN_H, SPAN_W } = areaTile(kernel, geometry, tiles[kernel]).values;
  const taps = TAPS_H * TAPS_W;
  const rounds = (geometry.KH * geometry.KW) / taps;
  return rounds * ((SPAN_H * SPAN_W + taps) / (TILE_H * TILE_W) + taps / 30);
}

/** The largest divisor of `count` that is at most `most`. */
function divisor(count: number, most: number): number {
  let candidate = Math.min(count, most);
  while (count % candidate !== 0) candidate--;
  return candidate;
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
