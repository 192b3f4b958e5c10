import type { Geometry } from './geometry.js';

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
  /** K that go through workgroup memory in one round. */
  readonly chunk?: number;
  /** Vectors of 4 pointwise weights that an invocation holds. */
  readonly weights?: number;
}

/** Filter columns that a row of outputs takes at once: wider filters go in several rounds, to bound the code. */
const MAX_TAPS = 8;
/** Taps that a two-dimensional tile takes at once, for the same reason: a 5x5 filter. */
const MAX_TILE_TAPS = 25;
/** Lanes of a quad, which is a workgroup of the `-quad` kernels. */
export const QUAD = 4;
/** Extents that a texture may have on every device. */
export const MOST_TEXELS = 8192;

/** Channels from one pixel of the intermediate to the next: K rounded up so that pointwise kernels can load four at once. */
export const channelStride = ({ K }: Geometry): number => Math.ceil(K / 4) * 4;

const type = (lanes: number): string => (lanes === 4 ? 'vec4f' : 'f32');
const stored = (lanes: number): string => (lanes === 4 ? 'vec4<Elem>' : 'Elem');

/** Vector loads need four channels side by side in both the input and the depthwise filter. */
export function channelLanes({ C, M }: Geometry) {
  const INPUT_LANES = M === 1 && C % 4 === 0 ? 4 : 1;
  const LANES = INPUT_LANES === 4 || M % 4 === 0 ? 4 : 1;
  return { Input: type(INPUT_LANES), INPUT_LANES, Lanes: type(LANES), LANES };
}

/** The same, with how they are stored. */
export function storedChannelLanes(geometry: Geometry) {
  const lanes = channelLanes(geometry);
  return { ...lanes, StoredInput: stored(lanes.INPUT_LANES), Stored: stored(lanes.LANES) };
}

export function outputLanes({ O, O_STRIDE }: Geometry) {
  const LANES = O % 4 === 0 && O_STRIDE % 4 === 0 ? 4 : 1;
  return { Lanes: type(LANES), Stored: stored(LANES), LANES };
}

export function fusedOutputLanes(geometry: Geometry) {
  const { Lanes, Stored, LANES } = outputLanes(geometry);
  return { OutputLanes: Lanes, StoredOutput: Stored, OUTPUT_LANES: LANES };
}

export const lanesName = ({ INPUT_LANES, LANES, OUTPUT_LANES }: { INPUT_LANES: number; LANES: number; OUTPUT_LANES?: number }): string =>
  `c${INPUT_LANES}k${LANES}${OUTPUT_LANES ? `o${OUTPUT_LANES}` : ''}`;

/** Tiles of few pixels are powers of two, so that there are few variants. */
export const rowsOf = (pixels: number, most: number): number => (pixels >= most ? most : 2 ** Math.floor(Math.log2(pixels)));

/** How a quad loads 4 channels one by one. */
const four = (element: (at: string) => string): string => `vec4f(${[0, 1, 2, 3].map((i) => `f32(${element(`min(pack * 4 + ${i}, last)`)})`).join(', ')})`;

/** How quads load and store packs of 4 output channels. */
const quadLanes = (lanes: number) => ({
  PARTS: 4 / lanes,
  ...(lanes === 1 && { biasOf: four((at) => `bias[${at}]`), split: 'array<Lanes, PARTS>(x.x, x.y, x.z, x.w)' }),
});

/**
 * How the output channels fall to the lanes of quads. Tiles with scalar stores are half as wide: they have four times as many,
 * each a branch, and would take SwiftShader seconds to compile.
 */
export function quadTile(g: Geometry, { columns = 1 }: Tile) {
  const lanes = outputLanes(g);
  const packs = Math.ceil(g.O / 4 / QUAD);
  const COLUMNS = evenTile(packs, (lanes.LANES === 4 ? columns : columns / 2) / 4 / QUAD);
  return {
    columns: COLUMNS * 4 * QUAD,
    tiles: Math.ceil(packs / COLUMNS),
    values: { ...lanes, ...quadLanes(lanes.LANES), COLUMNS },
  };
}

/** On SwiftShader, nanoseconds of a thread for a scalar load by four lanes, for a vector's, and for a vector's store. */
const [LOAD, LOAD_4, STORE_4] = [11, 40, 45];
/** Workgroups that SwiftShader runs at the same time, however many threads it has. */
const BATCHES = 16;
/** Steps of 4 k of a block: its compiler takes no array of more than 100 apart. */
const MOST_STEPS = 64;

/** K up to which a tile of held weights keeps all sums in registers, whatever its size. */
export const MOST_HELD = MOST_STEPS * 4;

/**
 * The tile of the pointwise kernel that holds weights: few columns load the input more often, short blocks load and store sums more
 * often. f16 could not hold the sums, so that there all of K is one block.
 */
