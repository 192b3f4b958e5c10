// The two passes as anyone writes them first, one scalar output per invocation: what the library's kernels are
// compared with.
//
//   depthwise: output[oy, ox, k] = activation(bias[k] + sum over (di, dj) of
//     input[oy*STRIDE + di - padTop, ox*STRIDE + dj - padLeft, k / M] * weights[di, dj, k])
//   pointwise: output[oy, ox, o] = activation(bias[o] + sum over k of input[oy, ox, k] * weights[k, o])
//   activation(x) = max(min(x, ceiling), slope * x)
//
// Workgroup 64, channels fastest; the grid has two dimensions where one does not hold it. No workgroup memory.
// Equals `depthwise` and `pointwise` in src/reference.ts.

struct Params {
  H: i32, W: i32, C: i32, M: i32,
  KH: i32, KW: i32, OH: i32, OW: i32,
  O: i32, STRIDE: i32, padTop: i32, padLeft: i32,
  ceiling: f32, slope: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;             // [1, H, W, C] or [1, OH, OW, C*M]
@group(0) @binding(2) var<storage, read> weights: array<f32>;           // [KH, KW, C, M] or [C*M, O]
@group(0) @binding(3) var<storage, read> bias: array<f32>;              // [C*M] or [O]
@group(0) @binding(4) var<storage, read_write> output: array<f32>;      // [1, OH, OW, C*M] or [1, OH, OW, O]

fn activation(x: f32) -> f32 {
  return max(min(x, p.ceiling), p.slope * x);
}

@compute @workgroup_size(64)
fn depthwise(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = i32(id.y * groups.x * 64 + id.x);
  let K = p.C * p.M;
  if (index >= p.OH * p.OW * K) {
    return;
  }
  let k = index % K;
  let x0 = index / K % p.OW * p.STRIDE - p.padLeft;
  let y0 = index / K / p.OW * p.STRIDE - p.padTop;
  var sum = bias[k];
  for (var di = 0; di < p.KH; di++) {
    let y = y0 + di;
    for (var dj = 0; dj < p.KW; dj++) {
      let x = x0 + dj;
      if (y >= 0 && y < p.H && x >= 0 && x < p.W) {
        sum += input[(y * p.W + x) * p.C + k / p.M] * weights[(di * p.KW + dj) * K + k];
      }
    }
  }
  output[index] = activation(sum);
}

@compute @workgroup_size(64)
fn pointwise(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = i32(id.y * groups.x * 64 + id.x);
  let K = p.C * p.M;
  if (index >= p.OH * p.OW * p.O) {
    return;
  }
  let o = index % p.O;
  let first = index / p.O * K;
  var sum = bias[o];
  for (var k = 0; k < K; k++) {
    sum += input[first + k] * weights[k * p.O + o];
  }
  output[index] = activation(sum);
}
