import activationsSource from '../shaders/activations.wgsl?raw';
import depthwiseSource from '../shaders/depthwise.wgsl?raw';
import fusedQuadSource from '../shaders/fused-quad.wgsl?raw';
import fusedTiledSource from '../shaders/fused-tiled.wgsl?raw';
import fusedSource from '../shaders/fused.wgsl?raw';
import pointwiseQuadSource from '../shaders/pointwise-quad.wgsl?raw';
import pointwiseTiledSource from '../shaders/pointwise-tiled.wgsl?raw';
import pointwiseSource from '../shaders/pointwise.wgsl?raw';
import type { ActivationKind } from './activation.js';
import type { Geometry } from './geometry.js';
import { specialize } from './specialize.js';

/** What a kernel reads or writes. `intermediate` is the depthwise result `[N, OH, OW, K_STRIDE]`. */
export type Operand =
  | 'input' | 'depthwiseFilter' | 'depthwiseBias' | 'intermediate' | 'pointwiseFilter' | 'bias' | 'output';

/** The `-quad` kernels need the feature `subgroups`; the `-tiled` ones go through workgroup memory. */
export type KernelName =
  | 'depthwise' | 'pointwise' | 'pointwise-quad' | 'pointwise-tiled' | 'fused' | 'fused-quad' | 'fused-tiled';

/**
 * How work is cut up, for one invocation, or for one quad in the `-quad` kernels. A kernel reads what it has use for, and
 * takes less where the geometry is smaller.
 */
export interface Tile {
  /** Invocations of a workgroup along output channels and along pixels; one-dimensional kernels take their product. */
  readonly group: readonly [x: number, y: number];
  /** Outputs along H and along W. */
  readonly height?: number;
  readonly width?: number;
  /** Pixels. */
  readonly rows?: number;
  /** Output channels. */
  readonly columns?: number;
  /** K of one round through workgroup memory. */
  readonly chunk?: number;
}

/** One specialised shader. `name` is its cache key, GPU label, test title and benchmark row. */
export interface Variant {
  readonly kernel: KernelName;
  readonly name: string;
  readonly source: string;
}

interface Specialization {
  /** What follows `f32-<kernel>-` in the variant's name. */
  readonly suffix: string;
  readonly values: Record<string, number | string>;
  readonly workgroups: number;
}

export interface Kernel {
  readonly source: string;
  /** In binding order, after the uniform Params at binding 0. The last one is written. */
  readonly operands: readonly Operand[];
  readonly specialization: (geometry: Geometry, tile: Tile) => Specialization;
}

/** Filter columns that a depthwise kernel takes at once: wider filters go in several rounds, to bound the code. */
const MAX_TAPS = 8;
/** Taps that a two-dimensional tile takes at once, for the same reason: a 5x5 filter. */
const MAX_TILE_TAPS = 25;
/** Lanes of a quad, which is a workgroup of the `-quad` kernels. */
const QUAD = 4;

const DEPTHWISE: readonly Operand[] = ['input', 'depthwiseFilter', 'depthwiseBias', 'intermediate'];
const POINTWISE: readonly Operand[] = ['intermediate', 'pointwiseFilter', 'bias', 'output'];
const FUSED: readonly Operand[] = ['input', 'depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias', 'output'];

/**
 * All kernels. A variant's name is `f32-<kernel>-[<taps>s<strides>-]<lanes>-<activations>__<tile>w<workgroup>`, with lanes
 * `c` of an input load, `k` between the passes, `o` of an output.
 */
