import { derivesFromResult, type ResolvedActivation } from '../arguments/activation.js';
import { type Weight, WEIGHTS } from '../arguments/call.js';
import { UnsupportedError } from '../arguments/errors.js';
import { type Geometry, type Passes, withoutActivations } from '../arguments/geometry.js';
import { channelStride, divisor } from '../kernels/cuts.js';
import { filterTexture } from '../kernels/filter-texture.js';
import {
  activationGradient, depthwiseInputGradient, outputStride, pixelsOf, type Split, sum, type Sums, type Terms, transpose,
} from '../kernels/gradients.js';
import { type Kernel, takesTexture, type Tile } from '../kernels/kernel.js';
import type { DeviceProfile } from '../kernels/profile.js';
import { type BackwardPreset, backwardPresets, type SplitChoices } from './backward-presets.js';
import {
  aliasesOf, type BufferValue, countsOf, GRADIENTS, placesOf, type TextureName, type Value,
} from './backward-values.js';
import { bindingLimit, dispatchOf } from './dispatch.js';
import type { Wanted } from './forward.js';
import { candidatesFor } from './choice.js';
import { firstFitting, type KernelChoice, type Preset, type PresetName, presets, tileWithin } from './presets.js';
import type { Plan, Step } from './steps.js';

/** The steps for all gradients, of which a run takes those that it needs. */
export type GradientPlan = Plan<Value>;

/**
 * How many invocations keep a device busy. Sums that fewer compute are cut into parts. On a GPU these are two
 * workgroups of 256 for each processor, of which one computes while the other waits (reasoned, not measured).
 */
const busy = ({ kind, processors }: DeviceProfile): number => (kind === 'software' ? 128 : 512 * processors);
/** The most parts of a sum: the sum of more would take as long as they save. Reasoned, for GPUs; others have fewer. */
const MOST_PARTS = 4096;

/** The most pixels whose products with factors an invocation sums. */
const LARGEST_PART = 256;

/** From this many elements of a pointwise filter on, quads compute its gradient as a pointwise pass. */
const LEAST_PRODUCT = 8192;

/** A plan in the making. */
interface Draft {
  /** The passes that there are. */
  readonly passes: Passes;
  /** That of both passes, or of a depthwise one. */
  readonly geometry: Geometry;
  readonly aliases: ReturnType<typeof aliasesOf>;
  readonly profile: DeviceProfile;
  readonly op: string;
  readonly borrowed: ReadonlySet<Weight>;
  readonly preset: Pick<Preset, 'depthwise' | 'pointwise'>;
  readonly backward: BackwardPreset;
  /** The passes of the forward kernel. */
  readonly depthwise: KernelChoice;
  readonly pointwise: KernelChoice;
  /** The tile of the passes back through the depthwise one. */
  readonly tile: Tile;
  readonly steps: Step<Value>[];
  /** Elements of each value. */
  readonly counts: Record<BufferValue, number>;
  readonly textures: Map<TextureName, readonly [rows: number, columns: number]>;
}

/**
 * Decides what to dispatch for the gradients of one convolution. Pure: the same arguments give the same plan, and the
 * parts that sums are cut into depend on nothing else, so that results are the same bit for bit.
 * @throws UnsupportedError when a tensor is larger than the device can bind
 */
