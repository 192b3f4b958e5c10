// What each pixel of a full convolution reads, side by side, so that a 1×1 convolution computes the rest:
//
//   output[oy, ox, (di*K + dj)*C + c] = input[oy*STRIDE + di - padTop, ox*STRIDE + dj - padLeft, c], 0 outside
//
// Channels are filled up to a multiple of 4 with zeros. Workgroup 64; the grid has two dimensions where one does not
// hold it. Equals `patches` in demo/networks/reference.ts.

struct Params {
  H: i32, W: i32, PACKS: i32, K: i32,                 // PACKS: C / 4; K: rows and columns of a patch
  OH: i32, OW: i32, STRIDE: i32,
  padTop: i32, padLeft: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> picture: array<f32>;           // [1, H, W, 3]
@group(0) @binding(1) var<storage, read> input: array<vec4f>;           // [1, H, W, C]
@group(0) @binding(2) var<storage, read_write> output: array<vec4f>;    // [1, OH, OW, K*K*C or 28]

fn isInside(y: i32, x: i32) -> bool {
  return y >= 0 && y < p.H && x >= 0 && x < p.W;
}

fn colour(y: i32, x: i32) -> vec3f {
  let inside = isInside(y, x);
  let at = select(0, (y * p.W + x) * 3, inside);
  return select(vec3f(), vec3f(picture[at], picture[at + 1], picture[at + 2]), inside);
}

// 3×3 pixels of three channels. One invocation copies a patch. Loops over its values take 2.5 times as long on
// SwiftShader. Grid OH*OW / 64.
@compute @workgroup_size(64)
fn ofPicture(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = i32(id.y * groups.x * 64 + id.x);
  if (index >= p.OH * p.OW) {
    return;
  }
  let y = index / p.OW * p.STRIDE - p.padTop;
  let x = index % p.OW * p.STRIDE - p.padLeft;
  let a0 = colour(y, x);
  let a1 = colour(y, x + 1);
  let a2 = colour(y, x + 2);
  let b0 = colour(y + 1, x);
  let b1 = colour(y + 1, x + 1);
  let b2 = colour(y + 1, x + 2);
  let c0 = colour(y + 2, x);
  let c1 = colour(y + 2, x + 1);
  let c2 = colour(y + 2, x + 2);
  let first = 7 * index;
  output[first] = vec4f(a0, a1.x);
  output[first + 1] = vec4f(a1.yz, a2.xy);
  output[first + 2] = vec4f(a2.z, b0);
  output[first + 3] = vec4f(b1, b2.x);
  output[first + 4] = vec4f(b2.yz, c0.xy);
  output[first + 5] = vec4f(c0.z, c1);
  output[first + 6] = vec4f(c2, 0);
}

// Of any size, channels in fours. One invocation copies four channels of a tap, channels fastest.
// Grid OH*OW*K*K*C/4 / 64.
@compute @workgroup_size(64)
fn ofPacks(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = i32(id.y * groups.x * 64 + id.x);
  let taps = p.K * p.K;
  if (index >= p.OH * p.OW * taps * p.PACKS) {
    return;
  }
  let pack = index % p.PACKS;
  let tap = index / p.PACKS % taps;
  let pixel = index / p.PACKS / taps;
  let y = pixel / p.OW * p.STRIDE + tap / p.K - p.padTop;
  let x = pixel % p.OW * p.STRIDE + tap % p.K - p.padLeft;
  let inside = isInside(y, x);
  let at = select(0, (y * p.W + x) * p.PACKS + pack, inside);
  output[index] = select(vec4f(), input[at], inside);
}
