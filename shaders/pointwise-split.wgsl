// enable subgroups;       // if SHUFFLED > 1
// Pointwise pass for few pixels on GPUs: K is split among the slices of a workgroup, which add their sums once, at
// the end.
//
//   output[pixel, o] = activation(bias[o] + sum over k of input[pixel, k] * weights[k, o]),
//     pixel = (n*OH + oy)*OW + ox
//
// A workgroup is SLICES slices of GROUP_X x GROUP_Y invocations. It computes GROUP_Y * TILE_PIXELS pixels by
// GROUP_X * COLUMNS packs of LANES output channels. Each invocation has TILE_PIXELS pixels by COLUMNS packs in
// registers, for every SLICES-th step of 4 k. Both operands come straight from memory, so that many loads are in flight
// and no barrier waits for them. At the end the 4 slices on neighbouring lanes of a subgroup add their sums by
// shuffles: a subgroup may have any multiple of 4 lanes, active from the first one on. Then one half of the slices that
// are left hands its sums to the other through workgroup memory, until one has all.
// Grid: ceil(PIXELS / (GROUP_Y * TILE_PIXELS)) * ceil(O / (GROUP_X * COLUMNS * LANES)) workgroups.
// Memory: 4 * HANDED * GROUP_X * GROUP_Y * TILE_PIXELS * COLUMNS * LANES bytes, and 4 where there are shuffles.
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
const INPUT_LANES = 4;     // spec: 4 or 1, as Input
const FIRST = 0;           // spec: 1 where the input is stored as Elem
const STRIDED = 0;         // spec: 1 where the pass has strides of its own
const SCALED = 0;          // spec: above 0 where input channels have factors; 2 where those are of several images
const RESIDUAL = 0;        // spec: lanes of the residual, which is added before the activation; 0 without
const LANES = 4;           // spec: 4 or 1, as Lanes
const TILE_PIXELS = 4;     // spec: pixels of one invocation
const COLUMNS = 1;         // spec: packs of output channels of one invocation, GROUP_X apart
const GROUP_X = 16;        // spec: invocations of a slice along the output channels
const GROUP_Y = 1;         // spec: invocations of a slice along the pixels
const SLICES = 16;         // spec: parts of K, a power of 2 from 2 on
const SHUFFLED = 1;        // spec: 4 where the slices on neighbouring lanes shuffle, else 1
const HANDED = SLICES / SHUFFLED / 2; // slices that hand their sums on at first
const STEP = 4;            // k of one load of the input
const LANES_OF_SLICE = GROUP_X * GROUP_Y;
const SUMS = TILE_PIXELS * COLUMNS; // sums of one invocation

const_assert SLICES > 0 && (SLICES & (SLICES - 1)) == 0;

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

var<workgroup> handed: array<Lanes, HANDED * LANES_OF_SLICE * SUMS>; // if HANDED > 0
// var<workgroup> placed: atomic<u32>; // if SHUFFLED > 1: invocations that have a place

// Where the channels of a pixel begin in the input, in loads.
fn startOf(pixel: u32) -> u32 {
  let at = pixel;          // if STRIDED == 0
  // let row = pixel / (p.OW * p.OH) * p.H + pixel / p.OW % p.OH * p.SH; // if STRIDED == 1
  // let at = row * p.W + pixel % p.OW * p.SW; // if STRIDED == 1
  return (p.inputStart + at * p.K_STRIDE) / INPUT_LANES;
}
// 4 channels from k on, 0 beyond K.
fn channels(start: u32, k: u32) -> vec4f {
  return vec4f(input[start]); // if INPUT_LANES == 4
  // let x = vec4f(f32(input[start]), f32(input[start + 1]), // if INPUT_LANES == 1
  //   f32(input[start + 2]), f32(input[start + 3])); // if INPUT_LANES == 1
  // return select(vec4f(0.0), x, k + vec4u(0, 1, 2, 3) < vec4u(p.K)); // if INPUT_LANES == 1
}
// Sums with the residual, which is laid out as the output.
fn completed(sum: Lanes, at: u32) -> Lanes {
  return sum;              // if RESIDUAL == 0
  // return sum + Lanes(residual[at]); // if RESIDUAL > 0
}
fn activation(x: Lanes, alpha: f32) -> Lanes { return x; } // body of activations.wgsl

