// Sums terms in a fixed order: over all pixels for the gradient of a bias, and over the parts of the other kernels'
// sums.
//
//   output[s, row, c] = sum over t from s * PER_SPLIT, at most PER_SPLIT of them, of terms[t, row, c];
//     0 without terms
//
// One invocation computes one pack of LANES channels. A workgroup is WORKGROUP neighbours, channels fastest.
// Grid: SPLITS * ROWS * CHANNELS / LANES invocations. No workgroup memory. Equals `channelSums` in src/reference.ts.

alias Lanes = vec4f;       // if LANES == 4
// alias Lanes = f32;      // if LANES == 1
const LANES = 4;           // spec: 4 or 1, as Lanes
const WORKGROUP = 64;      // spec: invocations of a workgroup

struct Params {
  TERMS: i32, ROWS: i32, CHANNELS: i32,
  STRIDE: i32,             // channels from one row of the terms to the next
  SPLITS: i32, PER_SPLIT: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> terms: array<Lanes>;           // [TERMS, ROWS, STRIDE]
@group(0) @binding(2) var<storage, read_write> output: array<Lanes>;    // [SPLITS, ROWS, CHANNELS]

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = i32((group.y * groups.x + group.x) * WORKGROUP + local);
  let packs = p.CHANNELS / LANES;
  if (index >= p.SPLITS * p.ROWS * packs) {
    return;
  }
  let row = (index / packs) % p.ROWS;
  let first = index / packs / p.ROWS * p.PER_SPLIT;
  let step = p.ROWS * (p.STRIDE / LANES);
  var at = (first * p.ROWS + row) * (p.STRIDE / LANES) + index % packs;
  var sum = Lanes(0.0);
  for (var t = first; t < min(first + p.PER_SPLIT, p.TERMS); t++) {
    sum += terms[at];
    at += step;
  }
  output[index] = sum;
}
