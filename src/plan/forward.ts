import type { Call, Weight } from '../arguments/call.js';
import type { PlannedStrategy } from '../arguments/descriptor.js';
import { UnsupportedError } from '../arguments/errors.js';
import { elementBytes, elements, FILTERS, type Geometry, outputShape } from '../arguments/geometry.js';
import { channelStride } from '../kernels/cuts.js';
import { filterTexture } from '../kernels/filter-texture.js';
import { takesTexture } from '../kernels/kernel.js';
import type { DeviceProfile } from '../kernels/profile.js';
import { type Band, bands, outputSpan, spatialBands } from './bands.js';
import { bindingLimit, type Dispatch, dispatchOf } from './dispatch.js';
import { candidatesFor, type Choice, kernelsOf } from './choice.js';
import { tileWithin } from './presets.js';
import type { Place, Plan, Range, Step, Use } from './steps.js';

/** What is computed between one upload and one readback: everything, unless a tensor is too large for a buffer. */
export interface Portion extends Plan {
  /** First element and count, in the whole input and output. */
  readonly input: Range;
  readonly output: Range;
  /** The same for the factors of the pointwise pass's input. */
  readonly inputScale: Range;
}

/** What to run for one convolution. A portion without steps has an output without elements. */
export interface ForwardPlan extends Choice {
  readonly portions: readonly [Portion, ...Portion[]];
}

/** What plans need to know of a call. */
export type Wanted = Pick<Call, 'op' | 'geometry' | 'strategy' | 'borrowed'>;

/** What a pass alone reads and writes in the place of what has to do with the other. */
const ALONE: Readonly<Partial<Record<PlannedStrategy, Readonly<Record<string, string>>>>> = {
  depthwise: { depthwiseBias: 'bias', intermediate: 'output' }, pointwise: { intermediate: 'input' },
};

/** An offset into a storage buffer that is a multiple of this is right on every device: no device may demand more. */
const OFFSET_ALIGNMENT = 256;

/** Invocations of a workgroup that copies a filter. */
const COPY_GROUP = [16, 1] as const;

/**
 * Decides what to dispatch. Pure: the same arguments give the same plan. A `choice` overrides the plan's own. Tensors
 * larger than a buffer go in portions, which `run` uploads one after the other; tensors larger than the device can bind
 * go in bands. All portions have the strategy and the preset of the first.
 * @throws UnsupportedError when the device lacks `shader-f16` for that dtype; when the depthwise filter, or one output
 * row with the input rows it reads, is larger than the device can bind; when indices along an axis need more than 31
 * bits
 */
export function planForward(wanted: Wanted, profile: DeviceProfile, choice?: Partial<Choice>): ForwardPlan {
  const { op, geometry } = wanted;
  if (geometry.dtype === 'f16' && !profile.shaderF16) {
    throw new UnsupportedError(`${op}: dtype 'f16' needs a device with the feature shader-f16, which this one lacks`);
  }
  const empty = elements(outputShape(geometry)) === 0;
  if (!empty) checkIndices(op, geometry);
  const most = Math.floor(profile.limits.maxBufferSize / 16) * 16;
  // If even portions are too large, planning bands throws the error that says which tensor is.
  const parts = spatialBands(geometry, most, 'fused') ?? [{ geometry, inputStart: 0, outputStart: 0 }];
  const strategy = choice?.strategy ?? wanted.strategy;
  const all = candidatesFor(parts[0]!.geometry, profile, choice?.presets);
  const wantedWays = all.filter((way) => way.strategy === strategy); // None for 'auto', and for what has other passes.
  const ways = wantedWays.length > 0 ? wantedWays : all;
  const way = empty ? ways[0]! : feasible(op, parts[0]!.geometry, profile, ways);
  const [first, ...others] = parts.map(({ geometry: part, inputStart, outputStart }): Portion => {
    const { N, H, W, C } = part;
    const plan = empty ? { steps: [], places: placesOf(part) }
      : planPortion({ ...wanted, geometry: part }, profile, way);
    return {
      ...plan,
      input: { offset: inputStart, size: elements([N, H, W, C]) },
      output: { offset: outputStart, size: elements(outputShape(part)) },
      inputScale: { offset: firstImage(geometry, outputStart) * part.K, size: N * part.K },
    };
  });
  return { strategy: way.strategy, presets: way.presets, portions: [first!, ...others] };
}

/** The first choice whose bands the device can bind. @throws UnsupportedError of the best one, where none can be */
function feasible(op: string, geometry: Geometry, profile: DeviceProfile, ways: readonly Choice[]): Choice {
  const refusals = new Map(ways.map(({ strategy }) =>
    [strategy, bandsWithin(op, geometry, strategy, profile).refusal]));
  const way = ways.find(({ strategy }) => !refusals.get(strategy));
  if (!way) throw refusals.get(ways[0]!.strategy)!;
  return way;
}

