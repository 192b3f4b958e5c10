import { UnsupportedError } from './errors.js';
import { elements, type Geometry, operation, outputShape } from './geometry.js';
import { type KernelName, type Operand, type Variant, uniformData, variant } from './kernels.js';
import { chooseStrategy, type DeviceProfile, type PresetName, presetsFor, presetWithin } from './presets.js';
import { channelStride, type Tile } from './tiles.js';

/** How the two passes run: in one kernel, in two with the depthwise result in memory, or as the plan finds best. */
export type Strategy = 'auto' | 'fused' | 'two-pass';

export interface Dispatch<Name extends string = KernelName> extends Variant<Name> {
  readonly uniforms: ArrayBuffer;
  readonly grid: readonly [x: number, y: number];
}

/** A decision that can be made by measuring instead. */
export interface Choice {
  readonly strategy: 'fused' | 'two-pass';
  readonly preset: PresetName;
}

/** What to run for one convolution. No dispatches: the output has no elements. */
export interface Plan extends Choice {
  readonly dispatches: readonly Dispatch[];
  readonly byteLengths: Readonly<Record<Operand, number>>;
}

/**
 * Decides what to dispatch. Pure: the same arguments give the same plan. A `preset` overrides the plan's own choice.
 * @throws UnsupportedError when a tensor is larger than the device can bind, or the indices exceed 31 bits
 */
export function plan(
  geometry: Geometry, profile: DeviceProfile, wanted: Strategy = 'auto', name?: string, preset = presetsFor(geometry, profile)[0],
): Plan {
  const byteLengths = operandByteLengths(geometry);
  const within = presetWithin(preset, profile);
  const fits = byteLengths.intermediate <= bindingLimit(profile);
  const strategy = wanted !== 'auto' ? wanted : fits ? chooseStrategy(geometry, profile, within) : 'fused';
  if (elements(outputShape(geometry)) === 0) return { strategy, preset, dispatches: [], byteLengths };

  const tooLarge = (Object.keys(byteLengths) as Operand[]).find((operand) =>
    (operand !== 'intermediate' || strategy === 'two-pass') && byteLengths[operand] > bindingLimit(profile));
  if (tooLarge) {
    throw new UnsupportedError(`${operation(name)}: ${tooLarge} has ${byteLengths[tooLarge]} bytes, more than the `
      + `${bindingLimit(profile)} that this device can bind as one buffer`);
  }
  const { depthwise, pointwise, fused } = within;
  const dispatches = (strategy === 'fused' ? [fused] : [depthwise, pointwise]).map(({ kernel, tile }) => {
    const { workgroups, ...specialized } = variant(kernel, geometry, tile);
    return { ...specialized, grid: grid(workgroups, tile, profile, name), uniforms: uniformData(kernel, geometry) };
  });
  return { strategy, preset, dispatches, byteLengths };
}

/** What measuring may choose from: the plan's own choice first. */
export function candidates(geometry: Geometry, profile: DeviceProfile, wanted: Strategy = 'auto'): readonly Choice[] {
  const own = plan(geometry, profile, wanted);
  const strategies = wanted === 'auto' ? [own.strategy, own.strategy === 'fused' ? 'two-pass' as const : 'fused' as const] : [own.strategy];
  return presetsFor(geometry, profile).flatMap((preset) => strategies.map((strategy) => ({ strategy, preset })));
}

export const bindingLimit = ({ limits }: DeviceProfile): number =>
  Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, 2 ** 33 - 16);

/** Spreads workgroups over two dimensions where one does not hold them; kernels flatten the index again. */
export function grid(workgroups: number, { group }: Pick<Tile, 'group'>, profile: DeviceProfile, name?: string): readonly [number, number] {
  const most = profile.limits.maxComputeWorkgroupsPerDimension;
  const y = Math.ceil(workgroups / most);
  const x = Math.ceil(workgroups / y);
  if (y > most || x * y * group[0] * group[1] > 2 ** 31 - 1) {
    throw new UnsupportedError(`${operation(name)}: needs ${workgroups} workgroups, more than fit one dispatch`);
  }
  return [x, y];
}

function operandByteLengths(geometry: Geometry): Record<Operand, number> {
  const { N, H, W, C, KH, KW, M, K, OH, OW, O } = geometry;
  const bytes = (...shape: number[]) => elements(shape) * Float32Array.BYTES_PER_ELEMENT;
  return {
    input: bytes(N, H, W, C),
    depthwiseFilter: bytes(KH, KW, C, M),
    depthwiseBias: bytes(K),
    intermediate: bytes(N, OH, OW, channelStride(geometry)),
    pointwiseFilter: bytes(K, O),
    bias: bytes(O),
    output: bytes(N, OH, OW, O),
  };
}
