// What the device can do at best: multiply-adds with all operands in registers, and copying storage.
//
// Entry point `multiplyAdd`: each invocation does STEPS * 32 * 3 vec4f multiply-adds. Three sums hide their latency,
// and their 12 registers are what a software adapter has. It keeps variables in memory from one iteration to the next,
// which 32 multiply-adds of each make up for. Entry point `copy`: each invocation copies 4 vec4f, a grid apart, so that
// neighbours read neighbours. Entry point `empty`: one workgroup that writes nothing. It could, so that
// each dispatch waits for the one before, as those of a layer do.

const STEPS = 64;

@group(0) @binding(0) var<storage, read> input: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4f>;

@compute @workgroup_size(64)
fn multiplyAdd(@builtin(global_invocation_id) id: vec3u) {
  let m = input[0].x;
  let b = input[0].y;
  var s0 = input[id.x % 64];
  var s1 = s0 + 1;
  var s2 = s0 + 2;
  for (var i = 0; i < STEPS; i++) {
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
    s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b; s0 = s0 * m + b; s1 = s1 * m + b; s2 = s2 * m + b;
  }
  output[id.x] = s0 + s1 + s2;
}

@compute @workgroup_size(256)
fn copy(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let step = groups.x * 256;
  for (var i = 0u; i < 4; i++) {
    output[id.x + i * step] = input[id.x + i * step];
  }
}

@compute @workgroup_size(64)
fn empty(@builtin(local_invocation_index) index: u32) {
  if (index == 64) {
    output[0] = input[0];
  }
}
