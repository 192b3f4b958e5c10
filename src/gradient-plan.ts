import { derivesFromResult, type ResolvedActivation } from './activation.js';
import { UnsupportedError } from './errors.js';
import { type Geometry, operation, withoutActivations } from './geometry.js';
import {
  activationGradient, depthwiseFilterGradient, depthwiseFilterGradientSize, depthwiseInputGradient, type GradientKernelName,
  outputStride, pointwiseFilterGradient, pointwiseFilterGradientSize, type Split, sum, type Terms, transpose, type Work,
} from './gradient-kernels.js';
import { type KernelName, uniformData, variant } from './kernels.js';
import { bindingLimit, type Dispatch, grid } from './plan.js';
import { type AdapterKind, type DeviceProfile, presetsFor, presetWithin } from './presets.js';
import { channelStride, type Tile } from './tiles.js';

/** What `encode` can compute. */
export const GRADIENTS = [
  'inputGradient', 'depthwiseFilterGradient', 'pointwiseFilterGradient', 'depthwiseBiasGradient', 'biasGradient',
] as const;
export type GradientName = (typeof GRADIENTS)[number];

/** What `encode` is given: the last two may be recomputed instead. */
export const GIVEN = ['outputGradient', 'input', 'intermediate', 'output'] as const;
export type GivenName = (typeof GIVEN)[number];

export const WEIGHTS = ['depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias'] as const;

/** What only the steps themselves use; `…Sum` is what goes into an activation, and `…Parts` are sums to be summed. */
export const TEMPORARIES = [
  'depthwiseSum', 'outputSum', 'scaledGradient', 'transposedFilter', 'product', 'intermediateGradient', 'biasParts',
  'pointwiseParts', 'depthwiseBiasParts', 'depthwiseParts',
] as const;

/** Everything that steps read and write. `zeros` takes the place of a bias, and of what has no elements. */
export type Value = GradientName | GivenName | (typeof WEIGHTS)[number] | (typeof TEMPORARIES)[number] | 'zeros';

/** One dispatch, and what it binds after its uniforms: what it reads, then what it writes. */
export interface Step {
  readonly dispatch: Dispatch<KernelName | GradientKernelName>;
  readonly reads: readonly Value[];
  readonly writes: Value;
}

export interface GradientPlan {
  /** All that could be needed, in an order in which they can run. */
  readonly steps: readonly Step[];
  readonly byteLengths: Readonly<Record<Value, number>>;
}

/** The steps that compute what is wanted, but not what is given. */
export function stepsFor<T extends Step>(steps: readonly T[], wanted: Iterable<Value>, given: ReadonlyMap<Value, unknown>): readonly T[] {
  const needed = new Set(wanted);
  return steps.toReversed().filter(({ reads, writes }) => {
    if (!needed.has(writes) || given.has(writes)) return false;
    for (const value of reads) needed.add(value);
    return true;
  }).reverse();
}

/** Invocations that keep a device busy: sums of fewer are cut into parts. */
const BUSY: Readonly<Record<AdapterKind, number>> = { software: 128, gpu: 16384 };
/** Pixels and tiles that are worth a part of their own. */
const [LEAST_PIXELS, LEAST_TILES] = [64, 4];

/** Register tiles of the pointwise filter's gradient, and the width of the other workgroups. */
const TILES: Readonly<Record<AdapterKind, Tile>> = {
  software: { group: [16, 1], rows: 16, columns: 16 },
  gpu: { group: [64, 1], rows: 8, columns: 8 },
};

/**
 * Decides what to dispatch for the gradients of one convolution. Pure: the same arguments give the same plan, and the parts
 * that sums are cut into depend on nothing else, so that results are the same bit for bit.
 * @throws UnsupportedError when a tensor is larger than the device can bind
 */
