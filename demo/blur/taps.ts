/** One-dimensional filters for the effect, as depthwise filters of several channels that all get the same. */

/** On each side of the middle. */
export const BLUR_RADIUS = 12;
export const MEAN_RADIUS = 3;
/** How far the mask may move to the picture's edges, in blocks of 2×2 of the network's pixels. */
export const MEAN_SIGMA = 1.5;

export const tapCount = (radius: number): number => 2 * radius + 1;

/** `[taps, 1, channels, 1]` or `[1, taps, channels, 1]`: a Gaussian, cut off at `radius`, whose taps sum up to 1. */
export function gaussian(sigma: number, radius: number, channels: number): Float32Array<ArrayBuffer> {
  const taps = Array.from({ length: tapCount(radius) }, (_, i) => Math.exp(-0.5 * ((i - radius) / sigma) ** 2));
  const sum = taps.reduce((a, b) => a + b);
  return Float32Array.from({ length: taps.length * channels }, (_, i) => taps[Math.floor(i / channels)]! / sum);
}

/**
 * The standard deviations of the background's blur across and down, in pixels of a small square picture. `strength`
 * from 0 to 1 goes from 0.7 to 3 % of the frame's longest side, the same in both directions once the square is
 * stretched back.
 */
export function blurSigmas(strength: number, width: number, height: number, side: number): [x: number, y: number] {
  const ofLongest = side * (0.007 + 0.023 * strength);
  const longest = Math.max(width, height);
  return [ofLongest * longest / width, ofLongest * longest / height];
}
