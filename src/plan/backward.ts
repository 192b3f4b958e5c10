import { derivesFromResult, type ResolvedActivation } from '../arguments/activation.js';
import { type Weight, WEIGHTS } from '../arguments/call.js';
import { UnsupportedError } from '../arguments/errors.js';
import { type Geometry, withoutActivations } from '../arguments/geometry.js';
import {
  activationGradient, depthwiseFilterGradient, depthwiseInputGradient, filterTile, outputStride,
  pointwiseFilterGradient, productTile, type Split, sum, type Terms, transpose, type Work,
} from '../kernels/gradient-kernels.js';
import { type KernelName, takesTexture, uniformData, variant } from '../kernels/kernels.js';
import { bindingLimit, grid } from './dispatch.js';
import type { Wanted } from './forward.js';
import { type AdapterKind, type DeviceProfile, presetsFor, presetWithin } from './presets.js';
import type { Place, Plan, Step } from './steps.js';
import { channelStride, quadsTake, type Tile } from '../kernels/tiles.js';

/** A gradient's name among the targets of `Gradients.encode`. */
export type GradientName =
  | 'inputGradient' | 'depthwiseFilterGradient' | 'pointwiseFilterGradient' | 'depthwiseBiasGradient' | 'biasGradient';
export const GRADIENTS: readonly GradientName[] = [
  'inputGradient', 'depthwiseFilterGradient', 'pointwiseFilterGradient', 'depthwiseBiasGradient', 'biasGradient',
];

/** What `encode` is given: the last two may be recomputed instead. */
export const GIVEN = ['outputGradient', 'input', 'intermediate', 'output'] as const;
export type GivenName = (typeof GIVEN)[number];

/** What only the steps themselves use; `…Sum` is what goes into an activation, and `…Parts` are sums to be summed. */
export const TEMPORARIES = [
  'depthwiseSum', 'outputSum', 'scaledGradient', 'transposedFilter', 'product', 'intermediateGradient', 'biasParts',
  'pointwiseParts', 'depthwiseBiasParts', 'depthwiseParts',
] as const;

/** The pointwise filter, its transpose, and the output's gradient as textures, where the kernels take them so. */
export type TextureName = 'filterTexture' | 'transposedTexture' | 'gradientTexture';

/** Everything that steps read and write. `zeros` takes the place of a bias, and of what has no elements. */
type BufferValue = GradientName | GivenName | Weight | (typeof TEMPORARIES)[number] | 'zeros';
export type Value = BufferValue | TextureName | 'nearest';

/** All that could be needed. */
export type GradientPlan = Plan<Value>;

/** Invocations that keep a device busy: sums of fewer are cut into parts. */
const BUSY: Readonly<Record<AdapterKind, number>> = { software: 128, gpu: 16384 };
/** Pixels and tiles that are worth a part of their own. */
const [LEAST_PIXELS, LEAST_TILES] = [64, 4];

/**
 * How the pointwise filter's gradient is cut up. On SwiftShader 32x32 a quad take 0.6 times as long as 16x16 an invocation,
 * and compile twice as fast; 32x64 are slower. On a GPU more than 64 registers an invocation cost occupancy (not measured).
 */
const PRODUCTS = {
  quads: { kernel: 'pointwise-filter-gradient-quad', rows: 32, columns: 32 },
  registers: { kernel: 'pointwise-filter-gradient', rows: 16, columns: 16 },
  gpu: { kernel: 'pointwise-filter-gradient', rows: 8, columns: 8 },
} as const;

/** Elements of a pointwise filter from which quads take its gradient for a pass. */
const LEAST_PRODUCT = 8192;

/** A plan in the making. */
interface Draft {
  readonly geometry: Geometry;
  readonly profile: DeviceProfile;
  readonly op: string;
  readonly borrowed: ReadonlySet<Weight>;
  readonly preset: ReturnType<typeof presetWithin>;
  readonly steps: Step<Value>[];
  /** Elements of each value. */
  readonly counts: Record<BufferValue, number>;
  readonly textures: Map<TextureName, readonly [rows: number, columns: number]>;
}

/**
 * Decides what to dispatch for the gradients of one convolution. Pure: the same arguments give the same plan, and the parts
 * that sums are cut into depend on nothing else, so that results are the same bit for bit.
 * @throws UnsupportedError when a tensor is larger than the device can bind
 */