export function planBackward(
  { op, geometry: own, borrowed }: Omit<Wanted, 'strategy'>, profile: DeviceProfile, name?: PresetName,
): GradientPlan {
  const { passes } = own;
  // A pointwise pass alone is the second of both, whose first one only gathers pixels, and fills up their channels.
  const geometry: Geometry = passes === 'pointwise' ? { ...own, passes: 'both' } : own;
  const ways = candidatesFor(own, profile, name && [name]);
  const [first, second = first] = ways.find(({ strategy }) => strategy !== 'fused')!.presets as [PresetName];
  const preset = { depthwise: presets[first].depthwise, pointwise: presets[second].pointwise };
  const backward = { ...backwardPresets[first], pointwiseFilter: backwardPresets[second].pointwiseFilter };
  const draft: Draft = {
    passes, geometry, aliases: aliasesOf(own), profile, op, borrowed, preset, backward,
    depthwise: firstFitting(preset.depthwise, geometry, profile),
    pointwise: firstFitting(preset.pointwise, geometry, profile),
    tile: tileWithin(backward.tile, profile),
    steps: [], counts: countsOf(geometry, passes), textures: new Map(),
  };
  if (draft.counts.output === 0) {
    addZeros(draft);
  } else {
    const between = draft.aliases.intermediate === 'input' ? 'intermediate' : addForwardDepthwise(draft);
    const gradient = passes === 'depthwise' ? 'product' : addPointwise(draft, addForwardPointwise(draft));
    addDepthwise(draft, gradient, between);
  }
  const limit = bindingLimit(profile);
  for (const [value, count] of Object.entries(draft.counts)) {
    if (count * 4 <= limit) continue;
    throw new UnsupportedError(`${op}: ${value} has ${count * 4} bytes, more than the ${limit} that this device can `
      + 'bind as one buffer');
  }
  return { steps: draft.steps, places: placesOf(draft.counts, draft.textures) };
}

/** An output without elements: all gradients are sums of nothing. */
function addZeros(draft: Draft): void {
  for (const gradient of GRADIENTS) {
    const count = draft.counts[gradient];
    if (count > 0) {
      const work = { TERMS: 0, ROWS: 1, CHANNELS: count, STRIDE: count };
      add(draft, sum, { work, split: whole(0) }, ['zeros'], gradient);
    }
  }
}

/** A forward pass again; says what the derivative of its activation is taken of. */
function addForward(
  draft: Draft, pass: 'depthwise' | 'pointwise', activation: ResolvedActivation, reads: readonly Value[],
  result: Value, sums: Value,
): Value {
  addPass(draft, draft[pass], draft.geometry, reads, result);
  if (derivesFromResult(activation)) return result;
  addPass(draft, draft[pass], withoutActivations(draft.geometry), reads, sums);
  return sums;
}

const addForwardDepthwise = (draft: Draft): Value =>
  addForward(draft, 'depthwise', draft.geometry.depthwiseActivation, ['input', 'depthwiseFilter', 'depthwiseBias'],
    'intermediate', 'depthwiseSum');

function addForwardPointwise(draft: Draft): Value {
  const textured = takesTexture(draft.pointwise.kernel);
  if (textured) addTexture(draft, draft.geometry, 'filterTexture', 'pointwiseFilter');
  const reads = ['intermediate', textured ? 'filterTexture' : 'pointwiseFilter', 'bias'] as const;
  return addForward(draft, 'pointwise', draft.geometry.activation, reads, 'output', 'outputSum');
}

/** Back through the pointwise pass; says where the gradient behind the depthwise activation is. */
function addPointwise(draft: Draft, after: Value): Value {
  const { geometry } = draft;
  const { K, O, activation } = geometry;
  const PIXELS = pixelsOf(geometry);
  const STRIDE = outputStride(geometry); // Pointwise kernels read whole packs of 4 channels.
  const linear = activation.kind === 'linear';
  const scaled = linear && STRIDE === O ? 'outputGradient' : 'scaledGradient';
  if (scaled === 'scaledGradient') {
    add(draft, activationGradient, { activation, PIXELS, CHANNELS: O, VALUE_STRIDE: O, STRIDE },
      ['outputGradient', linear ? 'outputGradient' : after], scaled);
  }
  addChannelSums(draft, { CHANNELS: O, STRIDE }, scaled, 'biasParts', 'biasGradient');
  addResidualGradient(draft, activation, after);

  addPointwiseFilterGradient(draft, scaled);

  const back: Geometry = { ...bare(geometry), K: O, O: K, O_STRIDE: K };
  // The transposed filter may fit no texture where the filter does.
  const choice = firstFitting(draft.preset.pointwise, back, draft.profile);
  const textured = takesTexture(choice.kernel);
  if (textured) addTexture(draft, back, 'transposedTexture', 'pointwiseFilter', { ROW_STRIDE: 1, COLUMN_STRIDE: O });
  else add(draft, transpose, geometry, ['pointwiseFilter'], 'transposedFilter');
  addPass(draft, choice, back, [scaled, textured ? 'transposedTexture' : 'transposedFilter', 'zeros'], 'product');
  return geometry.inputScale ? addScale(draft) : 'product';
}

