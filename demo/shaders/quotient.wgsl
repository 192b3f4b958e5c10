// Divides weighted means by the mean weight, and leaves them in a texture, which can be sampled between its pixels:
//
//   texel[x, y] = values[y, x] / weights[(y*HALF + x) * STRIDE + OFFSET]
//
// One invocation writes one texel. Workgroup 8×8, grid HALF/8 × HALF/8.

struct Params { STRIDE: u32, OFFSET: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<vec4f>;                  // [1, HALF, HALF, 4]
@group(0) @binding(2) var<storage, read> weights: array<f32>;                   // [1, HALF, HALF, STRIDE]
@group(0) @binding(3) var result: texture_storage_2d<rgba16float, write>;       // HALF×HALF

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let pixel = at.y * textureDimensions(result).x + at.x;
  textureStore(result, at.xy, values[pixel] / weights[pixel * p.STRIDE + p.OFFSET]);
}