export function planBackward(
  { op, geometry, borrowed }: Omit<Wanted, 'strategy'>, profile: DeviceProfile, preset = presetsFor(geometry, profile)[0],
): GradientPlan {
  const draft: Draft = {
    geometry, profile, op, borrowed, preset: presetWithin(preset, geometry, profile), steps: [], counts: countsOf(geometry),
    textures: new Map(),
  };
  if (draft.counts.output === 0) {
    addZeros(draft);
  } else {
    const [between, after] = addForward(draft);
    const gradient = addPointwise(draft, after);
    addDepthwise(draft, gradient, between);
  }
  const limit = bindingLimit(profile);
  for (const [value, count] of Object.entries(draft.counts)) {
    if (count * 4 <= limit) continue;
    throw new UnsupportedError(`${op}: ${value} has ${count * 4} bytes, more than the ${limit} that this device can bind as `
      + 'one buffer');
  }
  return { steps: draft.steps, places: placesOf(draft) };
}

function placesOf({ counts, textures }: Draft): ReadonlyMap<Value, Place> {
  const places = new Map<Value, Place>([['nearest', { kind: 'sampler' }]]);
  for (const [value, count] of Object.entries(counts) as [Value, number][]) {
    places.set(value, { ...placeOf(value), byteLength: count * 4 });
  }
  for (const [value, [rows, columns]] of textures) places.set(value, { kind: 'texture', rows, columns });
  return places;
}

function placeOf(value: Value): { readonly kind: 'caller' | 'scratch' | 'zeros' } | { readonly kind: 'weight'; readonly weight: Weight; readonly columns: undefined } {
  const weight = WEIGHTS.find((name) => name === value);
  if (weight) return { kind: 'weight', weight, columns: undefined };
  if (value === 'zeros') return { kind: 'zeros' };
  const given = value === 'outputGradient' || value === 'input' || (GRADIENTS as readonly Value[]).includes(value);
  return { kind: given ? 'caller' : 'scratch' };
}

function countsOf(geometry: Geometry): Record<BufferValue, number> {
  const { N, H, W, C, KH, KW, K, OH, OW, O } = geometry;
  const pixels = N * OH * OW;
  const intermediate = pixels * channelStride(geometry);
  return {
    input: N * H * W * C, depthwiseFilter: KH * KW * K, depthwiseBias: K, pointwiseFilter: K * O, bias: O,
    inputGradient: N * H * W * C, depthwiseFilterGradient: KH * KW * K, depthwiseBiasGradient: K, pointwiseFilterGradient: K * O,
    biasGradient: O, zeros: Math.ceil(Math.max(K, O) / 4) * 4,
    intermediate, depthwiseSum: intermediate, output: pixels * O, outputSum: pixels * O, outputGradient: pixels * O,
    scaledGradient: pixels * outputStride(geometry), transposedFilter: K * O, product: pixels * K, intermediateGradient: pixels * K,
    biasParts: 0, pointwiseParts: 0, depthwiseBiasParts: 0, depthwiseParts: 0, // As far as sums are cut up.
  };
}

/** An output without elements: all gradients are sums of nothing. */
function addZeros(draft: Draft): void {
  for (const gradient of GRADIENTS) {
    const count = draft.counts[gradient];
    if (count > 0) addWork(draft, sum({ TERMS: 0, ROWS: 1, CHANNELS: count, STRIDE: count }, whole(0), groupOf(draft)), ['zeros'], gradient);
  }
}

/** The forward pass again; says what the derivatives of both activations are taken of. */
function addForward(draft: Draft): readonly [between: Value, after: Value] {
  const add = (pass: 'depthwise' | 'pointwise', activation: ResolvedActivation, reads: readonly Value[], result: Value, sums: Value): Value => {
    addPass(draft, pass, draft.geometry, reads, result);
    if (derivesFromResult(activation)) return result;
    addPass(draft, pass, withoutActivations(draft.geometry), reads, sums);
    return sums;
  };
  const { depthwiseActivation, activation } = draft.geometry;
  const textured = takesTexture(draft.preset.pointwise.kernel);
  if (textured) addTexture(draft, draft.geometry, 'filterTexture', 'pointwiseFilter');
  return [
    add('depthwise', depthwiseActivation, ['input', 'depthwiseFilter', 'depthwiseBias'], 'intermediate', 'depthwiseSum'),
    add('pointwise', activation, ['intermediate', textured ? 'filterTexture' : 'pointwiseFilter', 'bias'], 'output', 'outputSum'),
  ];
}