/** The gradient behind the last activation, dense, is that of the residual too. */
function addResidualGradient(draft: Draft, activation: ResolvedActivation, after: Value): void {
  const { geometry: { residual, O }, geometry } = draft;
  if (!residual) return;
  const linear = activation.kind === 'linear';
  const extents = { PIXELS: pixelsOf(geometry), CHANNELS: O, VALUE_STRIDE: O, STRIDE: O };
  add(draft, activationGradient, { activation, ...extents }, ['outputGradient', linear ? 'outputGradient' : after],
    'residualGradient');
}

/** Back through the factors of the pointwise pass's input; says where the gradient before them is. */
function addScale(draft: Draft): Value {
  const { geometry } = draft;
  const { N, OH, OW, K } = geometry;
  const [PIXELS, pixels] = [pixelsOf(geometry), OH * OW];
  const extents = { PIXELS, CHANNELS: K, STRIDE: K };
  add(draft, activationGradient, { ...extents, VALUE_STRIDE: channelStride(geometry) }, ['product', 'intermediate'],
    'scaleTerms');
  // Sums of each image: first of parts that divide it.
  const part = divisor(pixels, LARGEST_PART);
  const one = { ROWS: 1, CHANNELS: K, STRIDE: K };
  if (part === pixels) {
    const work = { ...one, TERMS: PIXELS };
    add(draft, sum, { work, split: { SPLITS: N, PER_SPLIT: pixels } }, ['scaleTerms'], 'inputScaleGradient');
  } else {
    const parts = pixels / part;
    draft.counts.scaleParts = N * parts * K;
    const addSum = (TERMS: number, split: Split, reads: Value, writes: Value): void =>
      add(draft, sum, { work: { ...one, TERMS }, split }, [reads], writes);
    addSum(PIXELS, { SPLITS: N * parts, PER_SPLIT: part }, 'scaleTerms', 'scaleParts');
    addSum(N * parts, { SPLITS: N, PER_SPLIT: parts }, 'scaleParts', 'inputScaleGradient');
  }
  add(draft, activationGradient, { ...extents, VALUE_STRIDE: K, VALUE_PIXELS: pixels }, ['product', 'inputScale'],
    'scaledProduct');
  return 'scaledProduct';
}

/** What the pointwise pass multiplied by its filter. */
function addScaledIntermediate(draft: Draft): Value {
  const { geometry } = draft;
  const { OH, OW, K, inputScale } = geometry;
  if (!inputScale) return 'intermediate';
  const [PIXELS, STRIDE] = [pixelsOf(geometry), channelStride(geometry)];
  const extents = { PIXELS, CHANNELS: K, GRADIENT_STRIDE: STRIDE, STRIDE, VALUE_STRIDE: K, VALUE_PIXELS: OH * OW };
  add(draft, activationGradient, extents, ['intermediate', 'inputScale'], 'scaledIntermediate');
  return 'scaledIntermediate';
}

/** Only the linear part of a convolution. */
const bare = (geometry: Geometry): Geometry =>
  ({ ...withoutActivations(geometry), residual: false, inputScale: false });

/**
 * The transposed intermediate times the gradient. Quads can compute that as a pointwise pass whose filter is the
 * gradient, if a texture can hold it and the result is large enough: half the time on SwiftShader. Otherwise sums are
 * cut into parts.
 */
