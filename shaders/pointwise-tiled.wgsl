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

const GROUP_PIXELS = TILE_PIXELS * GROUP_Y;
const TILE_COLUMNS = COLUMNS * GROUP_X;
const WORKGROUP = GROUP_X * GROUP_Y;
const STEP = 4;            // k of one load of the input
const STEPS = CHUNK / STEP;
const LOADS_A = (GROUP_PIXELS * STEPS + WORKGROUP - 1) / WORKGROUP; // loads of input of one invocation in a round
const LOADS_B = (CHUNK * TILE_COLUMNS + WORKGROUP - 1) / WORKGROUP; // the same of weights
// Whether all invocations load as often. Compilers put loads off until after the question whether they are needed.
const EXACT_A = LOADS_A * WORKGROUP == GROUP_PIXELS * STEPS;
const EXACT_B = LOADS_B * WORKGROUP == CHUNK * TILE_COLUMNS;

// Unsigned, because signed divisions take twice the instructions.
struct Params {
  PIXELS: u32,             // N * OH * OW
  K: u32, O: u32,
  K_STRIDE: u32,           // from one input pixel to the next: K, or that rounded up with zeros to packs of 4
  O_STRIDE: u32,           // channels from one output pixel to the next, at least O
  inputStart: u32, outputStart: u32, // the first elements of input and output in their bindings
  scaleStart: u32,         // the first factor in its binding
  H: u32, W: u32, OH: u32, OW: u32, SH: u32, SW: u32, // used where STRIDED == 1
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

// Where the channels of a pixel begin in the input, in loads.
fn startOf(pixel: u32) -> u32 {
  let at = pixel;          // if STRIDED == 0
  // let row = pixel / (p.OW * p.OH) * p.H + pixel / p.OW % p.OH * p.SH; // if STRIDED == 1
  // let at = row * p.W + pixel % p.OW * p.SW; // if STRIDED == 1
  return (p.inputStart + at * p.K_STRIDE) / INPUT_LANES;
}
// 4 channels.
fn channels(start: u32) -> vec4<InputElem> {
  return input[start];     // if INPUT_LANES == 4
  // return vec4(input[start], input[start + 1], input[start + 2], input[start + 3]); // if INPUT_LANES == 1
}
// The same from k on: 0 beyond K.
fn withinK(x: vec4<InputElem>, k: u32) -> vec4f {
  return select(vec4f(0.0), vec4f(x), k < p.K_STRIDE); // if INPUT_LANES == 4
  // return select(vec4f(0.0), vec4f(x), k + vec4u(0, 1, 2, 3) < vec4u(p.K)); // if INPUT_LANES == 1
}
// Sums with the residual, which is laid out as the output.
fn completed(sum: Lanes, at: u32) -> Lanes {
  return sum;              // if RESIDUAL == 0
  // return sum + Lanes(residual[at]); // if RESIDUAL > 0
}
// Weights of a k, times its factor.
fn scaled(x: Lanes, k: u32, image: u32) -> Lanes {
  return x;                // if SCALED == 0
  // return x * f32(inputScale[p.scaleStart + image * p.K + min(k, p.K - 1)]); // if SCALED > 0
}
fn activation(x: Lanes, alpha: f32) -> Lanes { return x; } // body of activations.wgsl

// The part of a round's input that an invocation loads; `begins` says where it is in the first round.
fn loadA(k: u32, begins: array<u32, LOADS_A>) -> array<vec4<InputElem>, LOADS_A> {
  var loaded: array<vec4<InputElem>, LOADS_A>;
  for (var i = 0u; i < LOADS_A; i++) { // unroll
    loaded[i] = channels(begins[i] + k / INPUT_LANES);
  }
  return loaded;
}
// The same of the weights. Beyond K, where the input counts as 0, they are those of the last k, which `ends` says.
fn loadB(k: u32, begins: array<u32, LOADS_B>, ends: array<u32, LOADS_B>) -> array<Stored, LOADS_B> {
  var loaded: array<Stored, LOADS_B>;
  for (var i = 0u; i < LOADS_B; i++) { // unroll
    loaded[i] = weights[min(begins[i] + k * (p.O / LANES), ends[i])];
  }
  return loaded;
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let tile = group.y * groups.x + group.x;
  let packs = p.O / LANES;
  let columnTiles = (packs + TILE_COLUMNS - 1) / TILE_COLUMNS;
  var image = 0u;
  // image = group.z;      // if SCALED > 1
  let first = image * p.PIXELS;
  let end = first + p.PIXELS;
  let firstPixel = first + tile / columnTiles * GROUP_PIXELS;
  if (firstPixel >= end) {
    return;
  }
  let firstPack = tile % columnTiles * TILE_COLUMNS;
  let row = id.y;
  let column = id.x;

  // Where the invocation's loads are in the first round, and where they would be for the last k.
  var fromA: array<u32, LOADS_A>;
  for (var i = 0u; i < LOADS_A; i++) { // unroll
    let at = local + i * WORKGROUP;
    fromA[i] = startOf(min(firstPixel + at / STEPS, end - 1)) + at % STEPS * (STEP / INPUT_LANES);
  }
  var fromB: array<u32, LOADS_B>;
  var toB: array<u32, LOADS_B>;
  for (var i = 0u; i < LOADS_B; i++) { // unroll
    let at = local + i * WORKGROUP;
    let pack = min(firstPack + at % TILE_COLUMNS, packs - 1);
    fromB[i] = at / TILE_COLUMNS * packs + pack;
    toB[i] = (p.K - 1) * packs + pack;
  }

  var sum: array<array<Lanes, COLUMNS>, TILE_PIXELS>;
  // var freshA = loadA(0, fromA); // if AHEAD == 1
  // var freshB = loadB(0, fromB, toB); // if AHEAD == 1
  for (var k = 0u; k < p.K_STRIDE; k += CHUNK) {
    let freshA = loadA(k, fromA); // if AHEAD == 0
    let freshB = loadB(k, fromB, toB); // if AHEAD == 0
    for (var i = 0u; i < LOADS_A; i++) { // unroll
      let at = local + i * WORKGROUP;
      if (EXACT_A || at < GROUP_PIXELS * STEPS) {
        a[at] = withinK(freshA[i], k + at % STEPS * STEP);
      }
    }
    for (var i = 0u; i < LOADS_B; i++) { // unroll
      let at = local + i * WORKGROUP;
      if (EXACT_B || at < CHUNK * TILE_COLUMNS) {
        b[at] = scaled(Lanes(freshB[i]), k + at / TILE_COLUMNS, image);
      }
    }
    workgroupBarrier();
    // freshA = loadA(k + CHUNK, fromA); // if AHEAD == 1
    // freshB = loadB(k + CHUNK, fromB, toB); // if AHEAD == 1
    for (var step = 0u; step < STEPS; step++) { // unroll
      var x: array<vec4f, TILE_PIXELS>;
      for (var r = 0u; r < TILE_PIXELS; r++) { // unroll
        x[r] = a[(row + r * GROUP_Y) * STEPS + step];
      }
      for (var j = 0u; j < COLUMNS; j++) { // unroll
        let b0 = b[(step * STEP + 0) * TILE_COLUMNS + column + j * GROUP_X];
        let b1 = b[(step * STEP + 1) * TILE_COLUMNS + column + j * GROUP_X];
        let b2 = b[(step * STEP + 2) * TILE_COLUMNS + column + j * GROUP_X];
        let b3 = b[(step * STEP + 3) * TILE_COLUMNS + column + j * GROUP_X];
        for (var r = 0u; r < TILE_PIXELS; r++) { // unroll
          // One by one: the sum of four products would take a fifth instruction, which adds it.
          sum[r][j] += x[r].x * b0;
          sum[r][j] += x[r].y * b1;
          sum[r][j] += x[r].z * b2;
          sum[r][j] += x[r].w * b3;
        }
      }
    }
    workgroupBarrier();
  }
  for (var j = 0u; j < COLUMNS; j++) { // unroll
    let pack = firstPack + column + j * GROUP_X;
    // Loaded before it is asked what is stored, or each pixel would wait for it. Added at the end: sums that begin with
    // a large bias are rounded to its size.
    let ownBias = Lanes(bias[min(pack, packs - 1)]);
    for (var r = 0u; r < TILE_PIXELS; r++) { // unroll
      let pixel = firstPixel + row + r * GROUP_Y;
      if (pixel < end && pack < packs) {
        let at = (p.outputStart + pixel * p.O_STRIDE) / LANES + pack;
        output[at] = Stored(activation(completed(ownBias + sum[r][j], at), p.alpha));
      }
    }
  }
}
