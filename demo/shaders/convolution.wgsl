// A full convolution with few input channels, for a network's first layer:
//
//   output[oy, ox, o] = activation(bias[o] + sum over (di, dj, c) of
//     input[oy*STRIDE + di - padTop, ox*STRIDE + dj - padLeft, c] * weights[di, dj, c, o])
//   activation(x) = max(min(x, ceiling), slope * x) * clamp(gate * x + open, 0, 1):
//     ReLU6 with 6, 0, 0, 1; leaky ReLU with the largest float, its slope, 0, 1;
//     hard swish with the largest float, 1, 1/6, 1/2
//
// One invocation computes eight neighbouring outputs of a row by 16 channels, a 4×4 matrix for each, because a load
// costs as much as dozens of multiply-adds on software adapters. O must be a multiple of 16.
// Workgroup 64, channels fastest; the grid has two dimensions where one does not hold it.
// Equals `fullConvolution` in demo/networks/reference.ts.

struct Params {
  H: i32, W: i32, C: i32, K: i32,                     // K: rows and columns of the filter
  OH: i32, OW: i32, O: i32, STRIDE: i32,
  padTop: i32, padLeft: i32,
  ceiling: f32, slope: f32, gate: f32, open: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;             // [1, H, W, C]
@group(0) @binding(2) var<storage, read> weights: array<mat4x4f>;       // [K, K, C, O]
@group(0) @binding(3) var<storage, read> bias: array<mat4x4f>;          // [O]
@group(0) @binding(4) var<storage, read_write> output: array<mat4x4f>;  // [1, OH, OW, O]

fn activation(x: vec4f) -> vec4f {
  return max(min(x, vec4f(p.ceiling)), p.slope * x) * saturate(p.gate * x + p.open);
}

fn write(pixel: i32, x: i32, channels: i32, sum: mat4x4f) {
  if (x < p.OW) {
    output[pixel * (p.O / 16) + channels] =
      mat4x4f(activation(sum[0]), activation(sum[1]), activation(sum[2]), activation(sum[3]));
  }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = i32(id.y * groups.x * 64 + id.x);
  let packs = p.O / 16;
  let tiles = (p.OW + 7) / 8;
  if (index >= p.OH * tiles * packs) {
    return;
  }
  let pack = index % packs;
  let ox = index / packs % tiles * 8;
  let oy = index / packs / tiles;

  var sum0 = bias[pack];
  var sum1 = sum0;
  var sum2 = sum0;
  var sum3 = sum0;
  var sum4 = sum0;
  var sum5 = sum0;
  var sum6 = sum0;
  var sum7 = sum0;
  let low = vec4i(0, 1, 2, 3) * p.STRIDE;
  let high = vec4i(4, 5, 6, 7) * p.STRIDE;
  for (var di = 0; di < p.K; di++) {
    let y = oy * p.STRIDE + di - p.padTop;
    if (y < 0 || y >= p.H) {
      continue;
    }
    for (var dj = 0; dj < p.K; dj++) {
      let left = ox * p.STRIDE + dj - p.padLeft;
      let insideLow = (left + low >= vec4i(0)) & (left + low < vec4i(p.W));
      let insideHigh = (left + high >= vec4i(0)) & (left + high < vec4i(p.W));
      let at = (y * p.W + clamp(left + low, vec4i(0), vec4i(p.W - 1))) * p.C;
      let atHigh = (y * p.W + clamp(left + high, vec4i(0), vec4i(p.W - 1))) * p.C;
      for (var c = 0; c < p.C; c++) {
        let w = weights[((di * p.K + dj) * p.C + c) * packs + pack];
        let a = select(vec4f(), vec4f(input[at.x + c], input[at.y + c], input[at.z + c], input[at.w + c]), insideLow);
        let high = vec4f(input[atHigh.x + c], input[atHigh.y + c], input[atHigh.z + c], input[atHigh.w + c]);
        let b = select(vec4f(), high, insideHigh);
        sum0 += a.x * w;
        sum1 += a.y * w;
        sum2 += a.z * w;
        sum3 += a.w * w;
        sum4 += b.x * w;
        sum5 += b.y * w;
        sum6 += b.z * w;
        sum7 += b.w * w;
      }
    }
  }
  let pixel = oy * p.OW + ox;
  write(pixel, ox, pack, sum0);
  write(pixel + 1, ox + 1, pack, sum1);
  write(pixel + 2, ox + 2, pack, sum2);
  write(pixel + 3, ox + 3, pack, sum3);
  write(pixel + 4, ox + 4, pack, sum4);
  write(pixel + 5, ox + 5, pack, sum5);
  write(pixel + 6, ox + 6, pack, sum6);
  write(pixel + 7, ox + 7, pack, sum7);
}
