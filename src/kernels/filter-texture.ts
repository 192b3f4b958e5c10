import type { Geometry } from '../arguments/geometry.js';
import type { Kernel } from './kernel.js';

/** Copies a matrix `[K, O]` into a texture of 4 columns a texel. */
export const filterTexture: Kernel<Pick<Geometry, 'K' | 'O'>> = {
  name: 'filter-texture',
  load: () => import('../../shaders/filter-texture.wgsl?raw'),
  operands: ['pointwiseFilter', 'filterTexture'],
  cut({ K, O }, { group }) {
    const WORKGROUP = group[0] * group[1];
    return {
      constants: { WORKGROUP }, params: { K, O, ROW_STRIDE: O, COLUMN_STRIDE: 1 }, group,
      workgroups: Math.ceil(K * Math.ceil(O / 4) / WORKGROUP),
    };
  },
};
