/** One-dimensional filters for the effect, as depthwise filters of several channels that all get the same. */

/** On each side of the middle. */
export const BLUR_RADIUS = 24;
export const MEAN_RADIUS = 6;

export const tapCount = (radius: number): number => 2 * radius + 1;

/** `[taps, 1, channels, 1]` or `[1, taps, channels, 1]`: a Gaussian, cut off at `radius`, whose taps sum up to 1. */
export function gaussian(sigma: number, radius: number, channels: number): Float32Array<ArrayBuffer> {
  const taps = Array.from({ length: tapCount(radius) }, (_, i) => Math.exp(-0.5 * ((i - radius) / sigma) ** 2));
  const sum = taps.reduce((a, b) => a + b);
  return Float32Array.from({ length: taps.length * channels }, (_, i) => taps[Math.floor(i / channels)]! / sum);
}

/**
 * The standard deviations of the background's blur across and down, in pixels of the small square picture. `strength`
 * from 0 to 1 goes from 0.5 to 3 % of the frame's longest side, the same in both directions once the square is
 * stretched back.
 */
export function blurSigmas(strength: number, width: number, height: number, side: number): [x: number, y: number] {
  const ofLongest = side * (0.005 + 0.025 * strength);
  const longest = Math.max(width, height);
  return [ofLongest * longest / width, ofLongest * longest / height];
}