function planPortion(wanted: Wanted, profile: DeviceProfile, choice: Choice): Plan {
  const { op, geometry, borrowed } = wanted;
  const { strategy } = choice;
  const passes = kernelsOf(choice, geometry, profile);
  const { parts, refusal } = bandsWithin(op, geometry, strategy, profile);
  if (refusal) throw refusal;
  const places = new Map(placesOf(geometry));
  const add = (value: string, place: Place): void => void (places.has(value) || places.set(value, place));
  const inTextures = new Set<number>(); // Slices of the filter that are copied already, by their first channel.
  const steps = parts.flatMap(({ geometry: band, inputStart, outputStart, firstChannel }) => {
    const { N, H, W, C, K, O } = band;
    const [input, inputFrom] = range(inputStart, elements([N, H, W, C]), band);
    const [output, outputFrom] = range(outputStart, outputSpan(band), band);
    const whole = O === geometry.O;
    const empty = N * H * W * C === 0; // Never read, but something must be bound.
    const columns = { offset: firstChannel, size: O, total: geometry.O };
    const weight = (name: 'pointwiseFilter' | 'bias'): string => {
      const value = whole ? name : `${name} from channel ${firstChannel}`;
      const byteLength = storedBytes((name === 'bias' ? 1 : K) * O, geometry);
      add(value, { kind: 'weight', weight: name, byteLength, columns: whole ? undefined : columns });
      return value;
    };
    const use = (name: string): Use => {
      const operand = ALONE[strategy]?.[name] ?? name;
      if (operand === 'input') return empty ? { value: 'zeros', range: undefined } : { value: operand, range: input };
      if (operand === 'output' || operand === 'residual') return { value: operand, range: output };
      if (operand === 'pointwiseFilter' || operand === 'bias') return { value: weight(operand), range: undefined };
      if (operand !== 'filterTexture') return { value: operand, range: undefined };
      const value = whole ? operand : `${operand} from channel ${firstChannel}`;
      add(value, { kind: 'texture', rows: K, columns: O });
      return { value, range: undefined };
    };
    const dispatch = (pass: (typeof passes)[number]): Dispatch => dispatchOf(op, pass, band, profile, {
      inputStart: pass === passes[0] ? inputFrom : 0, outputStart: pass === passes.at(-1) ? outputFrom : 0,
      scaleStart: firstImage(geometry, outputStart) * K,
    });
    const step = (made: Dispatch, once = false): Step => {
      const uses = made.operands.map(use);
      return { dispatch: made, reads: uses.slice(0, -1), writes: uses.at(-1)!, once };
    };
    // One depthwise result serves all bands of its pixels.
    const needed = firstChannel === 0 ? passes : passes.slice(-1);
    const made = needed.map((pass) => step(dispatch(pass)));
    if (!takesTexture(passes.at(-1)!.kernel) || inTextures.has(firstChannel)) return made;
    inTextures.add(firstChannel);
    const copy = { kernel: filterTexture, tile: tileWithin({ group: COPY_GROUP }, profile) };
    return [step(dispatchOf(op, copy, band, profile), !borrowed.has('pointwiseFilter')), ...made];
  });
  if (parts.some((part) => part.geometry.O < geometry.O) && (borrowed.has('pointwiseFilter') || borrowed.has('bias'))) {
    throw new UnsupportedError(`${op}: pointwiseFilter has ${storedBytes(geometry.K * geometry.O, geometry)} bytes, `
      + 'more than this device can bind as one buffer: it and bias must be given as data');
  }
  const byteLength = Math.max(...parts.map(({ geometry: band }) => intermediateBytes(band)));
  if (strategy === 'two-pass') places.set('intermediate', { kind: 'scratch', byteLength });
  return { steps, places };
}

/** The image that an element of the output is in. */
const firstImage = ({ OH, OW, O_STRIDE }: Geometry, outputStart: number): number =>
  Math.floor(outputStart / Math.max(1, OH * OW * O_STRIDE));

/** The aligned range that holds a band's tensor, and the tensor's first element in it. */
function range(start: number, count: number, { dtype }: Geometry): readonly [Range, number] {
  const bytes = elementBytes(dtype);
  const from = start * bytes;
  const offset = Math.floor(from / OFFSET_ALIGNMENT) * OFFSET_ALIGNMENT;
  return [{ offset, size: Math.ceil((from - offset + count * bytes) / 4) * 4 }, (from - offset) / bytes];
}

