enable subgroups;
// Pointwise pass by quads: as pointwise.wgsl, with the four lanes of a quad sharing what they load of the input, and weights
// from a texture.
//
//   output[pixel, o] = activation(bias[o] + sum over k of input[pixel, k] * weights[k, o]),   pixel = (n*OH + oy)*OW + ox
//
// One workgroup is one quad and computes ROWS pixels by 4 * COLUMNS packs of 4 output channels; each lane has COLUMNS of the
// packs. For 4 k at a time each lane loads one k of each pixel and swaps it with the others: what a lane takes as its i-th is
// k + (lane ^ i), so that it loads its weights in that order, and no lane is ever selected by a variable. A turn of the loop
// takes STEPS times 4 k, because on SwiftShader each costs a dozen instructions for each number that it changes.
// Grid: ceil(PIXELS / ROWS) * ceil(O / (4 * COLUMNS * 4)) workgroups. No workgroup memory.
// Equals `pointwise` in src/reference.ts.

alias Elem = f32;          // spec: what bias and output are stored as: f32 or f16
alias Lanes = vec4f;       // spec: what one store writes: vec4f if O and O_STRIDE are multiples of 4, else f32
alias Stored = vec4<Elem>; // spec: Lanes as stored: vec4<Elem> or Elem
const LANES = 4;           // spec: 4 or 1, as Lanes
const PARTS = 1;           // spec: stores of a pack: 4 / LANES
const ROWS = 4;            // spec: pixels of a quad
const COLUMNS = 2;         // spec: packs of output channels of a lane
const STEPS = 2;           // spec: steps of 4 k in a turn of the loop, a divisor of K_STRIDE / 4
const QUAD = 4;            // invocations of a workgroup, and k of one step

struct Params {
  PIXELS: i32,             // N * OH * OW
  K: i32, O: i32,
  K_STRIDE: i32,           // channels from one input pixel to the next: K rounded up to a multiple of 4, the rest 0
  O_STRIDE: i32,           // channels from one output pixel to the next, at least O
  outputStart: i32,        // the output's first element in its binding
  alpha: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;             // [N, OH, OW, K_STRIDE], always f32
@group(0) @binding(2) var weights: texture_2d<f32>;                     // [K, ceil(O / 4)] of filter-texture.wgsl
@group(0) @binding(3) var nearest: sampler;
@group(0) @binding(4) var<storage, read> bias: array<Stored>;           // [O]
@group(0) @binding(5) var<storage, read_write> output: array<Stored>;   // [N, OH, OW, O]

fn biasOf(pack: i32, last: i32) -> vec4f { return vec4f(bias[min(pack, last)]); }   // spec: the 4 of a pack, in one load or four
fn split(x: vec4f) -> array<Lanes, PARTS> { return array<Lanes, PARTS>(x); }        // spec: x, or its 4 components
fn activation(x: vec4f, alpha: f32) -> vec4f { return x; }                          // spec: an expression of activations.wgsl

@compute @workgroup_size(QUAD)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) invocation: u32,
) {
  let index = i32(group.y * groups.x + group.x);
  let packs = (p.O + 3) / 4;
  let columnTiles = (packs + QUAD * COLUMNS - 1) / (QUAD * COLUMNS);
  let pixel = index / columnTiles * ROWS;
  if (pixel >= p.PIXELS) {
    return;
  }
  let lane = i32(invocation % QUAD);
  let pack = index % columnTiles * (QUAD * COLUMNS) + lane;
  let stores = p.O / LANES;
  let pixelStores = p.O_STRIDE / LANES; // Division is slow: once.
  let first = p.outputStart / LANES;

  var u: array<f32, COLUMNS>; // Texels are taken at their centres; what lies beyond the edge repeats it.
  for (var j = 0; j < COLUMNS; j++) { // unroll
    u[j] = (f32(pack + j * QUAD) + 0.5) / f32(packs);
  }
  var row: array<i32, ROWS>;
  var sum: array<array<vec4f, COLUMNS>, ROWS>;
  for (var r = 0; r < ROWS; r++) { // unroll
    row[r] = min(pixel + r, p.PIXELS - 1) * p.K_STRIDE + lane;
    for (var j = 0; j < COLUMNS; j++) { // unroll
      sum[r][j] = biasOf(pack + j * QUAD, stores - 1);
    }
  }
  for (var k = 0; k < p.K_STRIDE; k += QUAD * STEPS) {
    var b: array<array<mat4x4f, COLUMNS>, STEPS>;
    for (var s = 0; s < STEPS; s++) { // unroll
      for (var i = 0; i < QUAD; i++) { // unroll
        let v = (f32(k + s * QUAD + (lane ^ i)) + 0.5) / f32(p.K);
        for (var j = 0; j < COLUMNS; j++) { // unroll
          b[s][j][i] = textureSampleLevel(weights, nearest, vec2f(u[j], v), 0.0);
        }
      }
    }
    for (var r = 0; r < ROWS; r++) { // unroll
      var a: array<vec4f, STEPS>;
      for (var s = 0; s < STEPS; s++) { // unroll
        let own = input[row[r] + k + s * QUAD];
        a[s] = vec4f(own, quadSwapX(own), quadSwapY(own), quadSwapDiagonal(own));
      }
      for (var j = 0; j < COLUMNS; j++) { // unroll
        for (var s = 0; s < STEPS; s++) { // unroll
          sum[r][j] += b[s][j] * a[s]; // A third faster on SwiftShader than four products and their sums.
        }
      }
    }
  }
  for (var r = 0; r < ROWS; r++) { // unroll
    let at = first + (pixel + r) * pixelStores;
    for (var j = 0; j < COLUMNS; j++) { // unroll
      let parts = split(activation(sum[r][j], p.alpha));
      for (var i = 0; i < PARTS; i++) { // unroll
        let o = (pack + j * QUAD) * PARTS + i;
        if ((pixel + r < p.PIXELS) & (o < stores)) {
          output[at + o] = Stored(parts[i]);
        }
      }
    }
  }
}
