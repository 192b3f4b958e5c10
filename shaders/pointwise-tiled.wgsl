// Pointwise pass for GPUs: the matrix product of pointwise.wgsl through workgroup memory.
//
//   output[pixel, o] = activation(bias[o] + sum over k of input[pixel, k] * weights[k, o]),
//     pixel = (n*OH + oy)*OW + ox
//
// A workgroup of GROUP_X x GROUP_Y invocations computes GROUP_PIXELS pixels by TILE_COLUMNS packs of LANES output
// channels. In rounds of CHUNK k it loads its part of the input and of the weights once into workgroup memory, from
// where each invocation multiplies TILE_PIXELS pixels by COLUMNS packs, GROUP_X apart, into registers.
// Grid: ceil(PIXELS / GROUP_PIXELS) * ceil(O / (TILE_COLUMNS * LANES)) workgroups.
// Workgroup memory: 4 * CHUNK * (GROUP_PIXELS + TILE_COLUMNS * LANES) bytes. Equals `pointwise` in src/reference.ts.

alias Elem = f32;          // spec: what weights and output are stored as: f32 or f16
alias Input = vec4<InputElem>; // if INPUT_LANES == 4: what one load of the input yields
// alias Input = InputElem; // if INPUT_LANES == 1
alias InputElem = f32;     // if FIRST == 0
// alias InputElem = Elem; // if FIRST == 1
alias Lanes = vec4f;       // if LANES == 4
// alias Lanes = f32;      // if LANES == 1
alias Stored = vec4<Elem>; // if LANES == 4: Lanes as stored
// alias Stored = Elem;    // if LANES == 1
const INPUT_LANES = 4;     // spec: 4 or 1, as Input
const FIRST = 0;           // spec: 1 where the input is stored as Elem
const STRIDED = 0;         // spec: 1 where the pass has strides of its own
const SCALED = 0;          // spec: above 0 where input channels have factors; 2 where those are of several images
const RESIDUAL = 0;        // spec: lanes of the residual, which is added before the activation; 0 without
const LANES = 4;           // spec: 4 or 1, as Lanes
const TILE_PIXELS = 8;     // spec: pixels of one invocation
const COLUMNS = 1;         // spec: packs of output channels of one invocation
const GROUP_X = 16;        // spec: invocations along the output channels
const GROUP_Y = 8;         // spec: invocations along the pixels
const CHUNK = 16;          // spec: k of one round, a multiple of 4
const AHEAD = 0;           // spec: 1 where a round is loaded while the one before it is computed
const LOADS_A = 2;         // spec: loads of input of one invocation in a round: ceil(GROUP_PIXELS * STEPS / WORKGROUP)
const LOADS_B = 2;         // spec: the same of weights: ceil(CHUNK * TILE_COLUMNS / WORKGROUP)

const GROUP_PIXELS = TILE_PIXELS * GROUP_Y;
const TILE_COLUMNS = COLUMNS * GROUP_X;
const WORKGROUP = GROUP_X * GROUP_Y;
const STEP = 4;            // k of one load of the input
const STEPS = CHUNK / STEP;

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

var<workgroup> a: array<vec4f, GROUP_PIXELS * STEPS>;                   // [GROUP_PIXELS, CHUNK]
var<workgroup> b: array<Lanes, CHUNK * TILE_COLUMNS>;                   // [CHUNK, TILE_COLUMNS]

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