@compute @workgroup_size(SLICES * LANES_OF_SLICE)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32, // if SHUFFLED == 1
) {
  let tile = workgroup.y * groups.x + workgroup.x;
  let packs = p.O / LANES;
  let columnTiles = (packs + COLUMNS * GROUP_X - 1) / (COLUMNS * GROUP_X);
  var image = 0u;
  // image = workgroup.z;  // if SCALED > 1
  let first = image * p.PIXELS;
  let end = first + p.PIXELS;
  let firstPixel = first + tile / columnTiles * (TILE_PIXELS * GROUP_Y);
  if (firstPixel >= end) {
    return;
  }
  // WGSL does not say which invocations share a subgroup: each subgroup takes places as it comes.
  // var taken = 0u;       // if SHUFFLED > 1
  // let count = subgroupAdd(1u); // if SHUFFLED > 1
  // if (subgroupElect()) { taken = atomicAdd(&placed, count); } // if SHUFFLED > 1
  // let index = subgroupBroadcastFirst(taken) + subgroupExclusiveAdd(1u); // if SHUFFLED > 1
  let place = index / SHUFFLED;
  let lane = place % LANES_OF_SLICE;
  let group = place / LANES_OF_SLICE; // of slices
  let slice = group * SHUFFLED + index % SHUFFLED;
  let pixel = firstPixel + lane / GROUP_X * TILE_PIXELS;
  let pack = tile % columnTiles * (COLUMNS * GROUP_X) + lane % GROUP_X;

  // Where the slice's first k are, and the weights of the last k.
  var row: array<u32, TILE_PIXELS>;
  for (var r = 0u; r < TILE_PIXELS; r++) { // unroll
    row[r] = startOf(min(pixel + r, end - 1)) + slice * (STEP / INPUT_LANES);
  }
  var firstWeight: array<u32, COLUMNS>;
  var lastWeight: array<u32, COLUMNS>;
  var sum: array<Lanes, SUMS>;
  for (var j = 0u; j < COLUMNS; j++) { // unroll
    let column = min(pack + j * GROUP_X, packs - 1);
    firstWeight[j] = slice * STEP * packs + column;
    lastWeight[j] = (p.K - 1) * packs + column;
  }
  for (var k = 0u; k + slice * STEP < p.K_STRIDE; k += SLICES * STEP) {
    var b: array<array<Lanes, COLUMNS>, STEP>;
    for (var i = 0u; i < STEP; i++) { // unroll
      // let weightRow = min(k + slice * STEP + i, p.K - 1); // if SCALED > 0
      // let factor = f32(inputScale[p.scaleStart + image * p.K + weightRow]); // if SCALED > 0
      for (var j = 0u; j < COLUMNS; j++) { // unroll
        b[i][j] = Lanes(weights[min(firstWeight[j] + (k + i) * packs, lastWeight[j])]);
        // b[i][j] *= factor; // if SCALED > 0
      }
    }
    for (var r = 0u; r < TILE_PIXELS; r++) { // unroll
      let a = channels(row[r] + k / INPUT_LANES, k + slice * STEP);
      for (var i = 0u; i < STEP; i++) { // unroll
        for (var j = 0u; j < COLUMNS; j++) { // unroll
          sum[r * COLUMNS + j] += a[i] * b[i][j];
        }
      }
    }
  }
  for (var s = 0u; s < SUMS; s++) { // unroll
    // sum[s] += subgroupShuffleXor(sum[s], 1u); // if SHUFFLED > 1
    // sum[s] += subgroupShuffleXor(sum[s], 2u); // if SHUFFLED > 1
  }
  for (var half = u32(HANDED); half > 0; half /= 2) {
    if (group >= half && group < 2 * half) {
      for (var s = 0u; s < SUMS; s++) { // unroll
        handed[((group - half) * SUMS + s) * LANES_OF_SLICE + lane] = sum[s]; // if HANDED > 0
      }
    }
    workgroupBarrier();
    if (group < half) {
      for (var s = 0u; s < SUMS; s++) { // unroll
        sum[s] += handed[(group * SUMS + s) * LANES_OF_SLICE + lane]; // if HANDED > 0
      }
    }
    workgroupBarrier();
  }
  if (slice > 0) {
    return;
  }
  // Loaded before it is asked what is stored, or each pixel would wait for it. Added at the end: sums that begin with a
  // large bias are rounded to its size.
  var ownBias: array<Lanes, COLUMNS>;
  for (var j = 0u; j < COLUMNS; j++) { // unroll
    ownBias[j] = Lanes(bias[min(pack + j * GROUP_X, packs - 1)]);
  }
  for (var r = 0u; r < TILE_PIXELS; r++) { // unroll
    for (var j = 0u; j < COLUMNS; j++) { // unroll
      if (pixel + r < end && pack + j * GROUP_X < packs) {
        let at = (p.outputStart + (pixel + r) * p.O_STRIDE) / LANES + pack + j * GROUP_X;
        let value = activation(completed(ownBias[j] + sum[r * COLUMNS + j], at), p.alpha);
        output[at] = Stored(value);
      }
    }
  }
}
