import activationsSource from '../../shaders/activations.wgsl?raw';
import depthwiseSource from '../../shaders/depthwise.wgsl?raw';
import filterTextureSource from '../../shaders/filter-texture.wgsl?raw';
import fusedQuadSource from '../../shaders/fused-quad.wgsl?raw';
import fusedTiledSource from '../../shaders/fused-tiled.wgsl?raw';
import fusedSource from '../../shaders/fused.wgsl?raw';
import pointwiseQuadSource from '../../shaders/pointwise-quad.wgsl?raw';
import pointwiseTiledSource from '../../shaders/pointwise-tiled.wgsl?raw';
import pointwiseSource from '../../shaders/pointwise.wgsl?raw';
import type { ActivationKind } from '../arguments/activation.js';
import type { Geometry } from '../arguments/geometry.js';
import { specialize } from './specialize.js';
import {
  channelStride, depthwiseTile, evenTile, fusedOutputLanes, fusedQuadTile, lanesName, outputLanes, pointwiseQuadTile, productOf, QUAD,
  rowsOf, rowTile, rowTiles, storedChannelLanes, type Tile,
} from './tiles.js';

/** What a kernel reads or writes in a buffer. `intermediate` is the depthwise result `[N, OH, OW, K_STRIDE]`. */
export type BufferOperand =
  | 'input' | 'depthwiseFilter' | 'depthwiseBias' | 'intermediate' | 'pointwiseFilter' | 'bias' | 'output';
/** The pointwise filter as a texture `[K, ceil(O / 4)]`, and the sampler that takes single texels of it. */
export type TextureOperand = 'filterTexture' | 'nearest';
export type Operand = BufferOperand | TextureOperand;

/**
 * The `-quad` kernels need the feature `subgroups`, and before them `filter-texture`; the `-tiled` ones go through workgroup
 * memory.
 */
export type KernelName =
  | 'depthwise' | 'filter-texture' | 'pointwise' | 'pointwise-quad' | 'pointwise-tiled' | 'fused' | 'fused-quad' | 'fused-tiled';

/** How a pointwise filter is stored as a texture. */
export const FILTER_FORMAT = 'rgba32float';

/** What a bind group's entry is. */
export type BindingKind = 'uniform' | 'read' | 'write' | 'texture' | 'write-texture' | 'sampler';

/** One specialised shader. `name` is its cache key, GPU label, test title and benchmark row. */
export interface Variant<Name extends string = KernelName> {
  readonly kernel: Name;
  readonly name: string;
  readonly source: string;
  readonly bindings: readonly BindingKind[];
}

interface Specialization {
  /** What follows `<dtype>-<kernel>-` in the variant's name. */
  readonly suffix: string;
  readonly values: Record<string, number | string>;
  /** Fields of its Params that depend on the tile. */
  readonly params?: Readonly<Record<string, number>>;
  readonly workgroups: number;
}

export interface Kernel {
  readonly source: string;
  /** In binding order, after the uniform Params at binding 0. The last one is written. */
  readonly operands: readonly Operand[];
  readonly specialization: (geometry: Geometry, tile: Tile) => Specialization;
}

const DEPTHWISE: readonly Operand[] = ['input', 'depthwiseFilter', 'depthwiseBias', 'intermediate'];
const POINTWISE: readonly Operand[] = ['intermediate', 'pointwiseFilter', 'bias', 'output'];
const POINTWISE_QUAD: readonly Operand[] = ['intermediate', 'filterTexture', 'nearest', 'bias', 'output'];
const FUSED: readonly Operand[] = ['input', 'depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias', 'output'];
const FUSED_QUAD: readonly Operand[] = ['input', 'depthwiseFilter', 'depthwiseBias', 'filterTexture', 'nearest', 'bias', 'output'];

/** The bindings of a kernel: its Params, what it reads, and last what it writes. */
export function bindingsOf(operands: readonly string[]): readonly BindingKind[] {
  return ['uniform', ...operands.map((operand, index): BindingKind => {
    const last = index === operands.length - 1;
    if (operand === 'filterTexture') return last ? 'write-texture' : 'texture';
    if (operand === 'nearest') return 'sampler';
    return last ? 'write' : 'read';
  })];
}

