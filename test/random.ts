/** Reproducible random numbers (mulberry32): the same seed gives the same sequence in Node and in every browser. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `length` float32 values in [-1, 1), none of them zero. */
export function randomData(length: number, next: () => number): Float32Array {
  return new Float32Array(length).map(() => next() * 2 - 1 || 1);
}

/** Float32 values of either sign from 2^lowest to 2^(highest + 1), every exponent as likely; one in 16 is 0 or -0. */
export function randomMagnitudes(
  length: number, [lowest, highest]: readonly [number, number], next: () => number,
): Float32Array {
  return Float32Array.from({ length }, () => {
    const sign = next() < 0.5 ? -1 : 1;
    const exponent = lowest + Math.floor(next() * (highest - lowest + 1));
    return next() < 1 / 16 ? sign * 0 : sign * (1 + next()) * 2 ** exponent;
  });
}
