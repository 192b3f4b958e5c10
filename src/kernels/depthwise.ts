import type { Geometry } from '../arguments/geometry.js';
import { channelLanes, channelStride, depthwiseBlock, depthwiseTile } from './cuts.js';
import type { Cut, Kernel, Tile } from './kernel.js';
import { bytesOf, extrasOf, loadLibrary, withOffsets } from './params.js';

/** Take any geometry: `[N, H, W, C]` to the intermediate `[N, OH, OW, K_STRIDE]`, or alone to the output. */

const operands = ['input', 'depthwiseFilter', 'depthwiseBias', 'intermediate'] as const;

/** A cut into invocations of `rows` x TILE_W outputs. `loads`: their loads of input, in `tapRows` rows of SPAN_W. */
function complete(
  g: Geometry, { group }: Tile,
  { constants, params, rows, SPAN_W, tapRows, tiles, cost }: {
    readonly constants: Readonly<Record<string, number>> & { readonly TILE_W: number };
    readonly params?: Cut['params'];
    readonly rows: number; readonly SPAN_W: number; readonly tapRows: number; readonly tiles: number;
    readonly cost?: number;
  },
): Cut {
  const lanes = channelLanes(g);
  const WORKGROUP = group[0] * group[1];
  const { input, intermediate } = bytesOf(g);
  const [last, more] = [g.passes === 'depthwise', extrasOf(g)];
  const outputs = rows * constants.TILE_W;
  return {
    constants: {
      ...lanes, ...constants, WORKGROUP, ...(last && { ...more.constants, ...(g.dtype === 'f16' && { LAST: 1 }) }),
    },
    ...(last && { extras: more.extras }),
    bodies: { activation: g.depthwiseActivation.kind }, elem: g.dtype,
    params: { ...withOffsets(g), ...params, FIRST_TAP: 0, TAP_STEP: 1 },
    workgroups: Math.ceil(tiles * (channelStride(g) / lanes.LANES) / WORKGROUP), group,
    ...(cost !== undefined && { cost }),
    effort: {
      multiplyAdds: WORKGROUP * outputs * g.KH * g.KW * lanes.LANES,
      accesses: WORKGROUP * (tapRows * SPAN_W + g.KH * g.KW + outputs),
      vectors: outputs + SPAN_W, tapRows, traffic: input + intermediate,
    },
  };
}

/** Invocations go down rows. */
export const depthwise: Kernel = {
  name: 'depthwise',
  load: () => import('../../shaders/depthwise.wgsl?raw'),
  loadLibrary,
  operands,
  cut: (g, tile) => complete(g, tile, depthwiseTile(g, tile)),
};

/** Invocations have few outputs each. */
export const depthwiseBlocks: Kernel = {
  name: 'depthwise-block',
  load: () => import('../../shaders/depthwise-block.wgsl?raw'),
  loadLibrary,
  operands,
  cut: (g, tile) => complete(g, tile, depthwiseBlock(g, tile)),
};