function addPointwiseFilterGradient(draft: Draft, scaled: Value): void {
  const { geometry, profile, pointwise, backward } = draft;
  const { K, O } = geometry;
  const [PIXELS, STRIDE] = [pixelsOf(geometry), outputStride(geometry)];
  const between = addScaledIntermediate(draft);
  const product: Geometry = { ...bare(geometry), N: 1, OH: 1, OW: K, K: PIXELS, O_STRIDE: O };
  if (takesTexture(pointwise.kernel) && pointwise.kernel.fits!(product, profile) && K * O >= LEAST_PRODUCT) {
    addTexture(draft, product, 'gradientTexture', scaled, { ROW_STRIDE: STRIDE });
    const reads = [between, 'gradientTexture', 'nearest', 'zeros'] as const;
    addWith(draft, pointwise, product, reads, 'pointwiseFilterGradient',
      { PIXEL_STRIDE: 1, K_STEP: channelStride(geometry) });
    return;
  }
  addSplit(draft, backward.pointwiseFilter, geometry, { ROWS: K, CHANNELS: O, STRIDE }, [between, scaled],
    'pointwiseParts', 'pointwiseFilterGradient');
}

/**
 * Back through the depthwise pass. It is not fused with the pointwise product before it, for two reasons. A tile of 4x7
 * input pixels under a 3x3 filter needs the product at 6x9 outputs, so that the larger part of the work would be done
 * twice. And the filter's gradient needs the product in memory.
 */
function addDepthwise(draft: Draft, product: Value, between: Value): void {
  const { geometry, backward } = draft;
  const { KH, KW, K, OH, OW, depthwiseActivation } = geometry;
  const gradient = depthwiseActivation.kind === 'linear' ? product : 'intermediateGradient';
  if (gradient === 'intermediateGradient') {
    const extents = { PIXELS: pixelsOf(geometry), CHANNELS: K, VALUE_STRIDE: channelStride(geometry), STRIDE: K };
    add(draft, activationGradient, { activation: depthwiseActivation, ...extents }, [product, between], gradient);
  }
  if (draft.passes === 'depthwise') addResidualGradient(draft, depthwiseActivation, between);
  if (draft.passes !== 'pointwise') {
    addChannelSums(draft, { CHANNELS: K, STRIDE: K }, gradient, 'depthwiseBiasParts', 'depthwiseBiasGradient');

    addSplit(draft, backward.depthwiseFilter, geometry, { ROWS: KH * KW, CHANNELS: K, STRIDE: K },
      ['input', gradient], 'depthwiseParts', 'depthwiseFilterGradient');
  }

  if (draft.counts.inputGradient === 0 || draft.aliases[product] === 'inputGradient') return;
  const { C, SH, SW } = geometry;
  if (geometry.M > 1 || SH > 1 || SW > 1 || C % 4 !== 0) {
    add(draft, depthwiseInputGradient, geometry, [gradient, 'depthwiseFilter'], 'inputGradient');
    return;
  }
  // With stride 1 the way back is a depthwise pass too: its filter is the flipped one, its padding the filter's reach
  // less the padding.
  const { H, W, RH, RW, padTop, padLeft } = geometry;
  const back: Geometry = {
    ...bare(geometry), H: OH, W: OW, OH: H, OW: W,
    padTop: (KH - 1) * RH - padTop, padLeft: (KW - 1) * RW - padLeft,
  };
  addWith(draft, draft.depthwise, back, [gradient, 'depthwiseFilter', 'zeros'], 'inputGradient',
    { FIRST_TAP: KH * KW - 1, TAP_STEP: -1 });
}

/** Sums over all pixels. */
function addChannelSums(
  draft: Draft, row: Omit<Terms, 'TERMS' | 'ROWS'>, reads: Value, parts: BufferValue, writes: Value,
): void {
  const { geometry, backward } = draft;
  const part = { ROWS: 1, CHANNELS: row.CHANNELS, STRIDE: row.CHANNELS };
  addSplit(draft, backward.sums, { ...row, TERMS: pixelsOf(geometry), ROWS: 1 }, part, [reads], parts, writes);
}

