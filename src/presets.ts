import { elements, type Geometry, outputShape } from './geometry.js';
import { areaLoads, type KernelName, quadColumns, type Tiles } from './kernels.js';

/** Software adapters (SwiftShader, lavapipe) and GPUs want opposite tiles. */
export type AdapterKind = 'software' | 'gpu';

/** What the plan needs to know of a device. */
export interface DeviceProfile {
  readonly kind: AdapterKind;
  /** Whether the device has the feature `subgroups`. */
  readonly subgroups: boolean;
  readonly limits: Pick<GPUSupportedLimits,
    'maxStorageBufferBindingSize' | 'maxBufferSize' | 'maxComputeWorkgroupsPerDimension' | 'maxComputeInvocationsPerWorkgroup'>;
}

/**
 * Largest tiles per kind of adapter. On SwiftShader a load costs as much as 30 multiply-adds, so that large register
 * tiles win although they spill: a product of 784x256x256 takes 9.7 ms with 28x64 a quad, 13.9 with 14x32. But the former
 * compiles for 1 s, the latter for 0.2, so that small convolutions get light tiles. On a GPU more than about 64 registers
 * per invocation cost occupancy.
 */
export const presets: Readonly<Record<AdapterKind | 'light', Tiles>> = {
  software: {
    workgroup: 16, depthwise: { height: 4, width: 7 }, pointwise: { rows: 28, columns: 16 }, fused: { width: 7, columns: 32 },
    'pointwise-quad': { rows: 28, columns: 64 }, 'fused-quad': { height: 4, width: 7, columns: 64 },
  },
  light: {
    workgroup: 16, depthwise: { height: 2, width: 4 }, pointwise: { rows: 7, columns: 16 }, fused: { width: 7, columns: 16 },
    'pointwise-quad': { rows: 14, columns: 32 }, 'fused-quad': { height: 2, width: 4, columns: 32 },
  },
  gpu: {
    workgroup: 64, depthwise: { height: 1, width: 4 }, pointwise: { rows: 4, columns: 8 }, fused: { width: 4, columns: 16 },
    'pointwise-quad': { rows: 4, columns: 32 }, 'fused-quad': { height: 2, width: 2, columns: 32 },
  },
};

/** Multiply-adds below which a convolution takes about 2 ms on SwiftShader, so that compiling for a second never pays. */
const LIGHT = 8e6;

/** The preset for a convolution, within the device's limits. */
export function tilesFor(geometry: Geometry, { kind, limits }: DeviceProfile): Tiles {
  const work = elements(outputShape(geometry)) * geometry.K;
  const tiles = presets[kind === 'software' && work < LIGHT ? 'light' : kind];
  return { ...tiles, workgroup: Math.min(tiles.workgroup, limits.maxComputeInvocationsPerWorkgroup) };
}

/** Quads pay where loads are dear; on a GPU a workgroup of four invocations would leave most of a subgroup idle. */
export function kernelsOf(strategy: 'fused' | 'two-pass', { kind, subgroups }: DeviceProfile): readonly KernelName[] {
  const quads = kind === 'software' && subgroups;
  if (strategy === 'fused') return [quads ? 'fused-quad' : 'fused'];
  return ['depthwise', quads ? 'pointwise-quad' : 'pointwise'];
}

/**
 * Whether one kernel or two take less time. The fused one computes the depthwise pass again for every tile of output
 * channels, but never stores its result or loads it. On SwiftShader what counts is loads: for each depthwise value the
 * passes apart take those of the depthwise kernel, a store, and a load per tile of output channels. At 3x3 and stride 1
 * that lets the fused kernel win up to 128 output channels, as measured. Without quads its loads are not shared, and it
 * loses. On a GPU (not measured) it gets the layers whose output channels fit one tile.
 */
export function chooseStrategy(geometry: Geometry, profile: DeviceProfile): 'fused' | 'two-pass' {
  const tiles = tilesFor(geometry, profile);
  if (profile.kind === 'gpu') return geometry.O <= tiles.fused.columns ? 'fused' : 'two-pass';
  if (!profile.subgroups) return 'two-pass';
  const { columnTiles } = quadColumns(geometry, tiles['fused-quad'].columns);
  const fused = columnTiles * areaLoads('fused-quad', geometry, tiles);
  const apart = areaLoads('depthwise', geometry, tiles) + 1 + columnTiles;
  return fused < apart ? 'fused' : 'two-pass';
}