/**
 * All kernels. A variant's name is `<dtype>-<kernel>-[<taps>s<strides>-]<lanes>-<activations>__<tile>w<workgroup>`, with lanes
 * `c` of an input load, `k` between the passes, `o` of an output; in a tile `<` precedes what the last one may not fill, and `+`
 * follows a block of K that others may follow.
 */
export const kernels: Readonly<Record<KernelName, Kernel>> = {
  depthwise: {
    source: depthwiseSource,
    operands: DEPTHWISE,
    specialization(g, tile) {
      const area = depthwiseTile(g, tile);
      const lanes = storedChannelLanes(g);
      const WORKGROUP = tile.group[0] * tile.group[1];
      const { kind } = g.depthwiseActivation;
      return {
        suffix: `${area.filter}-${lanesName(lanes)}-${kind}__${area.tile}w${WORKGROUP}`,
        values: { ...lanes, ...area.values, WORKGROUP, activation: activationExpression(kind, lanes.Lanes) },
        params: { ROWS: area.rows, FIRST_TAP: 0, TAP_STEP: 1 },
        workgroups: Math.ceil(area.tiles * (channelStride(g) / lanes.LANES) / WORKGROUP),
      };
    },
  },
  'filter-texture': {
    source: filterTextureSource,
    operands: ['pointwiseFilter', 'filterTexture'],
    specialization({ K, O }, { group }) {
      const WORKGROUP = group[0] * group[1];
      return {
        suffix: `w${WORKGROUP}`,
        values: { WORKGROUP },
        params: { ROW_STRIDE: O, COLUMN_STRIDE: 1 },
        workgroups: Math.ceil(K * Math.ceil(O / 4) / WORKGROUP),
      };
    },
  },
  pointwise: {
    source: pointwiseSource,
    operands: POINTWISE,
    specialization(g, { rows = 1, columns = 1, group }) {
      const lanes = outputLanes(g);
      const { LANES } = lanes;
      const pixels = g.N * g.OH * g.OW;
      const ROWS = rowsOf(pixels, rows);
      const COLUMNS = evenTile(g.O / LANES, columns / LANES);
      const WORKGROUP = group[0] * group[1];
      const { kind } = g.activation;
      return {
        suffix: `o${LANES}-${kind}__${ROWS}x${COLUMNS * LANES}w${WORKGROUP}`,
        values: { ...lanes, ...productOf(LANES), ROWS, COLUMNS, WORKGROUP, activation: activationExpression(kind, lanes.Lanes) },
        workgroups: Math.ceil(Math.ceil(pixels / ROWS) * Math.ceil(g.O / LANES / COLUMNS) / WORKGROUP),
      };
    },
  },
  'pointwise-quad': {
    source: pointwiseQuadSource,
    operands: POINTWISE_QUAD,
    specialization(g, tile) {
      const quad = pointwiseQuadTile(g, tile);
      const { kind } = g.activation;
      return {
        suffix: `o${quad.values.LANES}-${kind}__${quad.name}w${QUAD}`,
        values: { ...quad.values, activation: activationExpression(kind, 'vec4f') },
        params: { ROWS: quad.rows, PIXEL_STRIDE: channelStride(g), K_STEP: 1 },
        workgroups: quad.tiles,
      };
    },
  },
  'pointwise-tiled': {
    source: pointwiseTiledSource,
    operands: POINTWISE,
    specialization(g, { rows: ROWS = 1, columns = 1, chunk: CHUNK = 4, group: [GROUP_X, GROUP_Y] }) {
      const lanes = outputLanes(g);
      const { LANES } = lanes;
      const COLUMNS = Math.max(1, columns / LANES);
      const { kind } = g.activation;
      return {
        suffix: `o${LANES}-${kind}__${ROWS}x${COLUMNS * LANES}k${CHUNK}w${GROUP_X}x${GROUP_Y}`,
        values: { ...lanes, ROWS, COLUMNS, GROUP_X, GROUP_Y, CHUNK, activation: activationExpression(kind, lanes.Lanes) },
        workgroups: Math.ceil(g.N * g.OH * g.OW / (ROWS * GROUP_Y)) * Math.ceil(g.O / (COLUMNS * LANES * GROUP_X)),
      };
    },
  },
  fused: {
    source: fusedSource,
    operands: FUSED,
    specialization(g, { width = 1, columns = 1, group }) {
      const row = rowTile(g, width);
      const lanes = { ...storedChannelLanes(g), ...fusedOutputLanes(g) };
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
    operands: FUSED_QUAD,
    specialization(g, tile) {
      const quad = fusedQuadTile(g, tile);
      return {
        suffix: `${quad.filter}-o${quad.values.LANES}-${activationsName(g)}__${quad.tile}w${QUAD}`,
        values: { ...quad.values, ...fusedActivations(g, 'f32', 'vec4f') },
        params: { ROWS: quad.rows },
        workgroups: quad.tiles,
      };
    },
  },
  'fused-tiled': {
    source: fusedTiledSource,
    operands: FUSED,
    specialization(g, { width = 1, rows: ROWS = 1, columns = 1, chunk: CHUNK = 4, group: [GROUP_X, GROUP_Y] }) {
      const row = rowTile(g, width, 'exactly');
      const lanes = { ...storedChannelLanes(g), ...fusedOutputLanes(g) };
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

/** Whether a kernel takes the pointwise filter from a texture, which `filter-texture` must fill before. */
export const takesTexture = (kernel: KernelName): boolean => kernel !== 'filter-texture' && kernels[kernel].operands.includes('filterTexture');

/** The variant of a kernel for one geometry, and how many workgroups it takes. */
export function variant(kernel: KernelName, geometry: Geometry, tile: Tile): Variant & Pick<Specialization, 'workgroups' | 'params'> {
  const { source, operands, specialization } = kernels[kernel];
  const { suffix, values, params = {}, workgroups } = specialization(geometry, tile);
  const { dtype } = geometry;
  return {
    kernel, name: `${dtype}-${kernel}-${suffix}`, params, workgroups, bindings: bindingsOf(operands), 
    source: specialize(source, { ...(source.includes('alias Elem') && { Elem: dtype }), ...values }),
  };
}

/**
 * The bytes of a kernel's `Params`, in the order and types of the struct in its source, with its variant's `params` and where
 * in their bindings input and output start, in elements.
 */
export function uniformData(kernel: KernelName, geometry: Geometry, params?: Readonly<Record<string, number>>): ArrayBuffer {
  const { N, OH, OW } = geometry;
  return paramsData(kernel, kernels[kernel].source, {
    ...geometry, inputStart: 0, outputStart: 0, PIXELS: N * OH * OW, K_STRIDE: channelStride(geometry),
    depthwiseAlpha: geometry.depthwiseActivation.alpha, alpha: geometry.activation.alpha, ...params,
  });
}

/** The bytes of the struct `Params` of a source, from values by name. */
export function paramsData(kernel: string, source: string, values: Readonly<Record<string, unknown>>): ArrayBuffer {
  const struct = /struct Params \{(.*?)\n\}/s.exec(source)?.[1] ?? '';
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

const activationsName = ({ depthwiseActivation, activation }: Geometry): string => `${depthwiseActivation.kind}-${activation.kind}`;

function fusedActivations({ depthwiseActivation, activation }: Geometry, between: string, output: string) {
  return {
    depthwiseActivation: activationExpression(depthwiseActivation.kind, between),
    activation: activationExpression(activation.kind, output),
  };
}

/** What a function of activations.wgsl, or of a file like it, returns. */
export function activationExpression(kind: ActivationKind, lanes: string, source = activationsSource): string {
  const expression = new RegExp(`^fn ${kind}_?\\(.*\\{ return (.*); \\}`, 'm').exec(source)?.[1];
  if (!expression) throw new Error(`No function ${kind} among the activations`);
  return expression.replaceAll(/\bT\b/g, lanes);
}
