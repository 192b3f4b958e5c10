import type { Geometry } from '../arguments/geometry.js';
import {
  channelLanes, evenTile, freshRows, fusedQuadsTake, fusedQuadTile, isRated, outputLanes, powerOf2, QUAD, runOf,
  tilesOf,
} from './cuts.js';
import type { Kernel } from './kernel.js';
import { extrasOf, loadLibrary, passBytes, withOffsets } from './params.js';

/** Both passes in one: `[N, H, W, C]` to `[N, OH, OW, O]`. */

const operands = ['input', 'depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias', 'output'] as const;

const trafficOf = (g: Geometry): number => passBytes(g, 'input');

/** A cut with what a geometry has beside. */
const complete = (cut: Kernel['cut']): Kernel['cut'] => (g, tile) => {
  const one = cut(g, tile);
  const { constants, ...more } = extrasOf(g);
  return {
    ...one, ...more, constants: { ...one.constants, ...constants },
    bodies: { depthwiseActivation: g.depthwiseActivation.kind, activation: g.activation.kind },
  };
};

/** Each invocation has a run of pixels in registers. */
export const fused: Kernel = {
  name: 'fused',
  load: () => import('../../shaders/fused.wgsl?raw'),
  loadLibrary,
  operands,
  cut: complete((g, { width = 1, columns = 1, group }) => {
    const { constants: row, SPAN } = runOf(g, evenTile(g.OW / g.RW, width));
    const OUTPUT_LANES = outputLanes(g);
    const COLUMNS = evenTile(g.O / OUTPUT_LANES, columns / OUTPUT_LANES);
    const WORKGROUP = group[0] * group[1];
    const tiles = g.N * g.OH * tilesOf(g.OW, g.RW, row.TILE_W) * Math.ceil(g.O / OUTPUT_LANES / COLUMNS);
    const { TILE_W, TAPS } = row;
    const tapRows = Math.ceil(g.K / channelLanes(g).LANES) * g.KH * Math.ceil(g.KW / TAPS);
    return {
      constants: { ...channelLanes(g), OUTPUT_LANES, ...row, COLUMNS, WORKGROUP },
      elem: g.dtype, params: withOffsets(g), group, workgroups: Math.ceil(tiles / WORKGROUP),
      effort: {
        multiplyAdds: WORKGROUP * TILE_W * g.K * (COLUMNS * OUTPUT_LANES + g.KH * g.KW),
        accesses: WORKGROUP * (tapRows * (SPAN + TAPS) + g.K * COLUMNS + TILE_W * COLUMNS),
        vectors: (TILE_W + 1) * COLUMNS * OUTPUT_LANES / 4 + SPAN, tapRows, traffic: trafficOf(g),
      },
    };
  }),
};

/** Quads go down rows with weights held, and share depthwise results. */
export const fusedQuad: Kernel = {
  name: 'fused-quad',
  load: () => import('../../shaders/fused-quad.wgsl?raw'),
  loadLibrary,
  operands: ['input', 'depthwiseFilter', 'depthwiseBias', 'filterTexture', 'nearest', 'bias', 'output'],
  fits: fusedQuadsTake,
  cut: complete((g, tile) => {
    const { constants, params, tiles, cost } = fusedQuadTile(g, tile);
    return {
      constants, params: { ...withOffsets(g), ...params }, group: [QUAD, 1], workgroups: tiles, cost,
    };
  }),
};

/** Workgroups compute depthwise results into their memory, and multiply them from there. */
export const fusedTiled: Kernel = {
  name: 'fused-tiled',
  load: () => import('../../shaders/fused-tiled.wgsl?raw'),
  loadLibrary,
  operands,
  cut: complete((g, tile) => {
    const { width = 1, pixels: TILE_PIXELS = 1, columns = 1, chunk: CHUNK = 4, slices: SLICES = 1, group } = tile;
    const { constants: row, SPAN } = runOf(g, width);
    const OUTPUT_LANES = outputLanes(g);
    const COLUMNS = Math.max(1, columns / OUTPUT_LANES);
    const [GROUP_X, GROUP_Y] = group;
    const SUMS = TILE_PIXELS * COLUMNS;
    const { TILE_W, TAPS } = row;
    const { LANES } = channelLanes(g);
    const INVOCATIONS = GROUP_X * GROUP_Y * SLICES;
    const runs = TILE_PIXELS * GROUP_Y / TILE_W;
    const across = tilesOf(g.OW, g.RW, TILE_W);
    const outputTiles = Math.ceil(g.O / (COLUMNS * OUTPUT_LANES * GROUP_X));
    const rounds = Math.ceil(g.K / CHUNK);
    const turns = rounds * Math.ceil(Math.min(g.K, CHUNK) / 4 / SLICES);
    const rowsOfRun = g.KH * Math.ceil(g.KW / TAPS);
    const items = runs * CHUNK / LANES; // Depthwise results of a round, in packs: shared out among all invocations.
    const handed = SLICES > 1 ? SLICES / 2 * GROUP_X * GROUP_Y * SUMS : 0;
    return {
      constants: {
        ...channelLanes(g), OUTPUT_LANES, KH: g.KH, KW: g.KW, ...row, RATED: isRated(g),
        TILE_PIXELS, COLUMNS, GROUP_X, GROUP_Y, CHUNK, SLICES,
      },
      elem: g.dtype, params: { ...withOffsets(g), ACROSS: across }, group: [GROUP_X, GROUP_Y * SLICES],
      memory: 4 * CHUNK * TILE_PIXELS * GROUP_Y + 4 * OUTPUT_LANES * handed,
      workgroups: Math.ceil(g.N * g.OH * across / runs) * outputTiles,
      effort: {
        multiplyAdds: TILE_PIXELS * GROUP_Y * g.K * (COLUMNS * OUTPUT_LANES * GROUP_X + g.KH * g.KW),
        accesses: rounds * items * (rowsOfRun * (SPAN + TAPS) + TILE_W)
          + INVOCATIONS * (4 * turns * (TILE_PIXELS / LANES + COLUMNS) + (SLICES > 1 ? 2 * SUMS : 0)),
        vectors: (SUMS + 4 * COLUMNS) * OUTPUT_LANES / 4 + SPAN,
        turns, tapRows: rounds * Math.ceil(items / INVOCATIONS) * rowsOfRun,
        halvings: Math.log2(SLICES), traffic: trafficOf(g),
      },
    };
  }),
};

