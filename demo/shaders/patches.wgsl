// What each pixel of a full convolution reads, side by side, so that a 1×1 convolution computes the rest:
//
//   output[oy, ox, (di*K + dj)*C + c] = input[oy*STRIDE + di - padTop, ox*STRIDE + dj - padLeft, c], 0 outside
//
// Channels are filled up to a multiple of 4 with zeros. One invocation copies a patch, row by row: a row lies side by
// side in the input too. Workgroup 64, grid OH*OW / 64, over two dimensions where one does not hold it. Equals
// `patches` in demo/networks/reference.ts.

struct Params {
  H: i32, W: i32, C: i32, K: i32,                     // K: rows and columns of a patch
  OH: i32, OW: i32, DEPTH: i32, STRIDE: i32,          // DEPTH: channels of the output
  padTop: i32, padLeft: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;             // [1, H, W, C]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;      // [1, OH, OW, DEPTH]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let pixel = i32(id.y * groups.x * 64 + id.x);
  if (pixel >= p.OH * p.OW) {
    return;
  }
  let length = p.K * p.C;                                               // of a row
  let top = pixel / p.OW * p.STRIDE - p.padTop;
  let left = (pixel % p.OW * p.STRIDE - p.padLeft) * p.C;               // in the input's rows, which have W*C values
  let first = max(0, -left);                                            // of a row's values inside the input
  let end = min(length, p.W * p.C - left);
  var place = pixel * p.DEPTH;
  for (var y = top; y < top + p.K; y++) {
    let isInside = y >= 0 && y < p.H;
    if (!isInside || first > 0 || end < length) {
      for (var i = 0; i < length; i++) {
        output[place + i] = 0.0;
      }
    }
    if (isInside) {
      let start = y * p.W * p.C + left;
      for (var i = first; i < end; i++) {
        output[place + i] = input[start + i];
      }
    }
    place += length;
  }
  for (; place < (pixel + 1) * p.DEPTH; place++) {
    output[place] = 0.0;
  }
}