export function heldTile(g: Geometry, { rows = 1, weights = 4 }: Tile) {
  const lanes = outputLanes(g);
  const [packs, steps, pixels] = [Math.ceil(g.O / 4 / QUAD), channelStride(g) / 4, g.N * g.OH * g.OW];
  const tile = (columns: number) => {
    const COLUMNS = evenTile(packs, columns);
    const tiles = Math.ceil(packs / COLUMNS);
    const most = Math.min(Math.floor(weights / 4 / COLUMNS), MOST_STEPS);
    const blocks = g.dtype === 'f16' && COLUMNS === 1 ? 1 : Math.ceil(steps / most);
    const STEPS = Math.ceil(steps / blocks);
    const full = g.O % (COLUMNS * 4 * QUAD) === 0;
    const cost = tiles * blocks * (STEPS * LOAD + COLUMNS * (STORE_4 + (blocks > 1 ? LOAD_4 : 0)));
    return { COLUMNS, STEPS, BLOCKS: Math.min(blocks, 2), tiles, full, cost };
  };
  const { COLUMNS, STEPS, BLOCKS, tiles, full } = [1, 2, 4, 8].filter((columns) => columns * 4 <= weights).map(tile)
    .filter(({ BLOCKS }) => BLOCKS === 1 || g.dtype === 'f32')
    .reduce((best, next) => (next.cost < best.cost ? next : best));
  const ROWS = evenTile(pixels, Math.min(rows, Math.ceil(pixels * tiles / BATCHES)));
  return {
    name: `${full ? '' : '<'}${COLUMNS * 4 * QUAD}k${STEPS * 4}${BLOCKS > 1 ? '+' : ''}`,
    tiles: Math.ceil(pixels / ROWS) * tiles,
    rows: ROWS,
    values: {
      ...lanes, ...quadLanes(lanes.LANES), COLUMNS, STEPS, BLOCKS,
      ...(lanes.LANES === 1 && { sumsAt: four((at) => `output[start + ${at}]`) }),
      ...(full && { inside: 'true' }),
    },
  };
}

/** How four k of a pack of weights are held and multiplied. */
export const productOf = (lanes: number) =>
  (lanes === 4 ? { Weights: 'mat4x4f', product: 'b * a' } : { Weights: 'vec4f', product: 'dot(b, a)' });

/** Taps, and vectors of a window of input, that an invocation holds at once: a 7x7 filter over 7 outputs. */
const [MAX_HELD_TAPS, MAX_WINDOW] = [49, 96];
/** Rows that are worth loading those before them that they share. */
const LEAST_ROWS = 7;

/**
 * The tile of the depthwise kernel, which goes down `height` rows, its parts of a name, and how many there are. Strides make it
 * narrower, to bound the code.
 */
export function depthwiseTile(g: Geometry, { height = 1, width = 1, group }: Tile) {
  const { N, KH, KW, SH, SW, OH, OW, RH, RW } = g;
  const TILE_W = evenTile(Math.ceil(OW / RW), Math.ceil(width / SW));
  const across = rowTiles(g, TILE_W);
  const workgroups = N * RH * across * channelStride(g) / channelLanes(g).LANES / (group[0] * group[1]); // Of whole columns.
  const ROWS = evenTile(Math.ceil(OH / RH), Math.min(height, Math.max(LEAST_ROWS, Math.ceil(OH / RH * workgroups / BATCHES))));
  const full = OW % (TILE_W * RW) === 0;
  const held = KH * KW <= MAX_HELD_TAPS && KH * ((TILE_W - 1) * SW + KW) <= MAX_WINDOW;
  const [TAPS_H, TAPS_W] = held ? [KH, KW] : [1, divisor(KW, MAX_TILE_TAPS)];
  const KEPT = held ? TAPS_H : 0;
  const CARRIED = held && ROWS > 1 ? Math.max(0, KH - SH) : 0;
  const FRESH = TAPS_H - CARRIED;
  return {
    filter: `${KH}x${KW}s${SH}x${SW}`,
    tile: `${CARRIED}+${FRESH}x${full ? '' : '<'}${TILE_W}`,
    tiles: N * RH * Math.ceil(OH / (ROWS * RH)) * across,
    rows: ROWS,
    values: {
      SH, SW, TAPS_H, TAPS_W, ROUNDS_H: KH / TAPS_H, ROUNDS_W: KW / TAPS_W, KEPT, LOADED: TAPS_H - KEPT, CARRIED, FRESH,
      LEAD: Math.ceil(CARRIED / SH), TILE_W, SPAN_W: (TILE_W - 1) * SW + TAPS_W, ...(full && { inside: 'true' }),
    },
  };
}

/**
 * A tile along H and W, its part of a name, and how many there are. Tiles of strides and large filters are smaller, to
 * bound the code (4x7 outputs at 5x5 would compile for 2 s on SwiftShader); up to stride 2 the fused kernel's stays whole,
 * for the product's sake.
 */
