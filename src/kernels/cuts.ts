import type { Geometry } from '../arguments/geometry.js';
import { COSTS } from './costs.js';
import type { Tile } from './kernel.js';
import type { DeviceProfile } from './profile.js';

/** Filter columns that a row of outputs takes at once: wider filters go in several rounds, to bound the code. */
const MAX_TAPS = 8;
/** Taps that a two-dimensional tile takes at once, for the same reason: a 5x5 filter. */
export const MAX_TILE_TAPS = 25;
/** Lanes of a quad, which is a workgroup of the `-quad` kernels. */
export const QUAD = 4;

/**
 * Channels from one pixel of the intermediate to the next: K rounded up so that pointwise kernels can load four at
 * once. A pass alone writes or reads the caller's dense tensor instead.
 */
export const channelStride = ({ passes, K }: Geometry): number => (passes === 'both' ? Math.ceil(K / 4) * 4 : K);

/** Vector loads need four channels side by side in both the input and the depthwise filter. */
export function channelLanes({ C, M }: Geometry) {
  const INPUT_LANES = M === 1 && C % 4 === 0 ? 4 : 1;
  const LANES = INPUT_LANES === 4 || M % 4 === 0 ? 4 : 1;
  return { INPUT_LANES, LANES };
}

/** Channels of one store of the output. */
export const outputLanes = ({ O, O_STRIDE }: Geometry): number => (O % 4 === 0 && O_STRIDE % 4 === 0 ? 4 : 1);

/** The next power of 2, below or above. */
export const powerOf2 = (round: 'floor' | 'ceil', count: number): number => 2 ** Math[round](Math.log2(count));

/** A tile of fewer than `most` pixels is a power of two, so that there are few variants. */
export const fewPixels = (pixels: number, most: number): number =>
  (pixels >= most ? most : powerOf2('floor', pixels));

/** Nanoseconds for 4 k of one pixel of the depthwise result. */
const depthwiseCost = ({ KH, KW }: Geometry, loads: number, carried: number): number =>
  loads * COSTS.load + carried * COSTS.carry + KH * KW * COSTS.tap + COSTS.rest;
/** Workgroups that SwiftShader runs at the same time, however many threads it has. */
const BATCHES = 16;
/** The most taps of a filter that the fused kernel takes, and the most loads for a row of its outputs. */
const MOST_TAPS = 256;
/** The most steps of 4 k of a block: SwiftShader does not take arrays of more than 100 elements apart. */
const MOST_STEPS = 64;
/**
 * From this many steps on, a single block uses the kernel for several blocks. That is 2 % slower, but networks like
 * MobileNet have one kernel less to compile.
 */
const SHARED_STEPS = 32;

/**
 * The weights that a quad holds: so many columns and steps that loads and stores cost the least. With few columns there
 * are more tiles, and each of them needs every k. With many columns the blocks are short, and each of them loads and
 * stores the sums.
 *
 * `step` says how many nanoseconds a step of 4 k takes for a pixel, and how many steps a block may have. The cost
 * returned is that of a pixel, without its multiply-adds by weights.
 */
function heldTile(g: Geometry, weights: number, step: { readonly cost: number; readonly most: number }) {
  const LANES = outputLanes(g);
  const [packs, steps] = [Math.ceil(g.O / 4 / QUAD), Math.ceil(g.K / 4)];
  const candidates = [1, 2, 4, 8].filter((columns) => columns * 4 <= weights).map((columns) => {
    const COLUMNS = evenTile(packs, columns);
    const tiles = Math.ceil(packs / COLUMNS);
    const most = Math.max(1, Math.floor(Math.min(weights / 4 / COLUMNS, step.most, MOST_STEPS)));
    const blocks = Math.ceil(steps / most);
    const STEPS = Math.ceil(steps / blocks);
    const perColumn = COSTS.vectorStore + (blocks > 1 ? COSTS.vectorLoad : 0);
    const cost = tiles * blocks * (STEPS * step.cost + COLUMNS * perColumn);
    return { COLUMNS, STEPS, blocks, tiles, cost };
  });
  const cheapest = candidates.reduce((best, next) => (next.cost < best.cost ? next : best));
  const { COLUMNS, STEPS, blocks, tiles, cost } = cheapest;
  const [full, exact] = [g.O % (COLUMNS * 4 * QUAD) === 0, g.K === blocks * STEPS * 4];
  const alone = blocks === 1 && STEPS < SHARED_STEPS;
  return {
    tiles,
    cost,
    constants: {
      LANES, COLUMNS, STEPS, ALONE: Number(alone), EXACT_K: Number(exact), FULL_O: Number(full),
    },
  };
}

