// The mean of all pixels of a tensor, channel by channel, and that of a second one added:
//
//   output[c] = (sum over pixels of input[pixel, c]) / PIXELS + (sum over pixels of plus[pixel, c]) / PLUS_PIXELS
//
// With PLUS_PIXELS = 0 there is no second one. One workgroup of 128 computes four channels: every invocation sums every
// 128th pixel, and the sums are added pairwise. Workgroup memory 2,048 bytes, grid C/4.
// Equals `mean` in demo/networks/reference.ts.

const WORKGROUP = 128u;

struct Params {
  PACKS: u32,                                         // C / 4
  PIXELS: u32, PLUS_PIXELS: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;           // [1, H, W, C]
@group(0) @binding(2) var<storage, read> plus: array<vec4f>;            // [1, H', W', C]
@group(0) @binding(3) var<storage, read_write> output: array<vec4f>;    // [1, 1, 1, C]

var<workgroup> sums: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pack = group.x;
  var sum = vec4f();
  for (var pixel = lane; pixel < p.PIXELS; pixel += WORKGROUP) {
    sum += input[pixel * p.PACKS + pack];
  }
  var mean = sum / f32(p.PIXELS);
  if (p.PLUS_PIXELS > 0) {
    sum = vec4f();
    for (var pixel = lane; pixel < p.PLUS_PIXELS; pixel += WORKGROUP) {
      sum += plus[pixel * p.PACKS + pack];
    }
    mean += sum / f32(p.PLUS_PIXELS);
  }
  sums[lane] = mean;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (lane < half) {
      sums[lane] += sums[lane + half];
    }
  }
  if (lane == 0) {
    output[pack] = sums[0];
  }
}
