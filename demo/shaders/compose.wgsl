// Puts the frame together: the person as in the frame, in front of another background; or the mask alone, in grey.
// Draws one triangle that covers the target, which has the frame's size.
//
// Where the mask is between 0 and 1, a pixel of the frame is a mixture of the person's colour and the old background's.
// The old background is about what its blurred version is, so that the person's own colour can be solved for: without
// that, hair keeps a seam of the old background.

struct Params {
  colour: vec3f,
  mode: u32,            // 0: the frame's own background, blurred; 1: a colour; 2: a picture; 3: the mask
  backdropScale: vec2f, // of the picture, which covers the frame: 1 in one direction, less in the other
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var frame: texture_2d<f32>;           // W×H
@group(0) @binding(2) var coefficients: texture_2d<f32>;    // of guide.wgsl: mask = dot((a, b), (colour, 1))
@group(0) @binding(3) var blurred: texture_2d<f32>;         // the background, blurred
@group(0) @binding(4) var backdrop: texture_2d<f32>;
@group(0) @binding(5) var smoothly: sampler;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
  return vec4f(f32(index / 2) * 4 - 1, f32(index % 2) * 4 - 1, 0, 1);
}

@fragment
fn pixel(@builtin(position) at: vec4f) -> @location(0) vec4f {
  let uv = at.xy / vec2f(textureDimensions(frame));
  let seen = textureLoad(frame, vec2u(at.xy), 0).rgb;
  let linear = dot(textureSampleLevel(coefficients, smoothly, uv, 0), vec4f(seen, 1));
  let mask = smoothstep(0.1, 0.9, linear); // The filter leaves a little everywhere; what is nearly sure is sure.
  if (p.mode == 3) {
    return vec4f(vec3f(mask), 1);
  }
  let old = textureSampleLevel(blurred, smoothly, uv, 0).rgb;
  if (p.mode == 0) {
    return vec4f(mix(old, seen, mask), 1);
  }
  let person = clamp((seen - (1 - mask) * old) / max(mask, 0.01), vec3f(0), vec3f(1));
  let picture = textureSampleLevel(backdrop, smoothly, (uv - 0.5) * p.backdropScale + 0.5, 0).rgb;
  return vec4f(mix(select(picture, p.colour, p.mode == 1), person, mask), 1);
}
