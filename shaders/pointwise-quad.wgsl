enable subgroups;
// Pointwise pass by quads: as pointwise.wgsl, with weights kept from pixel to pixel, and what is loaded of the input
// shared by the four lanes of a quad.
//
//   output[pixel, o] = activation(bias[o] + sum over k of input[pixel, k] * weights[k, o]),
//     pixel = (n*OH + oy)*OW + ox
//
// One workgroup is one quad and computes TILE_PIXELS pixels, one after the other, by 4 * COLUMNS packs of 4 output
// channels. Each lane has COLUMNS of the packs, and holds their weights for a block of 4 * STEPS k, which come from a
// texture. Between blocks the output holds the sums so far. Of each 4 k a lane loads one and swaps it with the other
// lanes. The i-th value that a lane takes is that of k + (lane ^ i), and it holds its weights in that order, so that no
// lane is ever selected by a variable.
// Grid: ceil(PIXELS / TILE_PIXELS) * ceil(O / (4 * COLUMNS * 4)) workgroups. No workgroup memory.
// Equals `pointwise` in src/reference.ts.

alias Lanes = vec4f;       // if LANES == 4: what one store writes
// alias Lanes = f32;      // if LANES == 1
const LANES = 4;           // spec: 4 or 1, as Lanes
const PARTS = 4 / LANES;   // stores of a pack
const COLUMNS = 2;         // spec: packs of output channels of a lane
const STEPS = 2;           // spec: steps of 4 k in a block
const ALONE = 0;           // spec: 1 where one block has all k
const EXACT_K = 0;         // spec: 1 where no step goes beyond K
const FULL_O = 0;          // spec: 1 where every tile of output channels is full
const STRIDED = 0;         // spec: 1 where the pass has strides of its own
const SCALED = 0;          // spec: above 0 where input channels have factors; 2 where those are of several images
const RESIDUAL = 0;        // spec: lanes of the residual, which is added before the activation; 0 without
const QUAD = 4;            // invocations of a workgroup, k of a step, and channels of a pack

