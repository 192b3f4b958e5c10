import { channelLanes, channelStride, depthwiseTile } from './cuts.js';
import type { Kernel } from './kernel.js';
import { bytesOf, extrasOf, loadLibrary, withOffsets } from './params.js';

/** Takes any geometry: `[N, H, W, C]` to the intermediate `[N, OH, OW, K_STRIDE]`, or alone to the output. */
export const depthwise: Kernel = {
  name: 'depthwise',
  load: () => import('../../shaders/depthwise.wgsl?raw'),
  loadLibrary,
  operands: ['input', 'depthwiseFilter', 'depthwiseBias', 'intermediate'],
  cut(g, tile) {
    const { constants, params, SPAN_W, FRESH, tiles, cost } = depthwiseTile(g, tile);
    const { TAPS_H, TILE_W, ROUNDS_H, ROUNDS_W } = constants;
    const rows = params.TILE_ROWS;
    const tapRows = ROUNDS_H * ROUNDS_W * (TAPS_H + (rows - 1) * FRESH);
    const lanes = channelLanes(g);
    const { group } = tile;
    const WORKGROUP = group[0] * group[1];
    const { input, intermediate } = bytesOf(g);
    const [last, more] = [g.passes === 'depthwise', extrasOf(g)];
    return {
      constants: {
        ...lanes, ...constants, WORKGROUP, ...(last && { ...more.constants, ...(g.dtype === 'f16' && { LAST: 1 }) }),
      },
      ...(last && { extras: more.extras }),
      bodies: { activation: g.depthwiseActivation.kind }, elem: g.dtype,
      params: { ...withOffsets(g), ...params, FIRST_TAP: 0, TAP_STEP: 1 },
      workgroups: Math.ceil(tiles * (channelStride(g) / lanes.LANES) / WORKGROUP), group, cost,
      effort: {
        multiplyAdds: WORKGROUP * rows * TILE_W * g.KH * g.KW * lanes.LANES,
        accesses: WORKGROUP * (tapRows * SPAN_W + g.KH * g.KW + rows * TILE_W),
        vectors: rows * TILE_W + SPAN_W, tapRows, traffic: input + intermediate,
      },
    };
  },
};