/** The most k and taps of the kernel that goes down rows, and runs that lie side by side in its strips. */
const [MOST_CHANNELS, MOST_TAPS, MOST_RUNS] = [128, 25, 16];
/** Its k are a power of two, so that there are few variants. */
const chunkOf = ({ K }: Geometry): number => Math.max(16, powerOf2('ceil', K));

/** Workgroups go down rows with sums of begun rows carried; every invocation has one pack of k of one run. */
export const fusedRows: Kernel = {
  name: 'fused-rows',
  load: () => import('../../shaders/fused-rows.wgsl?raw'),
  loadLibrary,
  operands,
  fits: (g, { limits }) => !g.inputScale && !g.residual && g.K <= MOST_CHANNELS && g.KH * g.KW <= MOST_TAPS
    && chunkOf(g) <= channelLanes(g).LANES * powerOf2('floor', Math.min(128, limits.maxComputeInvocationsPerWorkgroup)),
  cut: complete((g, { width = 1, height = 1, columns = 1, group }) => {
    const { KH, KW, SH, SW } = g;
    const { INPUT_LANES, LANES } = channelLanes(g);
    const [GROUP_X, GROUP_Y] = group;
    const OUTPUT_LANES = outputLanes(g);
    const CHUNK = chunkOf(g);
    const FRESH = freshRows(g);
    const COLUMNS = Math.max(1, Math.min(columns / OUTPUT_LANES, Math.ceil(g.O / OUTPUT_LANES / GROUP_X)));
    const most = Math.min(MOST_RUNS, GROUP_X * GROUP_Y * LANES / CHUNK);
    const TILE_W = Math.max(width, GROUP_Y / most);
    const across = tilesOf(g.OW, g.RW, TILE_W);
    // Strips are as even as can be: 112 is twice 56.
    const TILE_PIXELS = Math.ceil(evenTile(across, most) * TILE_W / GROUP_Y);
    const runs = TILE_PIXELS * GROUP_Y / TILE_W;
    const SPAN_W = (TILE_W - 1) * SW + KW;
    const LEAD = Math.ceil(KH / FRESH) - 1;
    const rows = evenTile(g.OH / g.RH, height);
    const down = tilesOf(g.OH, g.RH, rows);
    const packs = Math.ceil(g.K / LANES);
    const turns = rows * Math.ceil(g.K / 4);
    return {
      constants: {
        INPUT_LANES, LANES, OUTPUT_LANES, SH, SW, RATED: isRated(g), TAPS_H: KH, TAPS_W: KW, FRESH,
        TILE_W, TILE_PIXELS, COLUMNS, GROUP_X, GROUP_Y, CHUNK,
      },
      elem: g.dtype, params: { ...withOffsets(g), TILE_ROWS: rows, ACROSS: across, DOWN: down }, group,
      memory: 8 * CHUNK * runs * TILE_W,
      workgroups: g.N * down * Math.ceil(across / runs)
        * Math.ceil(g.O / (COLUMNS * OUTPUT_LANES * GROUP_X)),
      effort: {
        multiplyAdds: runs * TILE_W * g.K * (rows * COLUMNS * OUTPUT_LANES * GROUP_X + (rows + LEAD) * KH * KW),
        accesses: runs * packs * (rows + LEAD) * (FRESH * SPAN_W + KH * KW + TILE_W)
          + GROUP_X * GROUP_Y * 4 * turns * (TILE_PIXELS / LANES + COLUMNS),
        vectors: (TILE_PIXELS + 4) * COLUMNS * OUTPUT_LANES / 4 + (LEAD + 1) * TILE_W + FRESH * SPAN_W,
        turns, tapRows: (rows + LEAD) * FRESH, traffic: trafficOf(g),
      },
    };
  }),
};
