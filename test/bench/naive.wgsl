// The two passes as anyone writes them first, one output value per invocation: the floor of the benchmark.
//
// Entry points `depthwise`, from [N, H, W, C] to [N, OH, OW, K], and `pointwise`, from there to [N, OH, OW, O].
// Grid: (ceil(channels / 64), OW, N * OH) workgroups. No workgroup memory.
// Equal `depthwise` and `pointwise` in src/reference.ts without biases and activations.

struct Params {
  H: i32, W: i32, C: i32, M: i32,
  KH: i32, KW: i32, OH: i32, OW: i32,
  SH: i32, SW: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32, O: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;          // [KH, KW, C, M] or [K, O]
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn depthwise(@builtin(global_invocation_id) id: vec3u) {
  let K = p.C * p.M;
  let k = i32(id.x);
  let x0 = i32(id.y) * p.SW - p.padLeft;
  let n = i32(id.z) / p.OH;
  let y0 = i32(id.z) % p.OH * p.SH - p.padTop;
  if (k >= K) {
    return;
  }
  var sum = 0.0;
  for (var i = 0; i < p.KH; i++) {
    let y = y0 + i * p.RH;
    for (var j = 0; j < p.KW; j++) {
      let x = x0 + j * p.RW;
      if (y >= 0 && y < p.H && x >= 0 && x < p.W) {
        sum += input[((n * p.H + y) * p.W + x) * p.C + k / p.M] * weights[(i * p.KW + j) * K + k];
      }
    }
  }
  output[(i32(id.z) * p.OW + i32(id.y)) * K + k] = sum;
}

@compute @workgroup_size(64)
fn pointwise(@builtin(global_invocation_id) id: vec3u) {
  let K = p.C * p.M;
  let o = i32(id.x);
  let pixel = i32(id.z) * p.OW + i32(id.y);
  if (o >= p.O) {
    return;
  }
  var sum = 0.0;
  for (var k = 0; k < K; k++) {
    sum += input[pixel * K + k] * weights[k * p.O + o];
  }
  output[pixel * p.O + o] = sum;
}
