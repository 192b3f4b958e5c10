import { type Band, bands, outputSpan } from './bands.js';
import { UnsupportedError } from '../arguments/errors.js';
import { elementBytes, elements, type Geometry, operation, outputShape } from '../arguments/geometry.js';
import { type BufferOperand, type KernelName, takesTexture, type Variant, uniformData, variant } from '../kernels/kernels.js';
import { chooseStrategy, type DeviceProfile, type PresetName, presetsFor, presetWithin } from './presets.js';
import { channelStride, type Tile } from '../kernels/tiles.js';

/** How the two passes run: in one kernel, in two with the depthwise result in memory, or as the plan finds best. */
export type Strategy = 'auto' | 'fused' | 'two-pass';

/** A part of a buffer, in bytes, or of a tensor, in elements. */
export interface Range {
  readonly offset: number;
  readonly size: number;
}

export interface Dispatch<Name extends string = KernelName> extends Variant<Name> {
  readonly uniforms: ArrayBuffer;
  readonly grid: readonly [x: number, y: number];
}

/** A dispatch for a band, or for the whole. */
export interface BandDispatch extends Dispatch {
  /** What it binds of the caller's input and output. */
  readonly input: Range;
  readonly output: Range;
  /** The output channels that it computes, whose columns of the filter and whose biases it binds. */
  readonly channels: Range;
}

/** A decision that can be made by measuring instead. */
export interface Choice {
  readonly strategy: 'fused' | 'two-pass';
  readonly preset: PresetName;
}

/** What to run for one convolution. No dispatches: the output has no elements. */
export interface Plan extends Choice {
  readonly dispatches: readonly BandDispatch[];
  /** Of the whole tensors, in multiples of 4; of the intermediate: what the largest band needs. */
  readonly byteLengths: Readonly<Record<BufferOperand, number>>;
}

/** Offsets into storage buffers must be multiples of this on every device, and need be of no more on any. */
const OFFSET_ALIGNMENT = 256;

/**
 * Decides what to dispatch. Pure: the same arguments give the same plan. A `preset` overrides the plan's own choice.
 * Tensors larger than the device can bind are computed in bands.
 * @throws UnsupportedError when the device lacks `shader-f16` for that dtype; when the depthwise filter, or one output row with
 * the input rows it reads, is larger than the device can bind; when indices along an axis need more than 31 bits
 */
export function plan(
  geometry: Geometry, profile: DeviceProfile, wanted: Strategy = 'auto', name?: string, preset = presetsFor(geometry, profile)[0],
): Plan {
  if (geometry.dtype === 'f16' && !profile.shaderF16) {
    throw new UnsupportedError(`${operation(name)}: dtype 'f16' needs a device with the feature shader-f16, which this one lacks`);
  }
  const within = presetWithin(preset, geometry, profile);
  const strategy = wanted === 'auto' ? chooseStrategy(geometry, profile, within) : wanted;
  const whole = operandByteLengths(geometry);
  if (elements(outputShape(geometry)) === 0) return { strategy, preset, dispatches: [], byteLengths: whole };

  checkIndices(geometry, name);
  const parts = bandsWithin(geometry, strategy, profile, whole, name);
  const { depthwise, pointwise, fused } = within;
  const inTextures = new Set<number>(); // The slices of the filter, by their first channel.
  const dispatches = parts.flatMap(({ geometry: band, inputStart, outputStart, firstChannel }) => {
    const { N, H, W, C, O } = band;
    const [input, inputFrom] = range(inputStart, elements([N, H, W, C]), band);
    const [output, outputFrom] = range(outputStart, outputSpan(band), band);
    const channels = { offset: firstChannel, size: O };
    // One depthwise result serves all bands of its pixels.
    const passes = strategy === 'fused' ? [fused] : firstChannel === 0 ? [depthwise, pointwise] : [pointwise];
    if (takesTexture(passes.at(-1)!.kernel) && !inTextures.has(firstChannel)) {
      inTextures.add(firstChannel);
      passes.unshift({ kernel: 'filter-texture', tile: { group: depthwise.tile.group } });
    }
    return passes.map(({ kernel, tile }): BandDispatch => {
      const { workgroups, params, ...specialized } = variant(kernel, band, tile);
      const uniforms = uniformData(kernel, band, { ...params, inputStart: inputFrom, outputStart: outputFrom });
      return { ...specialized, grid: grid(workgroups, tile, profile, name), uniforms, input, output, channels };
    });
  });
  const intermediate = Math.max(...parts.map((band) => operandByteLengths(band.geometry).intermediate));
  return { strategy, preset, dispatches, byteLengths: { ...whole, intermediate } };
}

