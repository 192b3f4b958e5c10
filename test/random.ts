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
  return Float32Array.from({ length }, () => next() * 2 - 1 || 1);
}