/** Back through the pointwise pass; says where the gradient behind the depthwise activation is. */
function addPointwise(draft: Draft, after: Value): Value {
  const { geometry, preset } = draft;
  const { N, OH, OW, K, O, activation } = geometry;
  const PIXELS = N * OH * OW;
  const STRIDE = outputStride(geometry); // Pointwise kernels read whole packs of 4 channels.
  const linear = activation.kind === 'linear';
  const scaled = linear && STRIDE === O ? 'outputGradient' : 'scaledGradient';
  if (scaled === 'scaledGradient') {
    addWork(draft, activationGradient(activation, { PIXELS, CHANNELS: O, VALUE_STRIDE: O, STRIDE }, groupOf(draft)),
      ['outputGradient', linear ? 'outputGradient' : after], scaled);
  }
  addChannelSums(draft, { CHANNELS: O, STRIDE }, scaled, 'biasParts', 'biasGradient');

  addPointwiseFilterGradient(draft, scaled);

  const back: Geometry = { ...withoutActivations(geometry), K: O, O: K, O_STRIDE: K };
  const textured = takesTexture(preset.pointwise.kernel);
  if (textured) addTexture(draft, back, 'transposedTexture', 'pointwiseFilter', { ROW_STRIDE: 1, COLUMN_STRIDE: O });
  else addWork(draft, transpose(geometry, groupOf(draft)), ['pointwiseFilter'], 'transposedFilter');
  addPass(draft, 'pointwise', back, [scaled, textured ? 'transposedTexture' : 'transposedFilter', 'zeros'], 'product');
  return 'product';
}

/**
 * The intermediate, transposed, times the gradient. Quads take that for a pointwise pass whose filter is the gradient, where a
 * texture holds it and there are enough of its rows: half the time on SwiftShader. Else sums are cut into parts.
 */
function addPointwiseFilterGradient(draft: Draft, scaled: Value): void {
  const { geometry, profile, preset } = draft;
  const { N, OH, OW, K, O } = geometry;
  const [PIXELS, STRIDE] = [N * OH * OW, outputStride(geometry)];
  const whole: Geometry = { ...withoutActivations(geometry), N: 1, OH: 1, OW: K, K: PIXELS, O_STRIDE: O };
  if (preset.pointwise.kernel === 'pointwise-quad' && quadsTake(whole, profile.limits.maxTextureDimension2D) && K * O >= LEAST_PRODUCT) {
    addTexture(draft, whole, 'gradientTexture', scaled, { ROW_STRIDE: STRIDE });
    addForwardKernel(draft, 'pointwise-quad', whole, preset.pointwise.tile, ['intermediate', 'gradientTexture', 'nearest', 'zeros'],
      'pointwiseFilterGradient', { PIXEL_STRIDE: 1, K_STEP: channelStride(geometry) });
    return;
  }
  const { kernel, ...product } = PRODUCTS[profile.kind === 'gpu' ? 'gpu' : preset.pointwise.kernel === 'pointwise-quad' ? 'quads' : 'registers'];
  const tile = { ...product, ...groupOf(draft) };
  const split = splitOf(PIXELS, productTile(kernel, geometry, tile).invocations, LEAST_PIXELS, profile.kind);
  addParts(draft, split, pointwiseFilterGradient(kernel, geometry, split, tile), { ROWS: K, CHANNELS: O, STRIDE },
    ['intermediate', scaled], 'pointwiseParts', 'pointwiseFilterGradient');
}

/**
 * Back through the depthwise pass. Not fused with the pointwise product before it: a tile of 4x7 input pixels under a 3x3 filter
 * needs the product of 6x9 outputs, twice the larger part of the work, and the filter's gradient needs the product in memory.
 */
function addDepthwise(draft: Draft, product: Value, between: Value): void {
  const { geometry, profile, preset: { backward: tile } } = draft;
  const { N, KH, KW, K, OH, OW, depthwiseActivation } = geometry;
  const gradient = depthwiseActivation.kind === 'linear' ? product : 'intermediateGradient';
  if (gradient === 'intermediateGradient') {
    const extents = { PIXELS: N * OH * OW, CHANNELS: K, VALUE_STRIDE: channelStride(geometry), STRIDE: K };
    addWork(draft, activationGradient(depthwiseActivation, extents, groupOf(draft)), [product, between], gradient);
  }
  addChannelSums(draft, { CHANNELS: K, STRIDE: K }, gradient, 'depthwiseBiasParts', 'depthwiseBiasGradient');

  const { tiles, invocations } = filterTile(geometry, tile);
  const split = splitOf(tiles, invocations, LEAST_TILES, profile.kind);
  addParts(draft, split, depthwiseFilterGradient(geometry, split, tile), { ROWS: KH * KW, CHANNELS: K, STRIDE: K },
    ['input', gradient], 'depthwiseParts', 'depthwiseFilterGradient');

  if (draft.counts.inputGradient === 0) return;
  const { C, SH, SW } = geometry;
  if (geometry.M > 1 || SH > 1 || SW > 1 || C % 4 !== 0) {
    addWork(draft, depthwiseInputGradient(geometry, tile), [gradient, 'depthwiseFilter'], 'inputGradient');
    return;
  }
  // Back through a pass of stride 1 is a pass with the filter turned, and the padding that is left of its reach.
  const { H, W, RH, RW, padTop, padLeft } = geometry;
  const back: Geometry = {
    ...withoutActivations(geometry), H: OH, W: OW, OH: H, OW: W, padTop: (KH - 1) * RH - padTop, padLeft: (KW - 1) * RW - padLeft,
  };
  const { kernel, tile: rows } = draft.preset.depthwise;
  addForwardKernel(draft, kernel, back, rows, [gradient, 'depthwiseFilter', 'zeros'], 'inputGradient', { FIRST_TAP: KH * KW - 1, TAP_STEP: -1 });
}

