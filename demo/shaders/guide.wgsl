// The guided filter's coefficients (He, Sun, Tang: Guided Image Filtering, 2010), with the colour as guide: within each
// window the mask is taken for a linear function of the colour,
//
//   mask = dot(a, colour) + b,  a = (covariance of the colour + EPSILON)^-1 * (covariance of colour and mask),
//   b = mean of the mask - dot(a, mean colour)
//
// so that where the picture has an edge, the mask gets it too, down to hair. Means are of the 16 moments that
// moments.wgsl writes, weighted, and each divided by the mean of the 1.
//
// One invocation does one pixel. Workgroup 64, grid HALF*HALF/64.

const EPSILON = 4e-4;  // Variances below it are noise: 0.02 as a standard deviation, 5 of 255.

@group(0) @binding(0) var<storage, read> means: array<mat4x4f>;             // [1, HALF, HALF, 16]
@group(0) @binding(1) var<storage, read_write> coefficients: array<vec4f>;  // [1, HALF, HALF, 4]: a, b

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let m = means[id.x] * (1 / means[id.x][3].y);
  let mean = m[0].rgb;
  let mask = m[0].w;
  let rr = m[1].x - mean.r * mean.r + EPSILON;
  let rg = m[1].y - mean.r * mean.g;
  let rb = m[1].z - mean.r * mean.b;
  let gg = m[1].w - mean.g * mean.g + EPSILON;
  let gb = m[2].x - mean.g * mean.b;
  let bb = m[2].y - mean.b * mean.b + EPSILON;
  let together = vec3f(m[2].zw, m[3].x) - mean * mask;
  // The inverse of a symmetric matrix by its cofactors.
  let r = vec3f(gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb);
  let g = vec3f(r.y, rr * bb - rb * rb, rb * rg - rr * gb);
  let b = vec3f(r.z, g.z, rr * gg - rg * rg);
  let determinant = dot(vec3f(rr, rg, rb), r);
  let a = vec3f(dot(r, together), dot(g, together), dot(b, together)) / determinant;
  coefficients[id.x] = vec4f(a, mask - dot(a, mean));
}