export function planGradients(
  geometry: Geometry, profile: DeviceProfile, name?: string, preset = presetsFor(geometry, profile)[0],
): GradientPlan {
  const { N, H, W, C, KH, KW, M, K, OH, OW, O, depthwiseActivation, activation } = geometry;
  const pixels = N * OH * OW;
  const forward = presetWithin(preset, profile);
  const tile = { ...TILES[profile.kind], group: forward.depthwise.tile.group };
  const extents: Partial<Record<Value, number>> = {};
  const steps: Step[] = [];

  const add = (dispatch: Step['dispatch'], reads: readonly Value[], writes: Value): void => {
    steps.push({ dispatch, reads, writes });
  };
  const addWork = ({ workgroups, group, ...specialized }: Work, reads: readonly Value[], writes: Value): void =>
    add({ ...specialized, grid: grid(workgroups, { group }, profile, name) }, reads, writes);
  const addPass = (pass: 'depthwise' | 'pointwise', shape: Geometry, reads: readonly Value[], writes: Value): void => {
    const { kernel, tile: passTile } = forward[pass];
    const { workgroups, ...specialized } = variant(kernel, shape, passTile);
    add({ ...specialized, grid: grid(workgroups, passTile, profile, name), uniforms: uniformData(kernel, shape) }, reads, writes);
  };
  /** What an activation's derivative is taken of: the pass's result, or what it is without its activation. */
  const addForward = (pass: 'depthwise' | 'pointwise', of: ResolvedActivation, reads: readonly Value[], result: Value, unactivated: Value): Value => {
    addPass(pass, geometry, reads, result);
    if (derivesFromResult(of)) return result;
    addPass(pass, withoutActivations(geometry), reads, unactivated);
    return unactivated;
  };
  /** A sum of many terms goes by parts that run at the same time. */
  const addSum = (terms: Terms, reads: Value, parts: Value, writes: Value): void => {
    const split = splitOf(terms.TERMS, terms.CHANNELS / 4, LEAST_PIXELS, profile.kind);
    extents[parts] = split.SPLITS * terms.CHANNELS;
    addWork(sum(terms, split, tile), [reads], parts);
    addWork(sum({ ...terms, TERMS: split.SPLITS, STRIDE: terms.CHANNELS }, { SPLITS: 1, PER_SPLIT: split.SPLITS }, tile), [parts], writes);
  };

  const sizes: Record<GradientName, number> = {
    inputGradient: N * H * W * C, depthwiseFilterGradient: KH * KW * K, pointwiseFilterGradient: K * O,
    depthwiseBiasGradient: K, biasGradient: O,
  };
  if (pixels === 0) {
    for (const gradient of GRADIENTS) {
      const none = { TERMS: 0, ROWS: 1, CHANNELS: sizes[gradient], STRIDE: sizes[gradient] };
      if (sizes[gradient] > 0) addWork(sum(none, { SPLITS: 1, PER_SPLIT: 0 }, tile), ['zeros'], gradient);
    }
  } else {
    const between = addForward('depthwise', depthwiseActivation, ['input', 'depthwiseFilter', 'depthwiseBias'], 'intermediate', 'depthwiseSum');
    const after = addForward('pointwise', activation, ['intermediate', 'pointwiseFilter', 'bias'], 'output', 'outputSum');

    // Pointwise kernels need pixels of whole packs of 4 channels.
    const stride = outputStride(geometry);
    const scaled = activation.kind === 'linear' && stride === O ? 'outputGradient' : 'scaledGradient';
    if (scaled === 'scaledGradient') {
      const values = activation.kind === 'linear' ? 'outputGradient' : after;
      const shape = { PIXELS: pixels, CHANNELS: O, VALUE_STRIDE: O, STRIDE: stride };
      addWork(activationGradient(activation, shape, tile), ['outputGradient', values], scaled);
    }
    addSum({ TERMS: pixels, ROWS: 1, CHANNELS: O, STRIDE: stride }, scaled, 'biasParts', 'biasGradient');

    const { invocations, terms } = pointwiseFilterGradientSize(geometry, tile);
    const split = splitOf(terms, invocations, LEAST_PIXELS, profile.kind);
    extents.pointwiseParts = split.SPLITS * K * stride;
    addWork(pointwiseFilterGradient(geometry, split, tile), ['intermediate', scaled], 'pointwiseParts');
    addWork(sum({ TERMS: split.SPLITS, ROWS: K, CHANNELS: O, STRIDE: stride }, { SPLITS: 1, PER_SPLIT: split.SPLITS }, tile),
      ['pointwiseParts'], 'pointwiseFilterGradient');

    addWork(transpose(geometry, tile), ['pointwiseFilter'], 'transposedFilter');
    addPass('pointwise', { ...withoutActivations(geometry), K: O, O: K }, [scaled, 'transposedFilter', 'zeros'], 'product');
    const gradient = depthwiseActivation.kind === 'linear' ? 'product' : 'intermediateGradient';
    if (gradient === 'intermediateGradient') {
      const shape = { PIXELS: pixels, CHANNELS: K, VALUE_STRIDE: channelStride(geometry), STRIDE: K };
      addWork(activationGradient(depthwiseActivation, shape, tile), ['product', between], gradient);
    }
    addSum({ TERMS: pixels, ROWS: 1, CHANNELS: K, STRIDE: K }, gradient, 'depthwiseBiasParts', 'depthwiseBiasGradient');

    const area = forward.depthwise.tile;
    const size = depthwiseFilterGradientSize(geometry, area);
    const parts = splitOf(size.terms, size.invocations, LEAST_TILES, profile.kind);
    extents.depthwiseParts = parts.SPLITS * KH * KW * K;
    addWork(depthwiseFilterGradient(geometry, parts, area), ['input', gradient], 'depthwiseParts');
    addWork(sum({ TERMS: parts.SPLITS, ROWS: KH * KW, CHANNELS: K, STRIDE: K }, { SPLITS: 1, PER_SPLIT: parts.SPLITS }, tile),
      ['depthwiseParts'], 'depthwiseFilterGradient');

    if (sizes.inputGradient > 0) addWork(depthwiseInputGradient(geometry, area), [gradient, 'depthwiseFilter'], 'inputGradient');
  }

  const counts: Record<Value, number> = {
    ...sizes, outputGradient: pixels * O, input: N * H * W * C, intermediate: pixels * channelStride(geometry), output: pixels * O,
    depthwiseFilter: KH * KW * C * M, depthwiseBias: K, pointwiseFilter: K * O, bias: O, zeros: Math.ceil(K / 4) * 4,
    depthwiseSum: pixels * channelStride(geometry), outputSum: pixels * O, scaledGradient: pixels * outputStride(geometry),
    transposedFilter: K * O, product: pixels * K, intermediateGradient: pixels * K,
    biasParts: 0, pointwiseParts: 0, depthwiseBiasParts: 0, depthwiseParts: 0, ...extents,
  };
  const byteLengths = Object.fromEntries(Object.entries(counts).map(([value, count]) => [value, count * 4])) as Record<Value, number>;
  const limit = bindingLimit(profile);
  const tooLarge = (Object.keys(byteLengths) as Value[]).find((value) => byteLengths[value] > limit);
  if (tooLarge) {
    throw new UnsupportedError(`${operation(name)}: ${tooLarge} has ${byteLengths[tooLarge]} bytes, more than the ${limit} that `
      + 'this device can bind as one buffer');
  }
  return { steps, byteLengths };
}

/** How a sum is cut: into as many parts as keep the device busy, if they are not too small. */
function splitOf(terms: number, invocations: number, least: number, kind: AdapterKind): Split {
  const most = Math.max(1, Math.floor(terms / least));
  const wanted = Math.min(most, Math.ceil(BUSY[kind] / invocations));
  const PER_SPLIT = Math.ceil(terms / wanted / 4) * 4;
  return { SPLITS: Math.ceil(terms / PER_SPLIT), PER_SPLIT };
}