export const kernels: Readonly<Record<KernelName, Kernel>> = {
  depthwise: {
    source: depthwiseSource,
    operands: DEPTHWISE,
    specialization(g, { height = 1, width = 1, group }) {
      // A strided tile reads that much more: without dividing, its code would grow with the square of the stride.
      const area = areaTile(g, Math.ceil(height / g.SH), Math.ceil(width / g.SW));
      const lanes = channelLanes(g);
      const WORKGROUP = group[0] * group[1];
      const { kind } = g.depthwiseActivation;
      return {
        suffix: `${area.filter}-${lanesName(lanes)}-${kind}__${area.tile}w${WORKGROUP}`,
        values: { ...lanes, ...area.values, WORKGROUP, activation: activationExpression(kind, lanes.Lanes) },
        workgroups: Math.ceil(area.tiles * (channelStride(g) / lanes.LANES) / WORKGROUP),
      };
    },
  },
  pointwise: {
    source: pointwiseSource,
    operands: POINTWISE,
    specialization(g, { rows = 1, columns = 1, group }) {
      const { Lanes, LANES } = outputLanes(g);
      const pixels = g.N * g.OH * g.OW;
      const ROWS = rowsOf(pixels, rows);
      const COLUMNS = evenTile(g.O / LANES, columns / LANES);
      const WORKGROUP = group[0] * group[1];
      const { kind } = g.activation;
      return {
        suffix: `o${LANES}-${kind}__${ROWS}x${COLUMNS * LANES}w${WORKGROUP}`,
        values: { Lanes, LANES, ...productOf(LANES), ROWS, COLUMNS, WORKGROUP, activation: activationExpression(kind, Lanes) },
        workgroups: Math.ceil(Math.ceil(pixels / ROWS) * Math.ceil(g.O / LANES / COLUMNS) / WORKGROUP),
      };
    },
  },
  'pointwise-quad': {
    source: pointwiseQuadSource,
    operands: POINTWISE,
    specialization(g, { rows = 1, columns = 1 }) {
      const { Lanes, LANES } = outputLanes(g);
      const pixels = g.N * g.OH * g.OW;
      const ROWS = rowsOf(pixels, rows);
      const quad = quadColumns(g, columns);
      const { kind } = g.activation;
      return {
        suffix: `o${LANES}-${kind}__${ROWS}x${quad.columns}w${QUAD}`,
        values: { Lanes, LANES, ROWS, ...quad.values, activation: activationExpression(kind, Lanes) },
        workgroups: Math.ceil(pixels / ROWS) * quad.tiles,
      };
    },
  },
  'pointwise-tiled': {
    source: pointwiseTiledSource,
    operands: POINTWISE,
    specialization(g, { rows: ROWS = 1, columns = 1, chunk: CHUNK = 4, group: [GROUP_X, GROUP_Y] }) {
      const { Lanes, LANES } = outputLanes(g);
      const COLUMNS = Math.max(1, columns / LANES);
      const { kind } = g.activation;
      return {
        suffix: `o${LANES}-${kind}__${ROWS}x${COLUMNS * LANES}k${CHUNK}w${GROUP_X}x${GROUP_Y}`,
        values: { Lanes, LANES, ROWS, COLUMNS, GROUP_X, GROUP_Y, CHUNK, activation: activationExpression(kind, Lanes) },
        workgroups: Math.ceil(g.N * g.OH * g.OW / (ROWS * GROUP_Y)) * Math.ceil(g.O / (COLUMNS * LANES * GROUP_X)),
      };
    },
  },
  fused: {
    source: fusedSource,
    operands: FUSED,
    specialization(g, { width = 1, columns = 1, group }) {
      const row = rowTile(g, width);
      const lanes = { ...channelLanes(g), ...fusedOutputLanes(g) };
      const COLUMNS = evenTile(g.O / lanes.OUTPUT_LANES, columns / lanes.OUTPUT_LANES);
      const WORKGROUP = group[0] * group[1];
      const tiles = g.N * g.OH * rowTiles(g, row.TILE_W) * Math.ceil(g.O / lanes.OUTPUT_LANES / COLUMNS);
      return {
        suffix: `${row.TAPS}s${g.SW}-${lanesName(lanes)}-${activationsName(g)}__${row.TILE_W}x${COLUMNS * lanes.OUTPUT_LANES}w${WORKGROUP}`,
        values: { ...lanes, ...row, COLUMNS, WORKGROUP, ...fusedActivations(g, lanes.Lanes, lanes.OutputLanes) },
        workgroups: Math.ceil(tiles / WORKGROUP),
      };
    },
  },
  'fused-quad': {
    source: fusedQuadSource,
    operands: FUSED,
    specialization(g, { height = 1, width = 1, columns = 1 }) {
      // At stride 2 the tile stays whole, for the product's sake.
      const area = areaTile(g, Math.ceil(height / Math.ceil(g.SH / 2)), Math.ceil(width / Math.ceil(g.SW / 2)));
      const { Lanes, LANES } = outputLanes(g);
      const quad = quadColumns(g, columns);
      return {
        suffix: `${area.filter}-o${LANES}-${activationsName(g)}__${area.tile}x${quad.columns}w${QUAD}`,
        values: { Lanes, LANES, ...area.values, ...quad.values, ...fusedActivations(g, 'f32', Lanes) },
        workgroups: area.tiles * quad.tiles,
      };
    },
  },
  'fused-tiled': {
    source: fusedTiledSource,
    operands: FUSED,
    specialization(g, { width = 1, rows: ROWS = 1, columns = 1, chunk: CHUNK = 4, group: [GROUP_X, GROUP_Y] }) {
      const row = rowTile(g, width, 'exactly');
      const lanes = { ...channelLanes(g), ...fusedOutputLanes(g) };
      const COLUMNS = Math.max(1, columns / lanes.OUTPUT_LANES);
      const runs = g.N * g.OH * rowTiles(g, row.TILE_W);
      return {
        suffix: `${row.TAPS}s${g.SW}-${lanesName(lanes)}-${activationsName(g)}`
          + `__${row.TILE_W}r${ROWS}x${COLUMNS * lanes.OUTPUT_LANES}k${CHUNK}w${GROUP_X}x${GROUP_Y}`,
        values: { ...lanes, ...row, ROWS, COLUMNS, GROUP_X, GROUP_Y, CHUNK, ...fusedActivations(g, lanes.Lanes, lanes.OutputLanes) },
        workgroups: Math.ceil(runs / (ROWS * GROUP_Y / row.TILE_W)) * Math.ceil(g.O / (COLUMNS * lanes.OUTPUT_LANES * GROUP_X)),
      };
    },
  },
};