type Bands =
  | { readonly parts: readonly Band[]; readonly refusal?: undefined }
  | { readonly parts?: undefined; readonly refusal: UnsupportedError };

/** The bands of a convolution, or why there can be none. */
function bandsWithin(op: string, geometry: Geometry, strategy: PlannedStrategy, profile: DeviceProfile): Bands {
  const { H, W, C, KH, K, RH, OW, O } = geometry;
  const limit = bindingLimit(profile);
  const bytes = elementBytes(geometry.dtype);
  const refuse = (why: string): Bands => ({ refusal: new UnsupportedError(`${op}: ${why}`) });
  const column = K * (O % 4 === 0 ? 4 : 1) * bytes; // Bytes of the smallest part of the filter that a band can have.
  const filter = storedBytes(KH * geometry.KW * K, geometry);
  for (const weight of FILTERS[geometry.passes]) {
    const [what, size] = weight === 'depthwiseFilter' ? [weight, filter] : [`${weight} [K, 4]`, column];
    if (size <= limit) continue;
    return refuse(`${what} has ${size} bytes, more than the ${limit} that this device can bind as one buffer`);
  }
  const one = bands(geometry, limit, strategy);
  if (one?.length === 1) return { parts: one };
  const parts = bands(geometry, limit - OFFSET_ALIGNMENT, strategy); // Bindings may start before their bands do.
  if (parts) return { parts };
  const rows = Math.min(H, (KH - 1) * RH + 1);
  const between = strategy === 'two-pass' ? ` after ${OW * channelStride(geometry) * 4} between the passes` : '';
  return refuse(`one output row reads ${rows * W * C * bytes} bytes of input and has `
    + `${OW * O * bytes}${between}, which with ${OFFSET_ALIGNMENT} for alignment must not be more than the ${limit} `
    + 'that this device can bind as one buffer');
}

/**
 * Refuses what no array and no kernel can index. Both count elements in 31 bits, and kernels also count a few tiles
 * beyond the output and the padding.
 * @throws UnsupportedError
 */
function checkIndices(op: string, geometry: Geometry): void {
  const { N, H, W, C, KH, KW, OH, OW, O, SH, SW, RH, RW, padTop, padLeft } = geometry;
  for (const [tensor, shape] of [['input', [N, H, W, C]], ['output', [N, OH, OW, O]]] as const) {
    const count = elements(shape);
    if (count > 2 ** 31) {
      throw new UnsupportedError(`${op}: ${tensor} has ${count} elements, more than the 2^31 of an array`);
    }
  }
  for (const [axis, size, taps, out, stride, rate, pad] of [
    ['H', H, KH, OH, SH, RH, padTop], ['W', W, KW, OW, SW, RW, padLeft],
  ] as const) {
    const farthest = Math.max(size, out * stride + taps * rate, out + 16 * rate) + pad;
    if (farthest < 2 ** 31) continue;
    throw new UnsupportedError(`${op}: size, strides, rate and padding along ${axis} reach index ${farthest}, `
      + 'beyond the 2^31 of a kernel');
  }
}

/** Where the whole tensors are. */
function placesOf(geometry: Geometry): ReadonlyMap<string, Place> {
  const { N, H, W, C, KH, KW, K, OH, OW, O } = geometry;
  const weight = (name: Weight, count: number): readonly [string, Place] =>
    [name, { kind: 'weight', weight: name, byteLength: storedBytes(count, geometry), columns: undefined }];
  return new Map<string, Place>([
    ['input', { kind: 'caller', byteLength: storedBytes(N * H * W * C, geometry) }],
    ['output', { kind: 'caller', byteLength: storedBytes(N * OH * OW * O, geometry) }],
    ['residual', { kind: 'caller', byteLength: geometry.residual ? storedBytes(N * OH * OW * O, geometry) : 0 }],
    ['inputScale', { kind: 'caller', byteLength: geometry.inputScale ? storedBytes(N * K, geometry) : 0 }],
    weight('depthwiseFilter', KH * KW * K),
    weight('depthwiseBias', K),
    weight('pointwiseFilter', K * O),
    weight('bias', O),
    ['zeros', { kind: 'zeros', byteLength: 16 }],
    ['nearest', { kind: 'sampler' }],
  ]);
}

/** Bytes of so many elements as they are stored: a multiple of 4. */
const storedBytes = (count: number, { dtype }: Geometry): number => Math.ceil(count * elementBytes(dtype) / 4) * 4;

const intermediateBytes = (geometry: Geometry): number =>
  elements([geometry.N, geometry.OH, geometry.OW, channelStride(geometry)]) * 4;
