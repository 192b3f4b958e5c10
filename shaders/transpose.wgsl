// Transposes the pointwise filter, for the gradient that goes back through it.
//
//   output[o, k] = input[k, o]
//
// One invocation turns a block of LANES by LANES. A workgroup is WORKGROUP neighbours along o.
// Grid: K / LANES * O / LANES invocations. No workgroup memory.

alias Lanes = vec4f;       // if LANES == 4
// alias Lanes = f32;      // if LANES == 1
alias Block = mat4x4f;     // if LANES == 4
// alias Block = array<f32, 1>; // if LANES == 1
const LANES = 4;           // spec: 4 or 1, as Lanes
const WORKGROUP = 64;      // spec: invocations of a workgroup

struct Params {
  K: i32, O: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Lanes>;           // [1, 1, K, O]
@group(0) @binding(2) var<storage, read_write> output: array<Lanes>;    // [1, 1, O, K]

fn transposed(b: Block) -> Block {
  return transpose(b);     // if LANES == 4
  // return b;             // if LANES == 1
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = i32((group.y * groups.x + group.x) * WORKGROUP + local);
  let across = p.O / LANES;
  let down = p.K / LANES;
  if (index >= down * across) {
    return;
  }
  let o = index % across;
  let k = index / across;
  var block: Block;
  for (var i = 0; i < LANES; i++) { // unroll
    block[i] = input[(k * LANES + i) * across + o];
  }
  block = transposed(block);
  for (var i = 0; i < LANES; i++) { // unroll
    output[(o * LANES + i) * down + k] = block[i];
  }
}