/** The variant of a kernel for one geometry, and how many workgroups it takes. */
export function variant(kernel: KernelName, geometry: Geometry, tile: Tile): Variant & { workgroups: number } {
  const { source, specialization } = kernels[kernel];
  const { suffix, values, workgroups } = specialization(geometry, tile);
  return { kernel, name: `f32-${kernel}-${suffix}`, workgroups, source: specialize(source, values) };
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
  const LANES = O % 4 === 0 ? 4 : 1;
  return { Lanes: type(LANES), LANES };
}

function fusedOutputLanes(geometry: Geometry) {
  const { Lanes, LANES } = outputLanes(geometry);
  return { OutputLanes: Lanes, OUTPUT_LANES: LANES };
}

const lanesName = ({ INPUT_LANES, LANES, OUTPUT_LANES }: { INPUT_LANES: number; LANES: number; OUTPUT_LANES?: number }): string =>
  `c${INPUT_LANES}k${LANES}${OUTPUT_LANES ? `o${OUTPUT_LANES}` : ''}`;

const activationsName = ({ depthwiseActivation, activation }: Geometry): string => `${depthwiseActivation.kind}-${activation.kind}`;

function fusedActivations({ depthwiseActivation, activation }: Geometry, between: string, output: string) {
  return {
    depthwiseActivation: activationExpression(depthwiseActivation.kind, between),
    activation: activationExpression(activation.kind, output),
  };
}

/** Tiles of few pixels are powers of two, so that there are few variants. */
const rowsOf = (pixels: number, most: number): number => (pixels >= most ? most : 2 ** Math.floor(Math.log2(pixels)));

/** How the output channels fall to the lanes of quads. */
function quadColumns(g: Geometry, most: number) {
  const { LANES } = outputLanes(g);
  const packs = Math.ceil(g.O / LANES / QUAD);
  const COLUMNS = evenTile(packs, most / LANES / QUAD);
  return { columns: COLUMNS * LANES * QUAD, tiles: Math.ceil(packs / COLUMNS), values: { COLUMNS, ...productOf(LANES) } };
}

/** How four k of a pack of weights are held and multiplied. */
const productOf = (lanes: number) =>
  (lanes === 4 ? { Weights: 'mat4x4f', product: 'b * a' } : { Weights: 'vec4f', product: 'dot(b, a)' });

/** A tile along H and W, its part of a name, and how many there are. */
function areaTile({ N, KH, KW, SH, SW, OH, OW, RH, RW }: Geometry, height: number, width: number) {
  const TAPS_W = divisor(KW, MAX_TAPS);
  const TAPS_H = divisor(KH, Math.floor(MAX_TILE_TAPS / TAPS_W));
  const TILE_H = evenTile(Math.ceil(OH / RH), height);
  const TILE_W = evenTile(Math.ceil(OW / RW), width);
  return {
    filter: `${TAPS_H}x${TAPS_W}s${SH}x${SW}`,
    tile: `${TILE_H}x${TILE_W}`,
    tiles: N * RH * Math.ceil(OH / (TILE_H * RH)) * rowTiles({ OW, RW }, TILE_W),
    values: {
      SH, SW, TAPS_H, TAPS_W, TILE_H, TILE_W, SPAN_H: (TILE_H - 1) * SH + TAPS_H, SPAN_W: (TILE_W - 1) * SW + TAPS_W,
    },
  };
}

/** The largest divisor of `count` that is at most `most`. */
function divisor(count: number, most: number): number {
  let candidate = Math.min(count, most);
  while (count % candidate !== 0) candidate--;
  return candidate;
}

/** Outputs along W: at most `width` in even tiles, or exactly so many, where others count on it. */
function rowTile({ KW, SW, OW, RW }: Geometry, width: number, exactly?: 'exactly') {
  const TAPS = Math.min(KW, MAX_TAPS);
  const TILE_W = exactly ? width : evenTile(Math.ceil(OW / RW), width);
  return { SW, TAPS, TILE_W, SPAN: (TILE_W - 1) * SW + TAPS };
}

const rowTiles = ({ OW, RW }: Pick<Geometry, 'OW' | 'RW'>, width: number): number => RW * Math.ceil(OW / (width * RW));

/** The tile of at most `most` that covers `count` in as few and as even tiles as can be. */
function evenTile(count: number, most: number): number {
  return Math.ceil(count / Math.ceil(count / Math.max(1, Math.floor(most))));
}

function activationExpression(kind: ActivationKind, lanes: string): string {
  const expression = new RegExp(`^fn ${kind}_?\\(.*\\{ return (.*); \\}`, 'm').exec(activationsSource)?.[1];
  if (!expression) throw new Error(`activations.wgsl: no function ${kind}`);
  return expression.replaceAll(/\bT\b/g, lanes);
}