/** The aligned range that holds a band's tensor, and the tensor's first element in it. */
function range(start: number, count: number, { dtype }: Geometry): readonly [Range, number] {
  const bytes = elementBytes(dtype);
  const from = start * bytes;
  const offset = Math.floor(from / OFFSET_ALIGNMENT) * OFFSET_ALIGNMENT;
  return [{ offset, size: Math.ceil((from - offset + count * bytes) / 4) * 4 }, (from - offset) / bytes];
}

function bandsWithin(
  geometry: Geometry, strategy: 'fused' | 'two-pass', profile: DeviceProfile, whole: Record<BufferOperand, number>, name?: string,
): readonly Band[] {
  const limit = bindingLimit(profile);
  const bytes = elementBytes(geometry.dtype);
  const column = geometry.K * (geometry.O % 4 === 0 ? 4 : 1) * bytes; // The least of the filter that a band takes.
  for (const [weight, size] of [['depthwiseFilter', whole.depthwiseFilter], ['pointwiseFilter [K, 4]', column]] as const) {
    if (size <= limit) continue;
    throw new UnsupportedError(`${operation(name)}: ${weight} has ${size} bytes, more than the ${limit} that this device can bind as `
      + 'one buffer');
  }
  const one = bands(geometry, limit, strategy);
  if (one?.length === 1) return one;
  const parts = bands(geometry, limit - OFFSET_ALIGNMENT, strategy); // A band may begin after its binding does.
  if (parts) return parts;
  const { W, C, KH, RH, OW, O, H } = geometry;
  const rows = Math.min(H, (KH - 1) * RH + 1);
  throw new UnsupportedError(`${operation(name)}: one output row reads ${rows * W * C * bytes} bytes of input and has `
    + `${OW * O * bytes}${strategy === 'fused' ? '' : ` after ${OW * channelStride(geometry) * 4} between the passes`}, which with `
    + `${OFFSET_ALIGNMENT} for alignment must not be more than the ${limit} that this device can bind as one buffer`);
}

/**
 * Refuses what no array and no kernel can index: both count elements in 31 bits, kernels a few tiles beyond the output and the
 * padding too. @throws UnsupportedError
 */
export function checkIndices({ N, H, W, C, KH, KW, OH, OW, O, SH, SW, RH, RW, padTop, padLeft }: Geometry, name?: string): void {
  for (const [tensor, shape] of [['input', [N, H, W, C]], ['output', [N, OH, OW, O]]] as const) {
    const count = elements(shape);
    if (count > 2 ** 31) throw new UnsupportedError(`${operation(name)}: ${tensor} has ${count} elements, more than the 2^31 of an array`);
  }
  for (const [axis, size, taps, out, stride, rate, pad] of [['H', H, KH, OH, SH, RH, padTop], ['W', W, KW, OW, SW, RW, padLeft]] as const) {
    const farthest = Math.max(size, out * stride + taps * rate, out + 16 * rate) + pad;
    if (farthest >= 2 ** 31) {
      throw new UnsupportedError(`${operation(name)}: size, strides, rate and padding along ${axis} reach index ${farthest}, beyond the 2^31 of a kernel`);
    }
  }
}

/** Kernels count elements in 31 bits. */
export const bindingLimit = ({ limits }: DeviceProfile): number =>
  Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, 2 ** 31);

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

function operandByteLengths(geometry: Geometry): Record<BufferOperand, number> {
  const { N, H, W, C, KH, KW, M, K, OH, OW, O, dtype } = geometry;
  const bytes = (...shape: number[]) => Math.ceil(elements(shape) * elementBytes(dtype) / 4) * 4;
  return {
    input: bytes(N, H, W, C),
    depthwiseFilter: bytes(KH, KW, C, M),
    depthwiseBias: bytes(K),
    intermediate: elements([N, OH, OW, channelStride(geometry)]) * 4,
    pointwiseFilter: bytes(K, O),
    bias: bytes(O),
    output: bytes(N, OH, OW, O),
  };
}
