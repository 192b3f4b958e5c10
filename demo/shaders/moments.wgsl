// Takes the network's mask over into the one that is kept from frame to frame, and writes the products whose local
// means the guided filter needs.
//
// What the network is sure of (near 0 or 1) replaces the old value at once; the less sure it is, the more of the old
// value stays, up to `keep`, so that edges do not flicker. With keep = 0 nothing stays, for single pictures.
//
// The 16 moments of a block of 2×2 pixels are means over the four, of the colour r, g, b and the mask p of each:
//   r, g, b, p,  rr, rg, rb, gg,  gb, bb, rp, gp,  bp, 1, 0, 0
// The mean of the 1 over a window is the share of it that lies inside the picture, for padding counts as 0.
//
// One invocation does one block. Workgroup 8×8, grid HALF/8 × HALF/8.

const HALF = 128u;

struct Params { keep: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> picture: array<f32>;               // [1, 2*HALF, 2*HALF, 3]
@group(0) @binding(2) var<storage, read> fresh: array<vec4f>;               // [1, HALF, HALF, 4]: row by row of a block
@group(0) @binding(3) var<storage, read_write> mask: array<vec4f>;          // as fresh
@group(0) @binding(4) var<storage, read_write> moments: array<mat4x4f>;     // [1, HALF, HALF, 16]

fn momentsOf(pixel: u32, m: f32) -> mat4x4f {
  let c = vec3f(picture[pixel * 3], picture[pixel * 3 + 1], picture[pixel * 3 + 2]);
  return mat4x4f(
    vec4f(c, m),
    vec4f(c.r * c, c.g * c.g),
    vec4f(c.g * c.b, c.b * c.b, c.rg * m),
    vec4f(c.b * m, 1, 0, 0),
  );
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let block = at.y * HALF + at.x;
  let sure = clamp(fresh[block], vec4f(0), vec4f(1));
  let doubt = 4 * sure * (1 - sure);
  let m = mix(sure, mask[block], p.keep * doubt);
  mask[block] = m;
  let pixel = 4 * at.y * HALF + 2 * at.x;
  moments[block] = 0.25 * (momentsOf(pixel, m.x) + momentsOf(pixel + 1, m.y)
    + momentsOf(pixel + 2 * HALF, m.z) + momentsOf(pixel + 2 * HALF + 1, m.w));
}
