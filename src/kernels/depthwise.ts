import { channelLanes, channelStride, depthwiseTile } from './cuts.js';
import type { Kernel } from './kernel.js';
import { withOffsets } from './params.js';

/** Takes any geometry: `[N, H, W, C]` to the intermediate `[N, OH, OW, K_STRIDE]`, or alone to the output. */
export const depthwise: Kernel = {
  name: 'depthwise',
  load: () => import('../../shaders/depthwise.wgsl?raw'),
  loadLibrary: () => import('../../shaders/activations.wgsl?raw'),
  operands: ['input', 'depthwiseFilter', 'depthwiseBias', 'intermediate'],
  cut(g, tile) {
    const { constants, params, tiles, cost } = depthwiseTile(g, tile);
    const lanes = channelLanes(g);
    const { group } = tile;
    const WORKGROUP = group[0] * group[1];
    return {
      constants: {
        ...lanes, ...constants, WORKGROUP, ...(g.passes === 'depthwise' && g.dtype === 'f16' && { LAST: 1 }),
      },
      bodies: { activation: g.depthwiseActivation.kind }, elem: g.dtype,
      params: { ...withOffsets(g), ...params, FIRST_TAP: 0, TAP_STEP: 1 },
      workgroups: Math.ceil(tiles * (channelStride(g) / lanes.LANES) / WORKGROUP), group, cost,
    };
  },
};
