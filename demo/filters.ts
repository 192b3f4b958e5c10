import type { Activation, Tensor4D } from 'sepconv-webgpu';

/** What a photo filter asks of `separableConv2d`; stride, rate and padding are the viewer's choice. */
export interface FilterWeights {
  /** `[KH, KW, 3, M]` */
  readonly depthwiseFilter: Tensor4D;
  /** `[1, 1, 3*M, 3]` */
  readonly pointwiseFilter: Tensor4D;
  readonly depthwiseActivation?: Activation;
  readonly bias?: Float32Array;
  readonly activation?: Activation;
  readonly allowOverparameterized?: boolean;
}

/** A photo filter for RGB photos with values in 0..1, written as one separable convolution. */
export interface PhotoFilter {
  readonly id: string;
  readonly group: 'Blur' | 'Detail' | 'Colour';
  readonly label: string;
  readonly about: string;
  /** `strength` from 0 to 1. */
  readonly weights: (strength: number) => FilterWeights;
}

/** One plane of taps, row by row: `kernel[y][x]`. */
type Kernel = readonly (readonly number[])[];
/** A colour matrix: `matrix[o]` holds the share of each incoming channel in output colour `o`. */
type ColourMatrix = readonly (readonly number[])[];

const RGB = [0, 1, 2] as const;
/** Rec. 709 luma: how bright each primary looks. */
const LUMA = [0.2126, 0.7152, 0.0722] as const;
const SEPIA: ColourMatrix = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]];
const IDENTITY: ColourMatrix = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
const GREY: ColourMatrix = [LUMA, LUMA, LUMA];

const SOBEL_X: Kernel = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]];
const SOBEL_Y: Kernel = [[-1, -2, -1], [0, 0, 0], [1, 2, 1]];
const DIAGONAL: Kernel = [[-2, -1, 0], [-1, 0, 1], [0, 1, 2]];

function gaussian(sigma: number, radius: number): Kernel {
  const taps = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)));
  const sum = taps.reduce((a, b) => a + b);
  return taps.map((y) => taps.map((x) => (y * x) / sum ** 2));
}

function box(height: number, width: number): Kernel {
  return Array.from({ length: height }, () => Array.from({ length: width }, () => 1 / (height * width)));
}

/** The taps that leave a picture as it is, `height` by `width`, shifted right by `shift` pixels. */
function impulse(height: number, width: number, shift = 0): Kernel {
  const x0 = (width - 1) / 2 + shift;
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => (y === (height - 1) / 2 && x === x0 ? 1 : 0)));
}

/** `a * p + b * q`, tap by tap. */
function blend(a: number, p: Kernel, b: number, q: Kernel): Kernel {
  return p.map((row, y) => row.map((tap, x) => a * tap + b * (q[y]?.[x] ?? 0)));
}

const scaled = (gain: number, kernel: Kernel): Kernel => blend(gain, kernel, 0, kernel);
const negated = (kernel: Kernel): Kernel => scaled(-1, kernel);

/** `[KH, KW, 3, M]` from the M kernels of each colour; the last dimension varies fastest. */
function depthwisePerColour(kernels: readonly [readonly Kernel[], readonly Kernel[], readonly Kernel[]]): Tensor4D {
  const [first] = kernels[0];
  if (first === undefined) throw new Error('a filter needs a kernel');
  const data = first.flatMap((row, y) =>
    row.flatMap((_, x) => kernels.flatMap((ofColour) => ofColour.map((kernel) => kernel[y]?.[x] ?? 0))));
  return { shape: [first.length, first[0]?.length ?? 0, 3, kernels[0].length], data: Float32Array.from(data) };
}

/** The same M kernels for red, green and blue. */
const depthwise = (...kernels: Kernel[]): Tensor4D => depthwisePerColour([kernels, kernels, kernels]);

/**
 * `[1, 1, 3*M, 3]`: adds the M depthwise results of each colour, each through its own colour matrix. Channels come
 * colour by colour (`q * M + r`), as the depthwise pass leaves them.
 */
function pointwise(...matrices: ColourMatrix[]): Tensor4D {
  const data = RGB.flatMap((q) => matrices.flatMap((matrix) => RGB.map((o) => matrix[o]?.[q] ?? 0)));
  return { shape: [1, 1, 3 * matrices.length, 3], data: Float32Array.from(data) };
}

const times = (gain: number, matrix: ColourMatrix): ColourMatrix => matrix.map((row) => row.map((x) => gain * x));
const between = (t: number, a: ColourMatrix, b: ColourMatrix): ColourMatrix => blend(1 - t, a, t, b);
const rgb = (value: number): Float32Array => new Float32Array(3).fill(value);

/*
 * Filters with M > 1 make more channels than they keep (3*M > 3). TensorFlow 1 refuses these as overparameterized: a
 * plain convolution with 3 outputs would have fewer weights. Here the extra channels are the point, hence the opt-out.
 */
