// Sums terms in a fixed order, on GPUs: sum.wgsl with the terms split among the slices of a workgroup, which add their
// sums once, at the end.
//
//   output[s, row, c] = sum over t from s * PER_SPLIT, at most PER_SPLIT of them, of terms[t, row, c]
//
// A workgroup is SLICES slices of GROUP_X invocations. Each invocation has one pack of LANES channels, and every
// SLICES-th term; AT_ONCE loads are in flight. Then one half of the slices hands its sums to the other, until one slice
// has all.
// Grid: ceil(ROWS * CHANNELS / LANES / GROUP_X) * SPLITS workgroups, splits slowest. There must be terms.
// Memory: 2 * SLICES * GROUP_X * LANES bytes. Equals `channelSums` in src/reference.ts.

alias Lanes = vec4f;       // if LANES == 4
// alias Lanes = f32;      // if LANES == 1
const LANES = 4;           // spec: 4 or 1, as Lanes
const GROUP_X = 4;         // spec: invocations of a slice
const SLICES = 64;         // spec: parts of the terms, a power of 2 from 2 on
const AT_ONCE = 8;         // terms that an invocation loads at once

const_assert SLICES >= 2 && (SLICES & (SLICES - 1)) == 0;

// Unsigned, because signed divisions take twice the instructions.
struct Params {
  TERMS: u32, ROWS: u32, CHANNELS: u32,
  STRIDE: u32,             // channels from one row of the terms to the next
  SPLITS: u32, PER_SPLIT: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> terms: array<Lanes>;           // [TERMS, ROWS, STRIDE]
@group(0) @binding(2) var<storage, read_write> output: array<Lanes>;    // [SPLITS, ROWS, CHANNELS]

var<workgroup> handed: array<Lanes, SLICES / 2 * GROUP_X>;

@compute @workgroup_size(SLICES * GROUP_X)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let tile = group.y * groups.x + group.x;
  let packs = p.CHANNELS / LANES;
  let across = (p.ROWS * packs + GROUP_X - 1) / GROUP_X;
  let split = tile / across;
  if (split >= p.SPLITS) {
    return;
  }
  let lane = local % GROUP_X;
  let slice = local / GROUP_X;
  let place = tile % across * GROUP_X + lane;
  let own = min(place, p.ROWS * packs - 1);
  let step = p.ROWS * (p.STRIDE / LANES);
  let start = own / packs * (p.STRIDE / LANES) + own % packs;
  let end = min((split + 1) * p.PER_SPLIT, p.TERMS);

  var sum = Lanes(0.0);
  for (var t = split * p.PER_SPLIT + slice; t < end; t += AT_ONCE * SLICES) {
    var loaded: array<Lanes, AT_ONCE>;
    for (var i = 0u; i < AT_ONCE; i++) { // unroll
      loaded[i] = terms[start + min(t + i * SLICES, end - 1) * step];
    }
    for (var i = 0u; i < AT_ONCE; i++) { // unroll
      sum += select(Lanes(0.0), loaded[i], t + i * SLICES < end);
    }
  }
  for (var half = u32(SLICES / 2); half > 0; half /= 2) {
    if (slice >= half && slice < 2 * half) {
      handed[(slice - half) * GROUP_X + lane] = sum;
    }
    workgroupBarrier();
    if (slice < half) {
      sum += handed[slice * GROUP_X + lane];
    }
    workgroupBarrier();
  }
  if (slice == 0 && place < p.ROWS * packs) {
    output[split * p.ROWS * packs + place] = sum;
  }
}
