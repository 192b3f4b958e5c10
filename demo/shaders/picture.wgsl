// Turns a picture into the first tensor of a network: output[y, x, c] = scale * colour[y, x, c] + offset[c].
// One invocation writes one pixel, red, green, blue. Workgroup 8×8, grid W/8 × H/8.

struct Params {
  offset: vec3f,
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var picture: texture_2d<f32>;                     // sRGB values from 0 to 1, as stored
@group(0) @binding(2) var<storage, read_write> output: array<f32>;      // [1, H, W, 3]

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let size = textureDimensions(picture);
  if (any(at.xy >= size)) {
    return;
  }
  let colour = p.scale * textureLoad(picture, at.xy, 0).rgb + p.offset;
  let pixel = (at.y * size.x + at.x) * 3;
  output[pixel] = colour.r;
  output[pixel + 1] = colour.g;
  output[pixel + 2] = colour.b;
}
