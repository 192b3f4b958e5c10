import type { Geometry } from '../arguments/geometry.js';
import { channelStride, evenTile, fewPixels, outputLanes, pointwiseQuadTile, QUAD, quadsTake } from './cuts.js';
import type { Cut, Kernel, Tile } from './kernel.js';
import { extrasOf, loadLibrary, passBytes, withOffsets } from './params.js';

/** From the intermediate `[N, OH, OW, K_STRIDE]`, or alone from the input `[N, H, W, C]`, to `[N, OH, OW, O]`. */

const operands = ['intermediate', 'pointwiseFilter', 'bias', 'output'] as const;

const trafficOf = (g: Geometry): number => passBytes(g, 'intermediate');

/** What variants that read the caller's input have in other ways than those that read the intermediate. */
const strideConstant = ({ passes, SH, SW }: Geometry) => (passes === 'pointwise' && SH * SW > 1 && { STRIDED: 1 });
const inputConstants = (g: Geometry) => (g.passes === 'pointwise' && {
  ...strideConstant(g), ...(g.C % 4 !== 0 && { INPUT_LANES: 1 }), ...(g.dtype === 'f16' && { FIRST: 1 }),
});
/**
 * A cut with what a geometry has beside. Factors of input channels are those of one image: then each image has
 * workgroups of its own, and is cut up alone.
 */
const complete = (cut: Kernel['cut'], own = inputConstants): Kernel['cut'] => (g, tile) => {
  const one = cut(g.inputScale ? { ...g, N: 1 } : g, tile);
  const { constants, ...more } = extrasOf(g);
  return {
    ...one, ...more, constants: { ...one.constants, ...own(g), ...constants },
    bodies: { activation: g.activation.kind },
    ...(g.inputScale && { images: g.N }),
  };
};

/** Each invocation has a tile in registers. */
export const pointwise: Kernel = {
  name: 'pointwise',
  load: () => import('../../shaders/pointwise.wgsl?raw'),
  loadLibrary,
  operands,
  cut: complete((g, { pixels: most = 1, columns = 1, group }) => {
    const LANES = outputLanes(g);
    const pixels = g.N * g.OH * g.OW;
    const TILE_PIXELS = fewPixels(pixels, most);
    const COLUMNS = evenTile(g.O / LANES, columns / LANES);
    const WORKGROUP = group[0] * group[1];
    return {
      constants: { LANES, TILE_PIXELS, COLUMNS, WORKGROUP },
      elem: g.dtype, params: withOffsets(g), group,
      workgroups: Math.ceil(Math.ceil(pixels / TILE_PIXELS) * Math.ceil(g.O / LANES / COLUMNS) / WORKGROUP),
      effort: {
        multiplyAdds: WORKGROUP * TILE_PIXELS * COLUMNS * LANES * g.K,
        accesses: WORKGROUP * (Math.ceil(g.K / 4) * (TILE_PIXELS + 4 * COLUMNS) + TILE_PIXELS * COLUMNS),
        vectors: (TILE_PIXELS + 4) * COLUMNS * LANES / 4, turns: Math.ceil(g.K / 4), traffic: trafficOf(g),
      },
    };
  }),
};

/** Quads hold weights, which come from a texture, and share what they load of the input. */
export const pointwiseQuad: Kernel = {
  name: 'pointwise-quad',
  load: () => import('../../shaders/pointwise-quad.wgsl?raw'),
  loadLibrary,
  operands: ['intermediate', 'filterTexture', 'nearest', 'bias', 'output'],
  fits: quadsTake,
  cut: complete((g, tile) => {
    const { constants, params, tiles, cost } = pointwiseQuadTile(g, tile);
    return {
      constants, group: [QUAD, 1], workgroups: tiles, cost,
      params: { ...withOffsets(g), ...params, PIXEL_STRIDE: channelStride(g), K_STEP: 1 },
    };
  }, strideConstant),
};