/** The tile of the pointwise kernel that holds weights, how many tiles there are, and what a pixel costs. */
export function pointwiseQuadTile(g: Geometry, { pixels: most = 1, weights = 4 }: Tile) {
  const pixels = g.N * g.OH * g.OW;
  const { tiles, cost, constants } = heldTile(g, weights, { cost: COSTS.load, most: Infinity });
  const TILE_PIXELS = evenTile(pixels, Math.min(most, Math.ceil(pixels * tiles / BATCHES)));
  return { constants, params: { TILE_PIXELS }, tiles: Math.ceil(pixels / TILE_PIXELS) * tiles, cost };
}

/** The tile of the fused kernel that holds weights, how many tiles there are, and what a pixel costs. */
export function fusedQuadTile(g: Geometry, { height = 1, width = 1, weights = 4 }: Tile) {
  const { KH, KW, SH, SW } = g;
  const [, FRESH] = carriedRows(g);
  const widest = Math.min(Math.ceil(width / SW), widthOf(g, MOST_TAPS / FRESH));
  const { TILE_W, SPAN_W, ACROSS, FULL_W } = rowOfTiles(g, widest);
  const loads = FRESH * SPAN_W;
  const { tiles, cost, constants } = heldTile(g, weights, {
    cost: depthwiseCost(g, loads / TILE_W, Math.ceil(KH / FRESH) - 1),
    // With more steps, the loads (85 instructions each) and taps would take longer to compile than the weights.
    most: 9 * weights / (8 * loads + KH * KW * TILE_W),
  });
  const rows = rowsDown(g, height, ACROSS * tiles);
  return {
    constants: { ...constants, SH, SW, TAPS_H: KH, TAPS_W: KW, FRESH, TILE_W, FULL_W },
    params: { ...rows, ACROSS }, tiles: g.N * rows.DOWN * ACROSS * tiles, cost,
  };
}

/** Whether quads can compute a geometry's pointwise pass on a device: their weights come from a texture, as f32. */
export function quadsTake({ dtype, K, O }: Geometry, { subgroups, limits }: DeviceProfile): boolean {
  const { maxComputeInvocationsPerWorkgroup: invocations, maxTextureDimension2D: texels } = limits;
  return subgroups && invocations >= QUAD && dtype === 'f32' && K <= texels && Math.ceil(O / 4) <= texels;
}
/** The same for both passes in one. */
export const fusedQuadsTake = (g: Geometry, profile: DeviceProfile): boolean =>
  quadsTake(g, profile) && g.KH * g.KW <= MOST_TAPS;

/** The most taps that a depthwise invocation takes at once, and vectors of its window: 7x7 taps over 7 outputs. */
const MAX_HELD_TAPS = 49;
const MAX_WINDOW = 96;
/** The most vectors that an invocation which goes down rows loads for each row. */
const MAX_FRESH = 32;
/** The fewest rows of a tile: for fewer, loading the input rows that they share beforehand does not pay. */
const LEAST_ROWS = 7;

/** Input rows that a row of outputs shares with the next, and those that it loads. */
const carriedRows = ({ KH, SH, OH, RH }: Geometry): readonly [carried: number, fresh: number] =>
  (OH > RH ? [Math.max(0, KH - SH), Math.min(KH, SH)] : [0, KH]);

/** Input rows that are loaded for each row of outputs by what goes down rows. */
export const freshRows = (g: Geometry): number => carriedRows(g)[1];

/** 1 where taps stand further apart than 1. Elsewhere nothing is divided by rates. */
export const isRated = ({ RH, RW }: Pick<Geometry, 'RH' | 'RW'>): number => Number(RH * RW > 1);

