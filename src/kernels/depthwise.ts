import type { Geometry } from '../arguments/geometry.js';
import { channelLanes, channelStride, depthwiseTile } from './cuts.js';
import type { Kernel, Tile } from './kernel.js';
import { bytesOf, extrasOf, loadLibrary, withOffsets } from './params.js';

/** From `[N, H, W, C]` of any geometry to the intermediate `[N, OH, OW, K_STRIDE]`, or alone to the output. */
const operands = ['input', 'depthwiseFilter', 'depthwiseBias', 'intermediate'] as const;

/** A cut whose tiles are known, with what a kernel has of its own. */
function complete(
  g: Geometry, { group }: Tile, { constants, params, tiles }: ReturnType<typeof depthwiseTile>,
  own: Readonly<Record<string, number>>,
) {
  const lanes = channelLanes(g);
  const WORKGROUP = group[0] * group[1];
  const [last, more] = [g.passes === 'depthwise', extrasOf(g)];
  return {
    constants: {
      ...lanes, ...constants, ...own, WORKGROUP,
      ...(last && { ...more.constants, ...(g.dtype === 'f16' && { LAST: 1 }) }),
    },
    ...(last && { extras: more.extras }),
    bodies: { activation: g.depthwiseActivation.kind }, elem: g.dtype,
    params: { ...withOffsets(g), ...params, FIRST_TAP: 0, TAP_STEP: 1 },
    workgroups: Math.ceil(tiles * (channelStride(g) / lanes.LANES) / WORKGROUP), group,
  };
}

/** For software adapters: invocations go down rows. */
export const depthwise: Kernel = {
  name: 'depthwise',
  load: () => import('../../shaders/depthwise.wgsl?raw'),
  loadLibrary,
  operands,
  cut(g, tile) {
    const all = depthwiseTile(g, tile);
    const { CARRIED, FULL_W, cost } = all;
    return { ...complete(g, tile, all, { CARRIED, FULL_W }), cost };
  },
};

/** For GPUs: invocations have few outputs each. */
export const depthwiseBlocks: Kernel = {
  name: 'depthwise-block',
  load: () => import('../../shaders/depthwise-block.wgsl?raw'),
  loadLibrary,
  operands,
  cut(g, tile) {
    const all = depthwiseTile(g, tile);
    const { SPAN_W, params: { TILE_ROWS: TILE_H }, constants: { TAPS_H, ROUNDS_H, ROUNDS_W, TILE_W } } = all;
    const cut = complete(g, tile, all, { TILE_H });
    const { LANES, WORKGROUP } = cut.constants;
    const { input, intermediate } = bytesOf(g);
    const outputs = TILE_H * TILE_W;
    const tapRows = ROUNDS_H * ROUNDS_W * ((TILE_H - 1) * g.SH + TAPS_H);
    return {
      ...cut,
      effort: {
        multiplyAdds: WORKGROUP * outputs * g.KH * g.KW * LANES,
        accesses: WORKGROUP * (tapRows * SPAN_W + g.KH * g.KW + outputs),
        vectors: outputs + SPAN_W, tapRows, traffic: input + intermediate,
      },
    };
  },
};