/** Pixels by output channels of a workgroup's invocations, and how many workgroups have them all. */
function groupTile(g: Geometry, { pixels: TILE_PIXELS = 1, columns = 1, group: [GROUP_X, GROUP_Y] }: Tile) {
  const LANES = outputLanes(g);
  const COLUMNS = Math.max(1, columns / LANES);
  const [down, across] = [TILE_PIXELS * GROUP_Y, COLUMNS * LANES * GROUP_X];
  return {
    constants: { LANES, TILE_PIXELS, COLUMNS, GROUP_X, GROUP_Y },
    workgroups: Math.ceil(g.N * g.OH * g.OW / down) * Math.ceil(g.O / across),
  };
}

/** Workgroups share tiles of both operands in their memory. */
export const pointwiseTiled: Kernel = {
  name: 'pointwise-tiled',
  load: () => import('../../shaders/pointwise-tiled.wgsl?raw'),
  loadLibrary,
  operands,
  cut: complete((g, tile) => {
    const { chunk: CHUNK = 4, ahead = false, group } = tile;
    const { constants, workgroups } = groupTile(g, tile);
    const { LANES, TILE_PIXELS, COLUMNS, GROUP_X, GROUP_Y } = constants;
    const WORKGROUP = GROUP_X * GROUP_Y;
    const [vectorsA, vectorsB] = [TILE_PIXELS * GROUP_Y * CHUNK / 4, CHUNK * COLUMNS * GROUP_X];
    return {
      constants: { ...constants, CHUNK, AHEAD: Number(ahead) },
      elem: g.dtype, params: withOffsets(g), group, workgroups,
      memory: 16 * vectorsA + 4 * LANES * vectorsB,
      effort: {
        multiplyAdds: TILE_PIXELS * COLUMNS * LANES * WORKGROUP * g.K,
        accesses: Math.ceil(g.K / CHUNK)
          * (2 * (vectorsA + vectorsB) + WORKGROUP * CHUNK / 4 * (TILE_PIXELS + 4 * COLUMNS)),
        vectors: (TILE_PIXELS + 4) * COLUMNS * LANES / 4 + (ahead ? (vectorsA + vectorsB) / WORKGROUP : 0),
        traffic: trafficOf(g),
      },
    };
  }),
};

/** `shuffled`: slices that add their sums by shuffles, 4 or 1. */
function splitCut(g: Geometry, tile: Tile, shuffled: 4 | 1): Cut {
  const { constants, workgroups } = groupTile(g, tile);
  const { LANES, TILE_PIXELS, COLUMNS, GROUP_X, GROUP_Y } = constants;
  const SUMS = TILE_PIXELS * COLUMNS;
  const SLICES = Math.max(shuffled, tile.slices ?? 1);
  const handed = Math.floor(SLICES / shuffled / 2);
  const INVOCATIONS = GROUP_X * GROUP_Y * SLICES;
  const turns = Math.ceil(g.K / 4 / SLICES);
  return {
    constants: { ...constants, SLICES, SHUFFLED: shuffled },
    elem: g.dtype, params: withOffsets(g), workgroups,
    group: [GROUP_X, GROUP_Y * SLICES],
    memory: 4 * handed * GROUP_X * GROUP_Y * SUMS * LANES + (shuffled > 1 ? 4 : 0),
    effort: {
      multiplyAdds: GROUP_X * GROUP_Y * SUMS * LANES * g.K,
      accesses: INVOCATIONS * (turns * (TILE_PIXELS + 4 * COLUMNS) + 2 * SUMS / shuffled),
      vectors: (SUMS + 4 * COLUMNS) * LANES / 4, turns, halvings: Math.log2(SLICES / shuffled), traffic: trafficOf(g),
    },
  };
}

/** Slices of a workgroup have parts of K each, straight from memory, and add their sums at the end. */
export const pointwiseSplit: Kernel = {
  name: 'pointwise-split',
  load: () => import('../../shaders/pointwise-split.wgsl?raw'),
  loadLibrary,
  operands,
  fits: (_, { limits }) => limits.maxComputeInvocationsPerWorkgroup >= 2,
  cut: complete((g, tile) => splitCut(g, tile, 1)),
};

/** The same where there are subgroups: four slices on neighbouring lanes add their sums by shuffles. */
export const pointwiseShuffled: Kernel = {
  ...pointwiseSplit,
  fits: (_, { subgroups, limits }) => subgroups && limits.maxComputeInvocationsPerWorkgroup >= 4,
  cut: complete((g, tile) => splitCut(g, tile, 4)),
};
