// Turns a tensor into a picture: texel [x, y] = the colour input[y, x], which the format clamps to 0..1, opaque.
// One invocation writes one texel. Workgroup 8×8, grid W/8 × H/8. The way back from picture.wgsl.

@group(0) @binding(0) var<storage, read> input: array<f32>;                    // [1, H, W, 3]
@group(0) @binding(1) var picture: texture_storage_2d<rgba8unorm, write>;      // W×H

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let size = textureDimensions(picture);
  if (any(at.xy >= size)) {
    return;
  }
  let pixel = (at.y * size.x + at.x) * 3;
  textureStore(picture, at.xy, vec4f(input[pixel], input[pixel + 1], input[pixel + 2], 1));
}