/**
 * The parts of sums, then their sum. A single part without gaps between its rows is the sum already. `part` says how
 * one lies in memory.
 */
function addSplit<Work>(
  draft: Draft, choices: SplitChoices<Work>, work: Work, part: Omit<Terms, 'TERMS'>, reads: readonly Value[],
  parts: BufferValue, writes: Value,
): void {
  const { profile, counts, backward } = draft;
  const choice = firstFitting(choices, { work, split: whole(Infinity) }, profile);
  const split = splitOf(choice.kernel.sums(work, choice.tile), profile);
  const done = split.SPLITS === 1 && part.STRIDE === part.CHANNELS;
  addWith(draft, choice, { work, split }, reads, done ? writes : parts);
  if (done) return;
  counts[parts] = split.SPLITS * part.ROWS * part.STRIDE;
  const all = { work: { ...part, TERMS: split.SPLITS }, split: whole(split.SPLITS) };
  addWith(draft, firstFitting(backward.sums, all, profile), all, [parts], writes);
}

function addPass(
  draft: Draft, choice: KernelChoice, geometry: Geometry, reads: readonly Value[], writes: Value,
): void {
  const [first, filter, bias] = reads as [Value, Value, Value];
  const textured = takesTexture(choice.kernel);
  addWith(draft, choice, geometry, textured ? [first, filter, 'nearest', bias] : reads, writes);
}

/** A matrix `[K, O]` for kernels that take it from a texture. */
function addTexture(
  draft: Draft, geometry: Geometry, writes: TextureName, reads: Value, strides?: Readonly<Record<string, number>>,
): void {
  draft.textures.set(writes, [geometry.K, geometry.O]);
  add(draft, filterTexture, geometry, [reads], writes, strides);
}

function add<Work>(
  draft: Draft, kernel: Kernel<Work>, work: Work, reads: readonly Value[], writes: Value,
  others?: Readonly<Record<string, number>>,
): void {
  addWith(draft, { kernel, tile: draft.tile }, work, reads, writes, others);
}

function addWith<Work>(
  draft: Draft, choice: KernelChoice<Work, Kernel<Work>>, work: Work, reads: readonly Value[], writes: Value,
  others?: Readonly<Record<string, number>>,
): void {
  const { steps, counts, profile, op, borrowed, textures, aliases } = draft;
  const use = (value: Value) => ({ value: aliases[value] ?? value, range: undefined });
  // Unlike scratch memory, a texture keeps its contents: what was uploaded is copied only once.
  const once = (textures as ReadonlyMap<Value, unknown>).has(writes)
    && reads.every((value) => (WEIGHTS as readonly Value[]).includes(value) && !borrowed.has(value as Weight));
  const dispatch = dispatchOf(op, choice, work, profile, others);
  const all = [...reads, ...dispatch.operands.slice(reads.length, -1) as Value[]]; // What it binds beside.
  steps.push({
    dispatch, once, writes: use(writes),
    // What has no elements is never read, but something must be bound.
    reads: all.map((value) => use(counts[value as BufferValue] === 0 ? 'zeros' : value)),
  });
}

const whole = (terms: number): Split => ({ SPLITS: 1, PER_SPLIT: terms });

/** How sums are cut: into enough parts to keep the device busy, none of them too small. */
function splitOf({ terms, invocations, least, step }: Sums, profile: DeviceProfile): Split {
  const wanted = Math.min(Math.floor(terms / least), Math.ceil(busy(profile) / invocations), MOST_PARTS);
  const PER_SPLIT = Math.ceil(terms / Math.max(1, wanted) / step) * step;
  return { SPLITS: Math.ceil(terms / PER_SPLIT), PER_SPLIT };
}
