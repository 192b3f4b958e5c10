import type { Geometry } from '../arguments/geometry.js';
import { channelStride, divisor, evenTile, isRated, MAX_TILE_TAPS, powerOf2, tilesOf } from './cuts.js';
import type { Tile } from './kernel.js';

/** 4 where all of the channels are a multiple of it, else 1. */
export const lanesOf = (...channels: readonly number[]): number => (channels.every((count) => count % 4 === 0) ? 4 : 1);

/**
 * A tile along H and W, and how many there are. Strides and large filters make tiles smaller, to bound the code: 4x7
 * outputs at 5x5 would compile for 2 s on SwiftShader.
 */
export function areaTile(
  { N, KH, KW, SH, SW, OH, OW, RH, RW }: Geometry, { height = 1, width = 1, taps = MAX_TILE_TAPS }: Tile,
) {
  const TAPS_W = divisor(KW, taps);
  const TAPS_H = divisor(KH, Math.floor(taps / TAPS_W));
  const TILE_H = evenTile(OH / RH, Math.ceil(height / SH / (TAPS_H * TAPS_W > 9 ? 2 : 1)));
  const TILE_W = evenTile(OW / RW, Math.ceil(width / SW));
  const [ACROSS, DOWN] = [tilesOf(OW, RW, TILE_W), tilesOf(OH, RH, TILE_H)];
  return {
    tiles: N * DOWN * ACROSS, params: { ACROSS, DOWN },
    constants: { SH, SW, RATED: isRated({ RH, RW }), TAPS_H, TAPS_W, TILE_H, TILE_W },
  };
}

/** How many phases of a stride an invocation takes at once, along one axis. */
const MAX_PHASES = 3;

/** The tile of the transposed depthwise pass, and how many there are; bounded as `areaTile` is. */
export function transposedTile(
  { N, H, W, KH, KW, SH, SW, RH, RW, padTop, padLeft }: Geometry,
  { height = 1, width = 1, taps = MAX_TILE_TAPS }: Tile,
) {
  const [PHASES_H, PHASES_W] = [divisor(SH, MAX_PHASES), divisor(SW, MAX_PHASES)];
  const TAPS_W = divisor(Math.ceil(KW / SW), Math.floor(taps / PHASES_W));
  const TAPS_H = divisor(Math.ceil(KH / SH), Math.max(1, Math.floor(taps / (TAPS_W * PHASES_W * PHASES_H))));
  const cells = (extent: number, pad: number, stride: number) =>
    Math.floor((pad + extent - 1) / stride) - Math.floor(pad / stride) + 1;
  const [down, across] = [cells(H, padTop, SH), cells(W, padLeft, SW)];
  const large = TAPS_H * PHASES_H * TAPS_W * PHASES_W > 16;
  const TILE_H = evenTile(down / RH, height / PHASES_H / (large ? 2 : 1));
  const TILE_W = evenTile(across / RW, width / PHASES_W);
  const [ACROSS, DOWN] = [tilesOf(across, RW, TILE_W), tilesOf(down, RH, TILE_H)];
  return {
    tiles: N * DOWN * ACROSS * (SH / PHASES_H) * (SW / PHASES_W), params: { ACROSS, DOWN },
    constants: { SH, SW, RATED: isRated({ RH, RW }), PHASES_H, PHASES_W, TAPS_H, TAPS_W, TILE_H, TILE_W },
  };
}

/**
 * The tile of the pointwise filter's gradient through workgroup memory, and how many there are. With few channels a
 * tile takes fewer invocations and less memory: then there are more slices instead, and more pixels a round.
 */
export function sharedTile(
  g: Geometry, outputStride: number,
  { pixels = 4, columns = 4, slices = 1, chunk = 1, group: [x, y] }: Tile,
) {
  const [packsK, packsO] = [channelStride(g) / 4, outputStride / 4];
  const [ROWS, COLUMNS] = [evenTile(packsK, pixels / 4), evenTile(packsO, columns / 4)];
  const GROUP_Y = Math.min(y, powerOf2('ceil', packsK / ROWS));
  const GROUP_X = Math.min(x, powerOf2('ceil', packsO / COLUMNS));
  const [down, across] = [ROWS * GROUP_Y, COLUMNS * GROUP_X];
  const SLICES = slices * (x / GROUP_X) * (y / GROUP_Y);
  const CHUNK = chunk * powerOf2('floor', (pixels / 4 * y + columns / 4 * x) / (down + across));
  return {
    tiles: Math.ceil(packsK / down) * Math.ceil(packsO / across),
    workgroup: x * y * slices,
    memory: 16 * Math.max(CHUNK * (down + across), SLICES / 2 * GROUP_X * GROUP_Y * 4 * ROWS * COLUMNS),
    constants: { ROWS, COLUMNS, GROUP_X, GROUP_Y, SLICES, CHUNK },
  };
}
