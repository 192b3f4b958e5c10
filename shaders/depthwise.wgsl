// Depthwise pass: filters each input channel on its own, without mixing channels.
//
//   output[n, oy, ox, k] = activation(bias[k] + sum over (di, dj) of
//     input[n, oy*SH + di*RH - padTop, ox*SW + dj*RW - padLeft, k / M] * weights[di, dj, k]),   k = c*M + m
//
// One invocation computes one pack of LANES channels for TILE_ROWS rows of TILE_W outputs, from top to bottom: the
// input rows that a row of outputs shares with the next stay in registers. The outputs stand RH and RW apart, so that
// they share their inputs at any rate as they do at rate 1. A workgroup is WORKGROUP neighbours, channels fastest.
// Filters too large to be held are taken in rounds, which share no rows.
// Grid: N * tiles of a column * tiles of a row * K_STRIDE / LANES invocations. No workgroup memory.
// Equals `depthwise` in src/reference.ts; channels K to K_STRIDE - 1 of the output, which only pad it, are 0.
// Where the pass is the last, the output is the caller's: dense, and stored as the input is.

alias Elem = f32;          // spec: what input and weights are stored as: f32 or f16
alias Input = vec4f;       // if INPUT_LANES == 4: what one load of the input yields
// alias Input = f32;      // if INPUT_LANES == 1
alias StoredInput = vec4<Elem>; // if INPUT_LANES == 4: Input as stored
// alias StoredInput = Elem; // if INPUT_LANES == 1
alias Lanes = vec4f;       // if LANES == 4: channels of one invocation
// alias Lanes = f32;      // if LANES == 1
alias Stored = vec4<Elem>; // if LANES == 4: Lanes as stored
// alias Stored = Elem;    // if LANES == 1
alias Result = Lanes;      // if LAST == 0: what one store writes
// alias Result = Stored;  // if LAST == 1
const INPUT_LANES = 4;     // spec: 4 or 1, as Input
const LANES = 4;           // spec: 4 or 1, as Lanes
const SH = 1;              // spec: stride along H
const SW = 1;              // spec: stride along W
const RATED = 0;           // spec: 1 where taps stand further apart than 1
const TAPS_H = 3;          // spec: rows of the filter taken at once: KH, or 1 of many rounds
const TAPS_W = 3;          // spec: columns of the filter taken at once, a divisor of KW
const ROUNDS_H = 1;        // spec: KH / TAPS_H
const ROUNDS_W = 1;        // spec: KW / TAPS_W
const KEPT = TAPS_H / (ROUNDS_H * ROUNDS_W); // rows of taps held throughout, none if there are rounds
const LOADED = TAPS_H - KEPT; // rows of taps loaded in each round
const CARRIED = 2;         // spec: input rows that stay from one row of outputs to the next: TAPS_H - SH, or 0
const FRESH = TAPS_H - CARRIED; // input rows loaded
const LEAD = (CARRIED + SH - 1) / SH; // steps before the first row of outputs, to load what it shares
const TILE_W = 4;          // spec: outputs of one invocation along W
const SPAN_W = (TILE_W - 1) * SW + TAPS_W; // input columns they read
const FULL_W = 0;          // spec: 1 where every tile along W is full
const WORKGROUP = 64;      // spec: invocations of a workgroup
const LAST = 0;            // spec: 1 where the output is stored as Elem
const RESIDUAL = 0;        // spec: lanes of the residual, which is added before the activation; 0 without

const_assert CARRIED == 0 || FRESH == SH;