// The part of a round's input that an invocation loads, 0 beyond K.
fn loadA(k: i32, firstPixel: i32, end: i32, local: i32) -> array<vec4f, LOADS_A> {
  let steps = (p.K_STRIDE + STEP - 1) / STEP;
  var loaded: array<vec4f, LOADS_A>;
  for (var i = 0; i < LOADS_A; i++) { // unroll
    let at = local + i * WORKGROUP;
    let pixel = min(firstPixel + at / STEPS, end - 1);
    let step = k / STEP + at % STEPS;
    loaded[i] = select(vec4f(0.0), channels(startOf(pixel), min(step, steps - 1) * STEP), step < steps);
  }
  return loaded;
}
// The part of a round's weights that it loads.
fn loadB(k: i32, firstPack: i32, image: i32, local: i32) -> array<Lanes, LOADS_B> {
  let packs = p.O / LANES;
  var loaded: array<Lanes, LOADS_B>;
  for (var i = 0; i < LOADS_B; i++) { // unroll
    let at = local + i * WORKGROUP;
    let pack = min(firstPack + at % TILE_COLUMNS, packs - 1);
    let weightRow = min(k + at / TILE_COLUMNS, p.K - 1);
    loaded[i] = Lanes(weights[weightRow * packs + pack]);
    // loaded[i] *= f32(inputScale[p.scaleStart + image * p.K + weightRow]); // if SCALED > 0
  }
  return loaded;
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let local = i32(index);
  let tile = group.y * groups.x + group.x;
  let packs = p.O / LANES;
  let columnTiles = u32(packs + TILE_COLUMNS - 1) / TILE_COLUMNS; // Unsigned divisions take half the instructions.
  var image = 0;
  // image = i32(group.z); // if SCALED > 1
  let first = image * p.PIXELS;
  let end = first + p.PIXELS;
  let firstPixel = first + i32(tile / columnTiles) * GROUP_PIXELS;
  if (firstPixel >= end) {
    return;
  }
  let firstPack = i32(tile % columnTiles) * TILE_COLUMNS;
  let row = i32(id.y);
  let column = i32(id.x);

  var sum: array<array<Lanes, COLUMNS>, TILE_PIXELS>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    let start = Lanes(bias[min(firstPack + column + j * GROUP_X, packs - 1)]);
    for (var r = 0; r < TILE_PIXELS; r++) { // unroll
      sum[r][j] = start;
    }
  }
  // var freshA = loadA(0, firstPixel, end, local); // if AHEAD == 1
  // var freshB = loadB(0, firstPack, image, local); // if AHEAD == 1
  for (var k = 0; k < p.K_STRIDE; k += CHUNK) {
    let freshA = loadA(k, firstPixel, end, local); // if AHEAD == 0
    let freshB = loadB(k, firstPack, image, local); // if AHEAD == 0
    for (var i = 0; i < LOADS_A; i++) { // unroll
      if (local + i * WORKGROUP < GROUP_PIXELS * STEPS) {
        a[local + i * WORKGROUP] = freshA[i];
      }
    }
    for (var i = 0; i < LOADS_B; i++) { // unroll
      if (local + i * WORKGROUP < CHUNK * TILE_COLUMNS) {
        b[local + i * WORKGROUP] = freshB[i];
      }
    }
    workgroupBarrier();
    // freshA = loadA(k + CHUNK, firstPixel, end, local); // if AHEAD == 1
    // freshB = loadB(k + CHUNK, firstPack, image, local); // if AHEAD == 1
    for (var step = 0; step < STEPS; step++) {
      for (var j = 0; j < COLUMNS; j++) { // unroll
        let at = step * STEP * TILE_COLUMNS + column + j * GROUP_X;
        let b0 = b[at];
        let b1 = b[at + TILE_COLUMNS];
        let b2 = b[at + 2 * TILE_COLUMNS];
        let b3 = b[at + 3 * TILE_COLUMNS];
        for (var r = 0; r < TILE_PIXELS; r++) { // unroll
          let x = a[(row + r * GROUP_Y) * STEPS + step];
          // One by one: the sum of four products would take a fifth instruction, which adds it.
          sum[r][j] += x.x * b0;
          sum[r][j] += x.y * b1;
          sum[r][j] += x.z * b2;
          sum[r][j] += x.w * b3;
        }
      }
    }
    workgroupBarrier();
  }
  for (var j = 0; j < COLUMNS; j++) { // unroll
    let pack = firstPack + column + j * GROUP_X;
    for (var r = 0; r < TILE_PIXELS; r++) { // unroll
      let pixel = firstPixel + row + r * GROUP_Y;
      if (pixel < end && pack < packs) {
        let at = (p.outputStart + pixel * p.O_STRIDE) / LANES + pack;
        output[at] = Stored(activation(completed(sum[r][j], at), p.alpha));
      }
    }
  }
}