/** Sums over all pixels. */
function addChannelSums(draft: Draft, row: Omit<Terms, 'TERMS' | 'ROWS'>, reads: Value, parts: BufferValue, writes: Value): void {
  const { geometry: { N, OH, OW }, profile } = draft;
  const terms = { ...row, TERMS: N * OH * OW, ROWS: 1 };
  const split = splitOf(terms.TERMS, row.CHANNELS / 4, LEAST_PIXELS, profile.kind);
  addParts(draft, split, sum(terms, split, groupOf(draft)), { ROWS: 1, CHANNELS: row.CHANNELS, STRIDE: row.CHANNELS }, [reads], parts, writes);
}

/** The parts of a sum, then their sum; a dense single part is the sum. */
function addParts(
  draft: Draft, { SPLITS }: Split, work: Work, part: Omit<Terms, 'TERMS'>, reads: readonly Value[], parts: BufferValue, writes: Value,
): void {
  if (SPLITS === 1 && part.STRIDE === part.CHANNELS) {
    addWork(draft, work, reads, writes);
    return;
  }
  draft.counts[parts] = SPLITS * part.ROWS * part.STRIDE;
  addWork(draft, work, reads, parts);
  addWork(draft, sum({ ...part, TERMS: SPLITS }, whole(SPLITS), groupOf(draft)), [parts], writes);
}

function addPass(draft: Draft, pass: 'depthwise' | 'pointwise', geometry: Geometry, reads: readonly Value[], writes: Value): void {
  const { kernel, tile } = draft.preset[pass];
  const [first, filter, bias] = reads as [Value, Value, Value];
  addForwardKernel(draft, kernel, geometry, tile, takesTexture(kernel) ? [first, filter, 'nearest', bias] : reads, writes);
}

/** A matrix `[K, O]` for kernels that take it from a texture. */
function addTexture(draft: Draft, geometry: Geometry, writes: TextureName, reads: Value, strides?: Readonly<Record<string, number>>): void {
  draft.textures.set(writes, [geometry.K, geometry.O]);
  addForwardKernel(draft, 'filter-texture', geometry, groupOf(draft), [reads], writes, strides);
}

function addForwardKernel(
  draft: Draft, kernel: KernelName, geometry: Geometry, tile: Tile, reads: readonly Value[], writes: Value,
  other?: Readonly<Record<string, number>>,
): void {
  const { workgroups, params, ...specialized } = variant(kernel, geometry, tile);
  addStep(draft, { ...specialized, workgroups, uniforms: uniformData(kernel, geometry, { ...params, ...other }) }, tile, reads, writes);
}

function addWork(draft: Draft, { group, ...work }: Work, reads: readonly Value[], writes: Value): void {
  addStep(draft, work, { group }, reads, writes);
}

function addStep(
  { steps, counts, profile, op, borrowed, textures }: Draft, { workgroups, ...dispatch }: Omit<Work, 'group' | 'kernel'> & { readonly kernel: string },
  tile: Pick<Tile, 'group'>, reads: readonly Value[], writes: Value,
): void {
  // A texture lasts, other than scratch memory, so that what was uploaded is copied once.
  const once = (textures as ReadonlyMap<Value, unknown>).has(writes)
    && reads.every((value) => (WEIGHTS as readonly Value[]).includes(value) && !borrowed.has(value as Weight));
  steps.push({
    dispatch: { ...dispatch, grid: grid(op, workgroups, tile, profile) }, // What has no elements is never read, but something must be bound.
    reads: reads.map((value) => ({ value: counts[value as BufferValue] === 0 ? 'zeros' : value, range: undefined })),
    writes: { value: writes, range: undefined }, once,
  });
}

/** The workgroups of kernels without a tile of their own. */
const groupOf = ({ preset }: Draft): Pick<Tile, 'group'> => ({ group: preset.backward.group });

const whole = (terms: number): Split => ({ SPLITS: 1, PER_SPLIT: terms });

/** How a sum is cut: into as many parts as keep the device busy, if they are not too small. */
function splitOf(terms: number, invocations: number, least: number, kind: AdapterKind): Split {
  const wanted = Math.min(Math.floor(terms / least), Math.ceil(BUSY[kind] / invocations));
  const PER_SPLIT = Math.ceil(terms / Math.max(1, wanted) / 4) * 4;
  return { SPLITS: Math.ceil(terms / PER_SPLIT), PER_SPLIT };
}