struct Params {
  N: i32, H: i32, W: i32, C: i32,
  KW: i32, M: i32, K: i32,
  OH: i32, OW: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32,
  K_STRIDE: i32,           // channels from one output pixel to the next: K, or that rounded up to a multiple of 4
  inputStart: i32, outputStart: i32, // the first elements of input and output in their bindings
  TILE_ROWS: i32,          // rows of outputs of one invocation
  ACROSS: i32, DOWN: i32,  // tiles of a row and of a column of outputs
  FIRST_TAP: i32,          // the filter's first tap: 0, or the last for a filter that is flipped
  TAP_STEP: i32,           // from one tap to the next: 1 or -1
  depthwiseAlpha: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<StoredInput>;     // [N, H, W, C]
@group(0) @binding(2) var<storage, read> weights: array<Stored>;        // [KH, KW, C, M]
@group(0) @binding(3) var<storage, read> bias: array<Stored>;           // [K]
// @group(0) @binding(4) var<storage, read> residual: array<Stored>; // if RESIDUAL > 0: [N, OH, OW, K]
@group(0) @binding(4) var<storage, read_write> output: array<Result>;   // [N, OH, OW, K_STRIDE]

// A quotient of what is not negative: unsigned divisions take half the instructions.
fn over(a: i32, b: i32) -> i32 { return i32(u32(a) / u32(b)); }
fn inside(x: i32, OW: i32) -> bool {
  // return true;          // if FULL_W == 1
  return x < OW;           // if FULL_W == 0
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
  let packs = p.K_STRIDE / LANES;
  let RH = select(1, p.RH, RATED == 1); // Compilers leave out divisions by 1.
  let RW = select(1, p.RW, RATED == 1);
  // Never 0. Asked for here so that bounds checks in loops need not: each length costs SwiftShader four divisions.
  var length = min(min(arrayLength(&input), arrayLength(&weights)), arrayLength(&output));
  // length = min(length, arrayLength(&residual)); // if RESIDUAL > 0
  if ((index >= p.N * p.DOWN * p.ACROSS * packs) | (length == 0u)) {
    return;
  }
  let tile = over(index, packs);
  let tileRow = over(tile, p.ACROSS);
  let n = over(tileRow, p.DOWN);
  let pack = index - tile * packs;
  let tileX = tile - tileRow * p.ACROSS;
  let tileY = tileRow - n * p.DOWN;
  let ox = tileX / RW * TILE_W * RW + tileX % RW;
  let oy = tileY / RH * p.TILE_ROWS * RH + tileY % RH;
  let rows = min(p.TILE_ROWS, (p.OH - oy + RH - 1) / RH);

  let filterPacks = p.K / LANES;
  let k = min(pack, filterPacks - 1);
  let pixelPacks = p.C / INPUT_LANES;
  let c = p.inputStart / INPUT_LANES + k * LANES / p.M / INPUT_LANES;

  let start = Lanes(bias[k]);
  var tap: array<array<Lanes, TAPS_W>, TAPS_H>;
  for (var i = 0; i < KEPT; i++) { // unroll
    for (var j = 0; j < TAPS_W; j++) { // unroll
      tap[i][j] = Lanes(weights[(p.FIRST_TAP + (i * p.KW + j) * p.TAP_STEP) * filterPacks + k]);
    }
  }
  var window: array<array<Lanes, SPAN_W>, TAPS_H>;
  for (var t = -LEAD; t < rows; t++) {
    var sum: array<Lanes, TILE_W>;
    for (var s = 0; s < TILE_W; s++) { // unroll
      sum[s] = start;
    }
    for (var a = 0; a < ROUNDS_H; a++) { // unroll once
      for (var b = 0; b < ROUNDS_W; b++) { // unroll once
        for (var v = 0; v < CARRIED; v++) { // unroll
          window[v] = window[v + FRESH];
        }
        for (var v = 0; v < FRESH; v++) { // unroll
          let y = oy * SH - p.padTop + (t * SH + a * TAPS_H + CARRIED + v) * RH;
          let insideY = u32(y) < u32(p.H);
          let row = (n * p.H + clamp(y, 0, p.H - 1)) * p.W;
          for (var u = 0; u < SPAN_W; u++) { // unroll
            let x = ox * SW - p.padLeft + (b * TAPS_W + u) * RW;
            let value = Lanes(Input(input[(row + clamp(x, 0, p.W - 1)) * pixelPacks + c]));
            window[CARRIED + v][u] = select(Lanes(0.0), value, insideY & (u32(x) < u32(p.W)));
          }
        }
        for (var i = 0; i < LOADED; i++) { // unroll
          for (var j = 0; j < TAPS_W; j++) { // unroll
            let index = p.FIRST_TAP + ((a * TAPS_H + i) * p.KW + b * TAPS_W + j) * p.TAP_STEP;
            tap[i][j] = Lanes(weights[index * filterPacks + k]);
          }
        }
        for (var s = 0; s < TILE_W; s++) { // unroll
          for (var i = 0; i < TAPS_H; i++) { // unroll
            for (var j = 0; j < TAPS_W; j++) { // unroll
              sum[s] += window[i][s * SW + j] * tap[i][j];
            }
          }
        }
      }
    }
    if (t >= 0) {
      let to = p.outputStart / LANES + ((n * p.OH + oy + t * RH) * p.OW + ox) * packs + pack;
      for (var s = 0; s < TILE_W; s++) { // unroll
        if (inside(ox + s * RW, p.OW)) {
          let at = to + s * RW * packs;
          let value = activation(completed(sum[s], at), p.depthwiseAlpha);
          output[at] = Result(select(Lanes(0.0), value, pack < filterPacks));
        }
      }
    }
  }
}
