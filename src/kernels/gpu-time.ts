import type { GpuSize } from './profile.js';

/**
 * How long a GPU takes for a kernel, reckoned from what its workgroups do. The constants are fitted to 15 tiles of 4
 * kernels in 21 layers that an H100 measured: test/bench/README.md. The tiles and strategies that come out fastest are
 * within 10 % of the best prototypes that have their extents in uniforms, which `test/choice.test.ts` recomputes.
 */

/** What a kernel's time depends on: for one workgroup, but for `vectors` and `traffic`. */
export interface Effort {
  readonly multiplyAdds: number;
  /** Loads and stores, by all its invocations, of buffers and of workgroup memory. */
  readonly accesses: number;
  /** Vectors of 4 that an invocation keeps in registers. */
  readonly vectors: number;
  /** Turns of a loop that wait for what they load from a buffer. */
  readonly turns?: number;
  /** Rows of taps, whose inputs are loaded from a buffer, that one invocation takes one after the other. */
  readonly tapRows?: number;
  /** How often half of the slices hand their sums to the other half. */
  readonly halvings?: number;
  /** Bytes of all tensors that the dispatch reads and writes, each once; of one image's, where `images` counts them. */
  readonly traffic: number;
}

/** In microseconds; `multiplyAdd` and `access` of one processor. */
const COSTS = {
  /** Starting a dispatch after the one before, and its first loads. An empty one takes 1.6. */
  dispatch: 2.7,
  multiplyAdd: 4.8e-6,
  access: 28e-6,
  turn: 0.18,
  tapRow: 0.25,
  halving: 0.23,
} as const;

/** As many invocations as these are idle on each processor, because others wait for memory. */
const IDLE = 56;
/** What the workgroups on one processor share: invocations, vectors of 4 in registers, and bytes of memory. */
const PROCESSOR = { invocations: 2048, vectors: 16384, memory: 228 * 1024, workgroups: 32 } as const;
/** Vectors of 4 for addresses and counters of an invocation, and bytes that each workgroup's memory takes more. */
const [OWN_VECTORS, OWN_MEMORY] = [5, 1024];

/** How work is cut into workgroups, and how many bytes of workgroup memory each has. */
interface Grid {
  readonly workgroups: number;
  readonly images?: number;
  readonly group: readonly [x: number, y: number];
  readonly memory?: number;
}

/** Microseconds on a GPU of that size. A byte of memory takes what its bandwidth says. */
export function gpuTime(
  { group, workgroups, images = 1, memory = 0 }: Grid, effort: Effort, { processors, bandwidth }: GpuSize,
): number {
  const invocations = group[0] * group[1];
  const { multiplyAdds, accesses, vectors, turns = 0, tapRows = 0, halvings = 0, traffic } = effort;
  const resident = Math.max(1, Math.floor(Math.min(
    PROCESSOR.workgroups, PROCESSOR.invocations / invocations,
    PROCESSOR.vectors / (invocations * Math.min(64, OWN_VECTORS + vectors)), PROCESSOR.memory / (OWN_MEMORY + memory),
  )));
  // The busiest processor's workgroups, in waves of those resident.
  const each = Math.ceil(workgroups * images / processors);
  const computing = each * (multiplyAdds * COSTS.multiplyAdd + accesses * COSTS.access);
  const moving = traffic * images / bandwidth / 1000;
  const waiting = Math.ceil(each / resident)
    * (turns * COSTS.turn + tapRows * COSTS.tapRow + halvings * COSTS.halving);
  const active = invocations * Math.min(each, resident);
  return COSTS.dispatch + Math.hypot(computing, moving) * (1 + IDLE / active) + waiting;
}
