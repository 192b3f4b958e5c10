// Pointwise pass: a matrix product that mixes the channels of each pixel.
//
//   output[pixel, o] = activation(bias[o] + sum over k of input[pixel, k] * weights[k, o]),
//     pixel = (n*OH + oy)*OW + ox
//
// One invocation computes TILE_PIXELS pixels by COLUMNS packs of LANES output channels in registers, 4 k at a time. A
// workgroup is WORKGROUP neighbours, output channels fastest.
// Grid: ceil(PIXELS / TILE_PIXELS) * ceil(O / (COLUMNS * LANES)) invocations. No workgroup memory.
// Equals `pointwise` in src/reference.ts.

alias Elem = f32;          // spec: what weights and output are stored as: f32 or f16
alias Input = vec4<InputElem>; // if INPUT_LANES == 4: what one load of the input yields
// alias Input = InputElem; // if INPUT_LANES == 1
alias InputElem = f32;     // if FIRST == 0
// alias InputElem = Elem; // if FIRST == 1
alias Lanes = vec4f;       // if LANES == 4
// alias Lanes = f32;      // if LANES == 1
alias Stored = vec4<Elem>; // if LANES == 4: Lanes as stored
// alias Stored = Elem;    // if LANES == 1
alias Weights = mat4x4f;   // if LANES == 4: 4 k of one pack
// alias Weights = vec4f;  // if LANES == 1
const INPUT_LANES = 4;     // spec: 4 or 1, as Input
const FIRST = 0;           // spec: 1 where the input is stored as Elem
const STRIDED = 0;         // spec: 1 where the pass has strides of its own
const SCALED = 0;          // spec: above 0 where input channels have factors; 2 where those are of several images
const RESIDUAL = 0;        // spec: lanes of the residual, which is added before the activation; 0 without
const LANES = 4;           // spec: 4 or 1, as Lanes
const TILE_PIXELS = 4;     // spec: pixels of one invocation
const COLUMNS = 2;         // spec: packs of output channels of one invocation
const WORKGROUP = 64;      // spec: invocations of a workgroup
const STEP = 4;            // k of one load of the input

struct Params {
  PIXELS: i32,             // N * OH * OW
  K: i32, O: i32,
  K_STRIDE: i32,           // from one input pixel to the next: K, or that rounded up with zeros to packs of 4
  O_STRIDE: i32,           // channels from one output pixel to the next, at least O
  inputStart: i32, outputStart: i32, // the first elements of input and output in their bindings
  scaleStart: i32,         // the first factor in its binding
  H: i32, W: i32, OH: i32, OW: i32, SH: i32, SW: i32, // used where STRIDED == 1
  alpha: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Input>;           // [PIXELS, K_STRIDE], or strided [N, H, W, K]
@group(0) @binding(2) var<storage, read> weights: array<Stored>;        // [1, 1, K, O]
@group(0) @binding(3) var<storage, read> bias: array<Stored>;           // [O]
// @group(0) @binding(4) var<storage, read> inputScale: array<Elem>; // if SCALED > 0: [N, K]
// @group(0) @binding(4) var<storage, read> residual: array<Stored>; // if RESIDUAL > 0: [N, OH, OW, O]
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;   // [N, OH, OW, O]

// On SwiftShader a matrix times a vector is a third faster than four products and their sums.
fn product(b: Weights, a: vec4f) -> Lanes {
  return b * a;            // if LANES == 4
  // return dot(b, a);     // if LANES == 1
}
// Where the channels of a pixel begin in the input.
fn startOf(pixel: i32) -> i32 {
  let at = pixel;          // if STRIDED == 0
  // let row = pixel / (p.OW * p.OH) * p.H + pixel / p.OW % p.OH * p.SH; // if STRIDED == 1
  // let at = row * p.W + pixel % p.OW * p.SW; // if STRIDED == 1
  return (p.inputStart + at * p.K_STRIDE) / INPUT_LANES;
}
// 4 channels from k on, 0 beyond K.
fn channels(start: i32, k: i32) -> vec4f {
  return vec4f(input[start + k / STEP]); // if INPUT_LANES == 4
  // let x = vec4f(f32(input[start + k]), f32(input[start + k + 1]), // if INPUT_LANES == 1
  //   f32(input[start + k + 2]), f32(input[start + k + 3])); // if INPUT_LANES == 1
  // return select(vec4f(0.0), x, k + vec4i(0, 1, 2, 3) < vec4i(p.K)); // if INPUT_LANES == 1
}
// Sums with the residual, which is laid out as the output.
fn completed(sum: Lanes, at: i32) -> Lanes {
  return sum;              // if RESIDUAL == 0
  // return sum + Lanes(residual[at]); // if RESIDUAL > 0
}
fn activation(x: Lanes, alpha: f32) -> Lanes { return x; } // body of activations.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = i32((group.y * groups.x + group.x) * WORKGROUP + local);
  let packs = p.O / LANES;
  let columnTiles = (packs + COLUMNS - 1) / COLUMNS;
  var image = 0;           // Known where it can be: lavapipe takes 1.2 to 1.4 times as long where it is not.
  // image = i32(group.z); // if SCALED > 1
  let first = image * p.PIXELS;
  let end = first + p.PIXELS;
  let pixel = first + index / columnTiles * TILE_PIXELS;
  if (pixel >= end) {
    return;
  }
  let pack = index % columnTiles * COLUMNS;

  var column: array<i32, COLUMNS>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    column[j] = min(pack + j, packs - 1);
  }
  var row: array<i32, TILE_PIXELS>;
  var sum: array<array<Lanes, COLUMNS>, TILE_PIXELS>;
  for (var r = 0; r < TILE_PIXELS; r++) { // unroll
    row[r] = startOf(min(pixel + r, end - 1));
    for (var j = 0; j < COLUMNS; j++) { // unroll
      sum[r][j] = Lanes(bias[column[j]]);
    }
  }
  for (var k = 0; k < p.K_STRIDE; k += STEP) {
    var b: array<Weights, COLUMNS>;
    for (var i = 0; i < STEP; i++) { // unroll
      let weightRow = min(k + i, p.K - 1) * packs;
      // let factor = f32(inputScale[p.scaleStart + image * p.K + min(k + i, p.K - 1)]); // if SCALED > 0
      for (var j = 0; j < COLUMNS; j++) { // unroll
        b[j][i] = Lanes(weights[weightRow + column[j]]);
        // b[j][i] *= factor; // if SCALED > 0
      }
    }
    for (var r = 0; r < TILE_PIXELS; r++) { // unroll
      let a = channels(row[r], k);
      for (var j = 0; j < COLUMNS; j++) { // unroll
        sum[r][j] += product(b[j], a);
      }
    }
  }
  for (var r = 0; r < TILE_PIXELS; r++) { // unroll
    for (var j = 0; j < COLUMNS; j++) { // unroll
      if ((pixel + r < end) & (pack + j < packs)) {
        let at = (p.outputStart + (pixel + r) * p.O_STRIDE) / LANES + pack + j;
        output[at] = Stored(activation(completed(sum[r][j], at), p.alpha));
      }
    }
  }
}
