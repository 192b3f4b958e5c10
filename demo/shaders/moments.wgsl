// Takes the network's mask over into the one that is kept from frame to frame, and writes the products whose local means
// the guided filter needs.
//
// What the network is sure of (near 0 or 1) replaces the old value at once; the less sure it is, the more of the old
// value stays, up to `keep`, so that edges do not flicker. With keep = 0 nothing stays, for single pictures.
//
// The 16 moments of a pixel, for its colour r, g, b and its mask p:
//   r, g, b, p,  rr, rg, rb, gg,  gb, bb, rp, gp,  bp, 1, 0, 0
// The mean of the 1 is the share of the window that lies inside the picture, for padding counts as 0.
//
// One invocation does one pixel. Workgroup 8×8, grid SIDE/8 × SIDE/8.

const SIDE = 256u;

struct Params { keep: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> picture: array<f32>;               // [1, SIDE, SIDE, 3]
@group(0) @binding(2) var<storage, read> fresh: array<f32>;                 // [1, SIDE/2, SIDE/2, 4]: 2×2 pixels each
@group(0) @binding(3) var<storage, read_write> mask: array<f32>;            // [1, SIDE, SIDE, 1]
@group(0) @binding(4) var<storage, read_write> moments: array<mat4x4f>;     // [1, SIDE, SIDE, 16]

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let pixel = at.y * SIDE + at.x;
  let block = at.y / 2 * (SIDE / 2) + at.x / 2;
  let sure = clamp(fresh[block * 4 + at.y % 2 * 2 + at.x % 2], 0.0, 1.0);
  let doubt = 4 * sure * (1 - sure);
  let m = mix(sure, mask[pixel], p.keep * doubt);
  mask[pixel] = m;
  let c = vec3f(picture[pixel * 3], picture[pixel * 3 + 1], picture[pixel * 3 + 2]);
  moments[pixel] = mat4x4f(
    vec4f(c, m),
    vec4f(c.r * c, c.g * c.g),
    vec4f(c.g * c.b, c.b * c.b, c.rg * m),
    vec4f(c.b * m, 1, 0, 0),
  );
}
