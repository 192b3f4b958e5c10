/**
 * What a software adapter with subgroups takes for the work of one quad, in nanoseconds of a thread. Measured on
 * SwiftShader and fitted to two passes over fused in 24 layers: "What costs time on SwiftShader" in
 * test/bench/README.md.
 * `test/costs.test.ts` recomputes what is chosen there.
 */
export const COSTS = {
  /** A scalar load of a buffer by four lanes, a vector's load, and a vector's store. */
  load: 11,
  vectorLoad: 25,
  vectorStore: 35,
  /** Carrying a sum or an input of 4 k from one turn of a loop to the next. */
  carry: 3,
  /** A tap's multiply-add for 4 k of a pixel. */
  tap: 0.3,
  /** What is left for 4 k of a pixel of the depthwise result: bounds, bias, activation. */
  rest: 6,
} as const;