export const filters: readonly PhotoFilter[] = [
  {
    id: 'gaussian', group: 'Blur', label: 'Gaussian blur',
    about: 'Each colour is smoothed on its own; the pointwise pass is the identity.',
    weights: (strength) => {
      const sigma = 0.5 + 2 * strength;
      const bell = gaussian(sigma, Math.ceil(2.5 * sigma));
      return { depthwiseFilter: depthwise(bell), pointwiseFilter: pointwise(IDENTITY) };
    },
  },
  {
    id: 'box', group: 'Blur', label: 'Box blur',
    about: 'The mean of a square of pixels.',
    weights: (strength) => {
      const size = 3 + 2 * Math.round(5 * strength);
      return { depthwiseFilter: depthwise(box(size, size)), pointwiseFilter: pointwise(IDENTITY) };
    },
  },
  {
    id: 'motion', group: 'Blur', label: 'Motion blur',
    about: 'A kernel one row high, as a camera that moves sideways would leave it.',
    weights: (strength) => ({
      depthwiseFilter: depthwise(box(1, 5 + 2 * Math.round(14 * strength))),
      pointwiseFilter: pointwise(IDENTITY),
    }),
  },
  {
    id: 'glow', group: 'Blur', label: 'Glow',
    about: 'Multiplier 2: the picture and its blur, added by the pointwise pass.',
    weights: (strength) => ({
      depthwiseFilter: depthwise(impulse(13, 13), gaussian(2.6, 6)),
      pointwiseFilter: pointwise(times(0.85 - 0.25 * strength, IDENTITY), times(0.2 + 0.5 * strength, IDENTITY)),
      allowOverparameterized: true,
    }),
  },
  {
    id: 'sharpen', group: 'Detail', label: 'Sharpen',
    about: 'Unsharp mask: the picture, plus what a blur would take away.',
    weights: (strength) => {
      const amount = 0.5 + 3 * strength;
      return {
        depthwiseFilter: depthwise(blend(1 + amount, impulse(7, 7), -amount, gaussian(1.2, 3))),
        pointwiseFilter: pointwise(IDENTITY),
      };
    },
  },
  {
    id: 'edges', group: 'Detail', label: 'Edges',
    // |g| = relu(g) + relu(-g): with both signs of both Sobel kernels, the activation between the passes makes the
    // pointwise sum an exact |gx| + |gy|. A convolution alone could not take the absolute value.
    about: 'Multiplier 4: Sobel x and y in both signs, ReLU between the passes, summed as |gx| + |gy|.',
    weights: (strength) => {
      const gain = times(0.15 + 0.7 * strength, GREY);
      return {
        depthwiseFilter: depthwise(SOBEL_X, negated(SOBEL_X), SOBEL_Y, negated(SOBEL_Y)),
        depthwiseActivation: 'relu',
        pointwiseFilter: pointwise(gain, gain, gain, gain),
        allowOverparameterized: true,
      };
    },
  },
  {
    id: 'slope', group: 'Detail', label: 'Slope colours',
    about: 'Multiplier 2: Sobel x is shown as red, Sobel y as green, around a middle grey.',
    weights: (strength) => {
      const gain = 0.1 + 0.5 * strength;
      const none = [0, 0, 0];
      return {
        depthwiseFilter: depthwise(SOBEL_X, SOBEL_Y),
        pointwiseFilter: pointwise(times(gain, [LUMA, none, none]), times(gain, [none, LUMA, none])),
        bias: rgb(0.5),
        allowOverparameterized: true,
      };
    },
  },
  {
    id: 'emboss', group: 'Detail', label: 'Emboss',
    about: 'Multiplier 2: the slope from corner to corner, mixed to grey, over a trace of the colours.',
    weights: (strength) => {
      const colour = 0.35;
      return {
        depthwiseFilter: depthwise(DIAGONAL, impulse(3, 3)),
        pointwiseFilter: pointwise(times(0.15 + 0.6 * strength, GREY), times(colour, IDENTITY)),
        bias: rgb((1 - colour) / 2),
        allowOverparameterized: true,
      };
    },
  },
  {
    id: 'ink', group: 'Detail', label: 'Ink',
    // A difference of Gaussians, thresholded softly: Winnemöller, Kyprianidis, Olsen, "XDoG", 2012.
    about: 'A difference of Gaussians, mixed to grey, with a sigmoid as the soft threshold.',
    weights: (strength) => {
      const amount = 2 + 4 * strength;
      return {
        depthwiseFilter: depthwise(blend(1 + amount, gaussian(0.9, 4), -amount, gaussian(1.6, 4))),
        pointwiseFilter: pointwise(times(9, GREY)),
        bias: rgb(-2.5),
        activation: 'sigmoid',
      };
    },
  },
  {
    id: 'grey', group: 'Colour', label: 'Greyscale',
    about: 'A 1×1 kernel that changes nothing, then a pointwise mix of the colours by brightness.',
    weights: (strength) => ({
      depthwiseFilter: depthwise(impulse(1, 1)),
      pointwiseFilter: pointwise(between(strength, IDENTITY, GREY)),
    }),
  },
  {
    id: 'sepia', group: 'Colour', label: 'Sepia',
    about: 'A pointwise colour matrix after a light 3×3 blur, as in an old print.',
    weights: (strength) => ({
      depthwiseFilter: depthwise(gaussian(0.6, 1)),
      pointwiseFilter: pointwise(between(strength, IDENTITY, SEPIA)),
    }),
  },
  {
    id: 'contrast', group: 'Colour', label: 'Contrast curve',
    about: 'A gain and a bias into a sigmoid: an S-curve that never clips.',
    weights: (strength) => {
      const gain = 4 + 8 * strength;
      return {
        depthwiseFilter: depthwise(impulse(1, 1)),
        pointwiseFilter: pointwise(times(gain, IDENTITY)),
        bias: rgb(-gain / 2),
        activation: 'sigmoid',
      };
    },
  },
  {
    id: 'fringe', group: 'Colour', label: 'Colour fringe',
    about: 'A kernel of its own for each colour: red moves left, blue moves right.',
    weights: (strength) => {
      const reach = 1 + Math.round(11 * strength);
      const shifted = (shift: number): Kernel[] => [impulse(1, 2 * reach + 1, shift)];
      return {
        depthwiseFilter: depthwisePerColour([shifted(reach), shifted(0), shifted(-reach)]),
        pointwiseFilter: pointwise(IDENTITY),
      };
    },
  },
];