struct Params {
  PIXELS: i32,             // N * OH * OW
  TILE_PIXELS: i32,        // pixels of a quad
  K: i32, O: i32,
  PIXEL_STRIDE: i32,       // from one input pixel to the next: 1 in a transposed input
  K_STEP: i32,             // from one k to the next
  O_STRIDE: i32,           // channels from one output pixel to the next, at least O
  inputStart: i32, outputStart: i32, // the first elements of input and output in their bindings
  scaleStart: i32,         // the first factor in its binding
  H: i32, W: i32, OH: i32, OW: i32, SH: i32, SW: i32, // used where STRIDED == 1
  alpha: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;             // [PIXELS, K], or transposed, or strided
@group(0) @binding(2) var weights: texture_2d<f32>;                     // [K, ceil(O / 4)] of filter-texture.wgsl
@group(0) @binding(3) var nearest: sampler;
@group(0) @binding(4) var<storage, read> bias: array<Lanes>;            // [O]
// @group(0) @binding(5) var<storage, read> inputScale: array<f32>; // if SCALED > 0: [N, K]
// @group(0) @binding(5) var<storage, read> residual: array<Lanes>; // if RESIDUAL > 0: [N, OH, OW, O]
@group(0) @binding(5) var<storage, read_write> output: array<Lanes>;    // [N, OH, OW, O]

// The pixel of the input that is read for one of the output.
fn inputPixel(pixel: i32) -> i32 {
  return pixel;            // if STRIDED == 0
  // let row = pixel / (p.OW * p.OH) * p.H + pixel / p.OW % p.OH * p.SH; // if STRIDED == 1
  // return row * p.W + pixel % p.OW * p.SW; // if STRIDED == 1
}
fn biasOf(pack: i32, last: i32) -> vec4f {
  return bias[min(pack, last)]; // if LANES == 4
  // let o = pack * 4;     // if LANES == 1
  // return vec4f(bias[min(o, last)], bias[min(o + 1, last)], // if LANES == 1
  //   bias[min(o + 2, last)], bias[min(o + 3, last)]); // if LANES == 1
}
// The sums so far of a pack, from the output.
fn soFar(at: i32, pack: i32, last: i32) -> vec4f {
  return output[at + min(pack, last)];  // if LANES == 4
  // let o = pack * 4;       // if LANES == 1
  // return vec4f(output[at + min(o, last)], output[at + min(o + 1, last)], // if LANES == 1
  //   output[at + min(o + 2, last)], output[at + min(o + 3, last)]); // if LANES == 1
}
// What sums begin with: the bias, and the residual, which is laid out as the output. Every block loads it, because
// SwiftShader takes longer for a branch or a loop here.
fn beginning(start: vec4f, at: i32, pack: i32, last: i32) -> vec4f {
  return start;              // if RESIDUAL == 0
  // return start + residual[at + min(pack, last)]; // if RESIDUAL == 4
  // let o = pack * 4;       // if RESIDUAL == 1
  // return start + vec4f(residual[at + min(o, last)], residual[at + min(o + 1, last)], // if RESIDUAL == 1
  //   residual[at + min(o + 2, last)], residual[at + min(o + 3, last)]); // if RESIDUAL == 1
}
fn begun(start: vec4f, at: i32, pack: i32, last: i32, block: i32) -> vec4f {
  // return beginning(start, at, pack, last); // if ALONE == 1
  return select(beginning(start, at, pack, last), soFar(at, pack, last), block > 0); // if ALONE == 0
}
fn within(x: f32, inside: bool) -> f32 {
  // return x;             // if EXACT_K == 1
  return select(0.0, x, inside); // if EXACT_K == 0
}
fn finished(sum: vec4f, alpha: f32, last: bool) -> vec4f {
  // return activation(sum, alpha); // if ALONE == 1
  return select(sum, activation(sum, alpha), last); // if ALONE == 0
}
fn insideO(o: i32, stores: i32) -> bool {
  // return true;          // if FULL_O == 1
  return o < stores;       // if FULL_O == 0
}
fn split(x: vec4f) -> array<Lanes, PARTS> {
  return array<Lanes, PARTS>(x); // if LANES == 4
  // return array<Lanes, PARTS>(x.x, x.y, x.z, x.w); // if LANES == 1
}
fn activation(x: vec4f, alpha: f32) -> vec4f { return x; } // body of activations.wgsl

@compute @workgroup_size(QUAD)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) invocation: u32,
) {
  let index = i32(group.y * groups.x + group.x);
  let packs = (p.O + 3) / 4;
  let columnTiles = (packs + QUAD * COLUMNS - 1) / (QUAD * COLUMNS);
  var image = 0;
  // image = i32(group.z); // if SCALED > 1
  let first = image * p.PIXELS;
  let pixel = first + index / columnTiles * p.TILE_PIXELS;
  // Never 0. Asked for here so that bounds checks in loops need not: each length costs SwiftShader four divisions.
  var length = min(arrayLength(&input), arrayLength(&output));
  // length = min(length, arrayLength(&residual)); // if RESIDUAL > 0
  if ((pixel >= first + p.PIXELS) | (length == 0u)) {
    return;
  }
  let end = min(pixel + p.TILE_PIXELS, first + p.PIXELS);
  let lane = i32(invocation % QUAD);
  let pack = index % columnTiles * (QUAD * COLUMNS) + lane;
  let stores = p.O / LANES;
  let pixelStores = p.O_STRIDE / LANES; // Divisions and uniforms are slow: none in the loop.
  let origin = p.outputStart / LANES;
  let pixelStride = p.PIXEL_STRIDE;
  let alpha = p.alpha;
  let texel = 1.0 / f32(p.K);

  var u: array<f32, COLUMNS>; // Texels are sampled at their centres; beyond the edge its texels repeat.
  var start: array<vec4f, COLUMNS>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    u[j] = (f32(pack + j * QUAD) + 0.5) / f32(packs);
    start[j] = biasOf(pack + j * QUAD, stores - 1);
  }
  for (var block = 0; block < p.K; block += QUAD * STEPS) {
    var b: array<array<mat4x4f, COLUMNS>, STEPS>; // The weights of 4 k, for each of 4 output channels.
    for (var i = 0; i < QUAD; i++) { // unroll
      let v = (f32(block + (lane ^ i)) + 0.5) * texel;
      for (var s = 0; s < STEPS; s++) { // unroll
        // let k = min(block + s * QUAD + (lane ^ i), p.K - 1); // if SCALED > 0
        // let factor = inputScale[p.scaleStart + image * p.K + k]; // if SCALED > 0
        for (var j = 0; j < COLUMNS; j++) { // unroll
          b[s][j][i] = textureSampleLevel(weights, nearest, vec2f(u[j], v + f32(s * QUAD) * texel), 0.0);
          // b[s][j][i] *= factor; // if SCALED > 0
        }
      }
    }
    let last = block + QUAD * STEPS >= p.K;
    var own: array<i32, STEPS>; // The lane's k of a step, in the first pixel.
    var inside: array<bool, STEPS>;
    for (var s = 0; s < STEPS; s++) { // unroll
      let k = block + s * QUAD + lane;
      own[s] = p.inputStart + k * p.K_STEP;
      inside[s] = k < p.K;
      for (var j = 0; j < COLUMNS; j++) { // unroll
        b[s][j] = transpose(b[s][j]);
      }
    }
    for (var row = pixel; row < end; row++) {
      let pixelStart = inputPixel(row) * pixelStride;
      var a: array<vec4f, STEPS>;
      for (var s = 0; s < STEPS; s++) { // unroll
        let x = within(input[pixelStart + own[s]], inside[s]);
        a[s] = vec4f(x, quadSwapX(x), quadSwapY(x), quadSwapDiagonal(x));
      }
      let at = origin + row * pixelStores;
      var sum: array<vec4f, COLUMNS>;
      for (var j = 0; j < COLUMNS; j++) { // unroll
        sum[j] = begun(start[j], at, pack + j * QUAD, stores - 1, block);
      }
      for (var s = 0; s < STEPS; s++) { // unroll
        for (var j = 0; j < COLUMNS; j++) { // unroll
          for (var o = 0; o < QUAD; o++) { // unroll
            sum[j][o] += dot(b[s][j][o], a[s]);
          }
        }
      }
      for (var j = 0; j < COLUMNS; j++) { // unroll
        let parts = split(finished(sum[j], alpha, last));
        for (var i = 0; i < PARTS; i++) { // unroll
          let o = (pack + j * QUAD) * PARTS + i;
          if (insideO(o, stores)) {
            output[at + o] = parts[i];
          }
        }
      }
    }
  }
}
