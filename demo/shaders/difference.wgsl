// The loss of a picture, and its gradient: the mean of the squared differences from what the picture should be.
//
// Each of INVOCATIONS invocations takes every INVOCATIONS-th value, and leaves its part of the loss.

const INVOCATIONS = 256u;

@group(0) @binding(0) var<storage, read> output: array<f32>;
@group(0) @binding(1) var<storage, read> wanted: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;    // as output
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;      // [INVOCATIONS]

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let count = f32(arrayLength(&wanted));
  var loss = 0.0;
  for (var i = id.x; i < arrayLength(&wanted); i += INVOCATIONS) {
    let difference = output[i] - wanted[i];
    gradient[i] = 2.0 * difference / count;
    loss += difference * difference;
  }
  losses[id.x] = loss / count;
}
