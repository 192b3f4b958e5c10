// Weighs each pixel of the small picture by how surely it is background: (r*w, g*w, b*w, w), and takes the means of
// blocks of 2×2. Blurred, and then divided by the blurred weight, that is a mean of background only: nothing of the
// person bleeds into it.
//
// One invocation does one block. Workgroup 8×8, grid HALF/8 × HALF/8.

const HALF = 128u;
const LEAST = 0.001;   // Of a person's pixel, so that far from any background there still is something to divide.

@group(0) @binding(0) var<storage, read> picture: array<f32>;               // [1, 2*HALF, 2*HALF, 3]
@group(0) @binding(1) var coefficients: texture_2d<f32>;                    // HALF×HALF, of guide.wgsl: a, b
@group(0) @binding(2) var<storage, read_write> weighted: array<vec4f>;      // [1, HALF, HALF, 4]

fn weigh(pixel: u32, coefficient: vec4f) -> vec4f {
  let colour = vec4f(picture[pixel * 3], picture[pixel * 3 + 1], picture[pixel * 3 + 2], 1);
  // What is half a person counts as one already: at edges the mask is never exact.
  let weight = 1 - smoothstep(0.05, 0.5, dot(coefficient, colour));
  return max(weight, LEAST) * colour;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let coefficient = textureLoad(coefficients, at.xy, 0);
  let pixel = 4 * at.y * HALF + 2 * at.x;
  weighted[at.y * HALF + at.x] = 0.25 * (weigh(pixel, coefficient) + weigh(pixel + 1, coefficient)
    + weigh(pixel + 2 * HALF, coefficient) + weigh(pixel + 2 * HALF + 1, coefficient));
}
