import type { Convolution, PipelineManager, Shape4D } from 'sepconv-webgpu';
import type { Segmenter } from '../networks/segmenter.js';
import backgroundSource from '../shaders/background.wgsl?raw';
import guideSource from '../shaders/guide.wgsl?raw';
import momentsSource from '../shaders/moments.wgsl?raw';
import quotientSource from '../shaders/quotient.wgsl?raw';
import type { Encode, Resources } from '../resources.js';
import { BLUR_RADIUS, blurSigmas, gaussian, MEAN_RADIUS, MEAN_SIGMA, tapCount } from './taps.js';

/** The network's picture is twice as large; here are the means of its blocks of 2×2 pixels. */
const HALF = 128;
const GRID = [HALF / 8, HALF / 8] as const;
const BLOCKS = HALF * HALF;
/** How much of its old value a quite uncertain pixel of a video's mask keeps. */
const KEEP = 0.75;

/** From the network's mask to one that knows the picture's edges, down to hair. */
export interface MaskPart {
  /** `[1, HALF, HALF, 4]`, as the network lays it out: what the network says; in a video smoothed over time. */
  readonly mask: GPUBuffer;
  /** HALF×HALF: a pixel's mask is `dot(texel, (r, g, b, 1))` of its colour, at any resolution. */
  readonly coefficients: GPUTextureView;
  readonly encode: Encode;
  /** Whether the next frame follows the one before it in a video. */
  follows(yes: boolean): void;
}

/** From the picture and its mask to the blurred background. */
export interface BackgroundPart {
  /** HALF×HALF, the whole frame stretched. */
  readonly blurred: GPUTextureView;
  readonly encode: Encode;
  /** From 0 to 1, for a frame of that size. */
  setStrength(strength: number, width: number, height: number): void;
}

/**
 * The guided filter of guide.wgsl. Its local means are depthwise convolutions of the library, across and down: of 16
 * moments, and of the 4 coefficients that follow from them.
 */
export async function createMaskPart(
  resources: Resources, manager: PipelineManager, segmenter: Segmenter,
): Promise<MaskPart> {
  const { STORAGE, UNIFORM, COPY_DST, COPY_SRC } = GPUBufferUsage;
  const [moments, guide, quotient, means, smooth] = await Promise.all([
    resources.pipeline('moments', momentsSource), resources.pipeline('guide', guideSource),
    resources.pipeline('quotient', quotientSource), meanOf(resources, manager, 16), meanOf(resources, manager, 4),
  ]);
  const [one, other] = [0, 1].map((i) => resources.buffer(`moments ${i}`, BLOCKS * 64, STORAGE));
  const [few, fewer] = [0, 1].map((i) => resources.buffer(`coefficients ${i}`, BLOCKS * 16, STORAGE));
  const mask = resources.buffer('mask', BLOCKS * 16, STORAGE | COPY_SRC);
  const keep = resources.buffer('keep', 16, UNIFORM | COPY_DST);
  // Where moments.wgsl keeps its 1.
  const weights = resources.upload('mean weights', Uint32Array.of(16, 13, 0, 0), UNIFORM);
  const coefficients = view(resources, 'coefficients');
  const steps: Encode[] = [
    resources.dispatch(moments, [keep, segmenter.input, segmenter.mask, mask, one!].map(whole), GRID),
    ...means(one!, other!),
    resources.dispatch(guide, [one!, few!].map(whole), [BLOCKS / 64, 1]),
    ...smooth(few!, fewer!),
    resources.dispatch(quotient, [...[weights, few!, one!].map(whole), coefficients], GRID),
  ];
  return {
    mask, coefficients, encode: inOrder(steps),
    follows: (yes) => resources.device.queue.writeBuffer(keep, 0, Float32Array.of(yes ? KEEP : 0)),
  };
}

/** Blurs the background alone: a normalised convolution, by two depthwise ones of the library. */
export async function createBackgroundPart(
  resources: Resources, manager: PipelineManager, { input }: Segmenter, coefficients: GPUTextureView,
): Promise<BackgroundPart> {
  const { STORAGE, UNIFORM, COPY_DST } = GPUBufferUsage;
  const taps = tapCount(BLUR_RADIUS);
  // The library reads such a filter at every run: to change the strength is to write to it.
  const [across, down] = ['across', 'down'].map((name) =>
    resources.buffer(`taps ${name}`, taps * 16, STORAGE | COPY_DST));
  const [background, quotient, toX, toY] = await Promise.all([
    resources.pipeline('background', backgroundSource), resources.pipeline('quotient', quotientSource),
    depthwise(resources, manager, { shape: [1, taps, 4, 1], buffer: across! }),
    depthwise(resources, manager, { shape: [taps, 1, 4, 1], buffer: down! }),
  ]);
  const [one, other] = [0, 1].map((i) => resources.buffer(`background ${i}`, BLOCKS * 16, STORAGE));
  // The fourth value is the weight.
  const weights = resources.upload('blur weights', Uint32Array.of(4, 3, 0, 0), UNIFORM);
  const blurred = view(resources, 'blurred');
  const steps: Encode[] = [
    resources.dispatch(background, [whole(input), coefficients, whole(one!)], GRID),
    (pass) => toX.encode(pass, { input: one!, output: other! }),
    (pass) => toY.encode(pass, { input: other!, output: one! }),
    resources.dispatch(quotient, [...[weights, one!, one!].map(whole), blurred], GRID),
  ];
  let written = '';
  return {
    blurred, encode: inOrder(steps),
    setStrength(strength, width, height) {
      const sigmas = blurSigmas(strength, width, height, HALF);
      if (written === String(sigmas)) return;
      written = String(sigmas);
      for (const [i, buffer] of [across!, down!].entries()) {
        resources.device.queue.writeBuffer(buffer, 0, gaussian(sigmas[i]!, BLUR_RADIUS, 4));
      }
    },
  };
}

/** Local means across, from the first buffer to the second, and down, back to the first. */
async function meanOf(
  resources: Resources, manager: PipelineManager, channels: number,
): Promise<(first: GPUBuffer, second: GPUBuffer) => Encode[]> {
  const taps = tapCount(MEAN_RADIUS);
  const data = gaussian(MEAN_SIGMA, MEAN_RADIUS, channels);
  const [across, down] = await Promise.all([
    depthwise(resources, manager, { shape: [1, taps, channels, 1], data }),
    depthwise(resources, manager, { shape: [taps, 1, channels, 1], data }),
  ]);
  return (first, second) => [
    (pass) => across.encode(pass, { input: first, output: second }),
    (pass) => down.encode(pass, { input: second, output: first }),
  ];
}

/** A depthwise convolution over the small picture; outside it counts as 0. */
async function depthwise(
  resources: Resources, manager: PipelineManager,
  depthwiseFilter: { shape: Shape4D; data: Float32Array } | { shape: Shape4D; buffer: GPUBuffer },
): Promise<Convolution> {
  const inputShape: Shape4D = [1, HALF, HALF, depthwiseFilter.shape[2]];
  return resources.keep(await manager.prepare({ inputShape, depthwiseFilter, padding: 'SAME', name: 'blur' }));
}

const whole = (buffer: GPUBuffer): GPUBufferBinding => ({ buffer });

/** Of a texture that shaders write and sample. */
const view = (resources: Resources, label: string): GPUTextureView => resources.keep(resources.device.createTexture({
  label: `blur ${label}`, size: [HALF, HALF], format: 'rgba16float',
  usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.TEXTURE_BINDING,
})).createView();

const inOrder = (steps: readonly Encode[]): Encode => (pass) => {
  for (const step of steps) step(pass);
};
