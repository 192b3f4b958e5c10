// What each pixel of a full convolution reads, side by side, so that a 1×1 convolution computes the rest:
//
//   output[oy, ox, (di*K + dj)*C + c] = input[oy*STRIDE + di - padTop, ox*STRIDE + dj - padLeft, c], 0 outside
//
// Channels are filled up to a multiple of 4 with zeros. A row of a patch lies side by side in the input too: one
// invocation copies at most RUN values of one. Workgroup 64, grid OH*OW*K*RUNS / 64, over two dimensions where one does
// not hold it. Equals `patches` in demo/networks/reference.ts.

const RUN = 16;

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
  let index = i32(id.y * groups.x * 64 + id.x);
  let length = p.K * p.C;
  let runs = (length + RUN - 1) / RUN;
  if (index >= p.OH * p.OW * p.K * runs) {
    return;
  }
  let first = index % runs * RUN;
  let di = index / runs % p.K;
  let pixel = index / runs / p.K;
  let y = pixel / p.OW * p.STRIDE + di - p.padTop;
  let left = (pixel % p.OW * p.STRIDE - p.padLeft) * p.C;               // of the patch in its row, which has W*C values
  let start = y * p.W * p.C + left;
  let isInside = y >= 0 && y < p.H;
  let place = pixel * p.DEPTH + di * length;
  for (var i = first; i < min(first + RUN, length); i++) {
    let inside = isInside && left + i >= 0 && left + i < p.W * p.C;
    output[place + i] = select(0.0, input[select(0, start + i, inside)], inside);
  }
  if (di == p.K - 1 && first + RUN >= length) {
    for (var i = p.K * length; i < p.DEPTH; i++) {
      output[pixel * p.DEPTH + i] = 0.0;
    }
  }
}