export function areaTile(
  kernel: 'depthwise-filter-gradient' | 'fused-quad', { N, KH, KW, SH, SW, OH, OW, RH, RW }: Geometry, { height = 1, width = 1 }: Tile,
) {
  const TAPS_W = divisor(KW, MAX_TILE_TAPS);
  const TAPS_H = divisor(KH, Math.floor(MAX_TILE_TAPS / TAPS_W));
  const [down, across] = kernel === 'fused-quad'
    ? [Math.ceil(SH / 2), Math.ceil(SW / 2)]
    : [SH * (TAPS_H * TAPS_W > 9 ? 2 : 1), SW];
  const TILE_H = evenTile(Math.ceil(OH / RH), Math.ceil(height / down));
  const TILE_W = evenTile(Math.ceil(OW / RW), Math.ceil(width / across));
  return {
    filter: `${TAPS_H}x${TAPS_W}s${SH}x${SW}`,
    tile: `${TILE_H}x${TILE_W}`,
    tiles: N * RH * Math.ceil(OH / (TILE_H * RH)) * rowTiles({ OW, RW }, TILE_W),
    values: {
      SH, SW, TAPS_H, TAPS_W, TILE_H, TILE_W, SPAN_H: (TILE_H - 1) * SH + TAPS_H, SPAN_W: (TILE_W - 1) * SW + TAPS_W,
    },
  };
}

/** Phases of a stride that an invocation takes at once, along one axis. */
const MAX_PHASES = 3;

/** The tile of the transposed depthwise pass, its part of a name, and how many there are; bounded as `areaTile` is. */
export function transposedTile(
  { N, H, W, KH, KW, SH, SW, RH, RW, padTop, padLeft }: Geometry, { height = 1, width = 1 }: Tile,
) {
  const [PHASES_H, PHASES_W] = [divisor(SH, MAX_PHASES), divisor(SW, MAX_PHASES)];
  const TAPS_W = divisor(Math.ceil(KW / SW), Math.floor(MAX_TILE_TAPS / PHASES_W));
  const TAPS_H = divisor(Math.ceil(KH / SH), Math.max(1, Math.floor(MAX_TILE_TAPS / (TAPS_W * PHASES_W * PHASES_H))));
  const cells = (extent: number, pad: number, stride: number) => Math.floor((pad + extent - 1) / stride) - Math.floor(pad / stride) + 1;
  const [down, across] = [cells(H, padTop, SH), cells(W, padLeft, SW)];
  const large = TAPS_H * PHASES_H * TAPS_W * PHASES_W > 16;
  const TILE_H = evenTile(Math.ceil(down / RH), height / PHASES_H / (large ? 2 : 1));
  const TILE_W = evenTile(Math.ceil(across / RW), width / PHASES_W);
  return {
    filter: `${TAPS_H}x${TAPS_W}s${SH}x${SW}`,
    tile: `${TILE_H}x${TILE_W}`,
    tiles: N * RH * Math.ceil(down / (TILE_H * RH)) * RW * Math.ceil(across / (TILE_W * RW)) * (SH / PHASES_H) * (SW / PHASES_W),
    values: {
      SH, SW, PHASES_H, PHASES_W, TAPS_H, TAPS_W, TILE_H, TILE_W, SPAN_H: TILE_H + TAPS_H - 1, SPAN_W: TILE_W + TAPS_W - 1,
    },
  };
}

/** What one depthwise value costs the depthwise kernel on a software adapter, in loads; 30 multiply-adds are worth one. */
export function depthwiseLoads(geometry: Geometry, tile: Tile): number {
  const { rows, values: { FRESH, SPAN_W, TILE_W, LEAD, ROUNDS_H, ROUNDS_W } } = depthwiseTile(geometry, tile);
  return ROUNDS_H * ROUNDS_W * FRESH * SPAN_W * (rows + LEAD) / (rows * TILE_W) + geometry.KH * geometry.KW / 30;
}

/** The same of the fused one. */
export function fusedLoads(geometry: Geometry, tile: Tile): number {
  const { TAPS_H, TAPS_W, TILE_H, TILE_W, SPAN_H, SPAN_W } = areaTile('fused-quad', geometry, tile).values;
  const taps = TAPS_H * TAPS_W;
  const rounds = (geometry.KH * geometry.KW) / taps;
  return rounds * ((SPAN_H * SPAN_W + taps) / (TILE_H * TILE_W) + taps / 30);
}

/** The largest divisor of `count` that is at most `most`. */
export function divisor(count: number, most: number): number {
  let candidate = Math.min(count, most);
  while (count % candidate !== 0) candidate--;
  return candidate;
}

/** Outputs along W: at most `width` in even tiles, or exactly so many, where others count on it. */
export function rowTile({ KW, SW, OW, RW }: Geometry, width: number, exactly?: 'exactly') {
  const TAPS = Math.min(KW, MAX_TAPS);
  const TILE_W = exactly ? width : evenTile(Math.ceil(OW / RW), width);
  return { SW, TAPS, TILE_W, SPAN: (TILE_W - 1) * SW + TAPS };
}

export const rowTiles = ({ OW, RW }: Pick<Geometry, 'OW' | 'RW'>, width: number): number => RW * Math.ceil(OW / (width * RW));

/** The tile of at most `most` that covers `count` in as few and as even tiles as can be. */
export function evenTile(count: number, most: number): number {
  return Math.ceil(count / Math.ceil(count / Math.max(1, Math.floor(most))));
}
