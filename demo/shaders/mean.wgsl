// Sums of runs of pixels, channel by channel:
//
//   output[i, c] = factor * (sum over pixels from i*RUN to (i+1)*RUN of input[pixel, c])
//
// One invocation sums RUN pixels of four channels, channels fastest. Two dispatches make the mean of a whole tensor:
// sums of about as many runs as pixels are in a run, and the sum of those. That takes no barrier, which costs a hundred
// microseconds a workgroup on SwiftShader: 4 ms for 16×16×128. Workgroup 64, grid PIXELS/RUN * C/4 / 64.
// Equals `mean` in demo/networks/reference.ts.

struct Params {
  PIXELS: u32, PACKS: u32, RUN: u32,                  // PACKS: C / 4
  factor: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;           // [1, H, W, C]
@group(0) @binding(2) var<storage, read_write> output: array<vec4f>;    // [1, 1, PIXELS/RUN, C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let run = id.x / p.PACKS;
  let pack = id.x % p.PACKS;
  let first = run * p.RUN;
  if (first >= p.PIXELS) {
    return;
  }
  var sum = vec4f();
  for (var pixel = first; pixel < min(first + p.RUN, p.PIXELS); pixel++) {
    sum += input[pixel * p.PACKS + pack];
  }
  output[run * p.PACKS + pack] = p.factor * sum;
}
