import type { Geometry } from '../arguments/geometry.js';
import { channelLanes, evenTile, fusedQuadsTake, fusedQuadTile, outputLanes, QUAD, rowTile, rowTiles } from './cuts.js';
import type { Kernel } from './kernel.js';
import { withOffsets } from './params.js';

/** Both passes in one: `[N, H, W, C]` to `[N, OH, OW, O]`. */

const operands = ['input', 'depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias', 'output'] as const;
const loadLibrary: Kernel['loadLibrary'] = () => import('../../shaders/activations.wgsl?raw');

const bodiesOf = ({ depthwiseActivation, activation }: Geometry) =>
  ({ depthwiseActivation: depthwiseActivation.kind, activation: activation.kind });

/** Each invocation has a run of pixels in registers. */
export const fused: Kernel = {
  name: 'fused',
  load: () => import('../../shaders/fused.wgsl?raw'),
  loadLibrary,
  operands,
  cut(g, { width = 1, columns = 1, group }) {
    const row = rowTile(g, width);
    const OUTPUT_LANES = outputLanes(g);
    const COLUMNS = evenTile(g.O / OUTPUT_LANES, columns / OUTPUT_LANES);
    const WORKGROUP = group[0] * group[1];
    const outputTiles = Math.ceil(g.O / OUTPUT_LANES / COLUMNS);
    const tiles = g.N * g.OH * rowTiles(g, row.TILE_W) * outputTiles;
    return {
      constants: { ...channelLanes(g), OUTPUT_LANES, ...row, COLUMNS, WORKGROUP }, bodies: bodiesOf(g), elem: g.dtype,
      params: withOffsets(g), group, workgroups: Math.ceil(tiles / WORKGROUP), outputTiles,
    };
  },
};

/** Quads go down rows with weights held, and share depthwise results. */
export const fusedQuad: Kernel = {
  name: 'fused-quad',
  load: () => import('../../shaders/fused-quad.wgsl?raw'),
  loadLibrary,
  operands: ['input', 'depthwiseFilter', 'depthwiseBias', 'filterTexture', 'nearest', 'bias', 'output'],
  fits: fusedQuadsTake,
  cut(g, tile) {
    const { constants, params, tiles, outputTiles, cost } = fusedQuadTile(g, tile);
    return {
      constants, bodies: bodiesOf(g), params: { ...withOffsets(g), ...params }, group: [QUAD, 1], workgroups: tiles,
      outputTiles, cost,
    };
  },
};

/** Workgroups compute depthwise results into their memory, and multiply them from there. */
export const fusedTiled: Kernel = {
  name: 'fused-tiled',
  load: () => import('../../shaders/fused-tiled.wgsl?raw'),
  loadLibrary,
  operands,
  cut(g, { width = 1, pixels: TILE_PIXELS = 1, columns = 1, chunk: CHUNK = 4, slices: SLICES = 1, group }) {
    const row = rowTile(g, width, 'exactly');
    const OUTPUT_LANES = outputLanes(g);
    const COLUMNS = Math.max(1, columns / OUTPUT_LANES);
    const [GROUP_X, GROUP_Y] = group;
    const SUMS = TILE_PIXELS * COLUMNS;
    const runs = g.N * g.OH * rowTiles(g, row.TILE_W);
    const outputTiles = Math.ceil(g.O / (COLUMNS * OUTPUT_LANES * GROUP_X));
    const handed = SLICES > 1 ? SLICES / 2 * GROUP_X * GROUP_Y * SUMS : 1;
    return {
      constants: {
        ...channelLanes(g), OUTPUT_LANES, ...row, TILE_PIXELS, COLUMNS, GROUP_X, GROUP_Y, CHUNK, SLICES, SUMS,
      },
      bodies: bodiesOf(g), elem: g.dtype, params: withOffsets(g), group: [GROUP_X, GROUP_Y * SLICES], outputTiles,
      memory: 4 * CHUNK * TILE_PIXELS * GROUP_Y + 4 * OUTPUT_LANES * handed,
      workgroups: Math.ceil(runs / (TILE_PIXELS * GROUP_Y / row.TILE_W)) * outputTiles,
    };
  },
};
