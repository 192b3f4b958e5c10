// Weighs each pixel of the small picture by how surely it is background: (r*w, g*w, b*w, w). Blurred, and then divided
// by the blurred weight, that is a mean of background only: nothing of the person bleeds into it.
//
// One invocation does one pixel. Workgroup 8×8, grid SIDE/8 × SIDE/8.

const SIDE = 256u;
const LEAST = 0.001;   // Of a person's pixel, so that far from any background there still is something to divide.

@group(0) @binding(0) var<storage, read> picture: array<f32>;               // [1, SIDE, SIDE, 3]
@group(0) @binding(1) var coefficients: texture_2d<f32>;                    // SIDE×SIDE, of guide.wgsl: a, b
@group(0) @binding(2) var<storage, read_write> weighted: array<vec4f>;      // [1, SIDE, SIDE, 4]

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let pixel = at.y * SIDE + at.x;
  let colour = vec3f(picture[pixel * 3], picture[pixel * 3 + 1], picture[pixel * 3 + 2]);
  let mask = dot(textureLoad(coefficients, at.xy, 0), vec4f(colour, 1));
  // What is half a person counts as one already: at edges the mask is never exact.
  let weight = 1 - smoothstep(0.05, 0.5, mask);
  weighted[pixel] = max(weight, LEAST) * vec4f(colour, 1);
}