/** Outputs along W that read at most so many input columns. */
const widthOf = ({ KW, SW }: Geometry, columns: number): number => Math.floor((columns - KW) / SW) + 1;

/** Outputs along W at a time, as few as even tiles allow. */
function rowOfTiles(g: Geometry, most: number, TAPS_W = g.KW) {
  const TILE_W = evenTile(g.OW / g.RW, most);
  return {
    TILE_W, SPAN_W: (TILE_W - 1) * g.SW + TAPS_W,
    ACROSS: tilesOf(g.OW, g.RW, TILE_W), FULL_W: Number(g.OW % (TILE_W * g.RW) === 0),
  };
}

/** How many rows a tile goes down: at most `height`, and few enough that no batch of workgroups stays empty. */
function rowsDown({ N, OH, RH }: Geometry, height: number, workgroupsAcross: number) {
  const count = Math.ceil(OH / RH);
  const most = Math.max(LEAST_ROWS, Math.ceil(count * N * RH * workgroupsAcross / BATCHES));
  const TILE_ROWS = evenTile(count, Math.min(height, most));
  return { TILE_ROWS, DOWN: tilesOf(OH, RH, TILE_ROWS) };
}

/**
 * The tile of a depthwise kernel, how many tiles there are, and what a pixel costs where invocations go down rows. Taps
 * are taken at once, or a part of a row in each round.
 */
export function depthwiseTile(g: Geometry, { height = 1, width = 1, group }: Tile) {
  const { KH, KW, SH, SW } = g;
  const most = Math.min(width, widthOf(g, MAX_FRESH / freshRows(g)));
  const atOnce = KH * KW <= MAX_HELD_TAPS && KH * rowOfTiles(g, most).SPAN_W <= MAX_WINDOW;
  const [TAPS_H, TAPS_W] = atOnce ? [KH, KW] : [1, divisor(KW, MAX_TILE_TAPS)];
  const [ROUNDS_H, ROUNDS_W] = [KH / TAPS_H, KW / TAPS_W];
  const { TILE_W, SPAN_W, ACROSS, FULL_W } = rowOfTiles(g, most, TAPS_W);
  const workgroups = ACROSS * channelStride(g) / channelLanes(g).LANES / (group[0] * group[1]);
  const rows = rowsDown(g, height, workgroups);
  const [CARRIED, FRESH] = atOnce && rows.TILE_ROWS > 1 ? carriedRows(g) : [0, TAPS_H];
  const loads = ROUNDS_H * ROUNDS_W * (FRESH * SPAN_W + (atOnce ? 0 : TAPS_W)) / TILE_W;
  return {
    constants: { SH, SW, RATED: isRated(g), TAPS_H, TAPS_W, ROUNDS_H, ROUNDS_W, TILE_W },
    params: { ...rows, ACROSS }, tiles: g.N * rows.DOWN * ACROSS, SPAN_W, CARRIED, FULL_W,
    cost: channelStride(g) / 4 * (depthwiseCost(g, loads, CARRIED * SPAN_W / TILE_W) + COSTS.vectorStore / 4),
  };
}

/** The largest divisor of `count` that is at most `most`. */
export function divisor(count: number, most: number): number {
  let candidate = Math.min(count, most);
  while (count % candidate !== 0) candidate--;
  return candidate;
}

/** The taps that a run of outputs along W takes at once, and the input columns that it reads then. */
export function runOf({ KW, SW }: Geometry, TILE_W: number) {
  const TAPS = Math.min(KW, MAX_TAPS);
  return { constants: { SW, TAPS, TILE_W }, SPAN: (TILE_W - 1) * SW + TAPS };
}

/** How many tiles of so many outputs, a rate apart, cover an extent. */
export const tilesOf = (extent: number, rate: number, outputs: number): number =>
  rate * Math.ceil(extent / (outputs * rate));

/** The tile of at most `most` that covers `count` in as few and as even tiles as can be. */
export function evenTile(count: number, most: number): number {
  return Math.ceil(count / Math.ceil(count / Math.max(1, Math.floor(most))));
}
