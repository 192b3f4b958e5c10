// Depthwise pass for GPUs: depthwise.wgsl with few outputs an invocation, so that many are under way.
//
//   output[n, oy, ox, k] = activation(bias[k] + sum over (di, dj) of
//     input[n, oy*SH + di*RH - padTop, ox*SW + dj*RW - padLeft, k / M] * weights[di, dj, k]),   k = c*M + m
//
// One invocation computes one pack of LANES channels for TILE_H x TILE_W outputs, which stand RH and RW apart, as in
// depthwise.wgsl. Each row of inputs is loaded once and serves all of them. A workgroup is WORKGROUP neighbours,
// channels fastest. Filters of many taps are taken in rounds.
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
const TILE_H = 2;          // spec: outputs of one invocation along H
const TILE_W = 4;          // spec: outputs of one invocation along W
const SPAN_H = (TILE_H - 1) * SH + TAPS_H; // input rows they read
const SPAN_W = (TILE_W - 1) * SW + TAPS_W; // input columns they read
const WORKGROUP = 128;     // spec: invocations of a workgroup
const LAST = 0;            // spec: 1 where the output is stored as Elem
const RESIDUAL = 0;        // spec: lanes of the residual, which is added before the activation; 0 without

struct Params {
  N: i32, H: i32, W: i32, C: i32,
  KW: i32, M: i32, K: i32,
  OH: i32, OW: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32,
  K_STRIDE: i32,           // channels from one output pixel to the next: K, or that rounded up to a multiple of 4
  inputStart: i32, outputStart: i32, // the first elements of input and output in their bindings
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
// What is left of it.
fn rest(a: i32, b: i32) -> i32 { return a - over(a, b) * b; }
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
  if (index >= p.N * p.DOWN * p.ACROSS * packs) {
    return;
  }
  let tile = over(index, packs);
  let pack = index - tile * packs;
  let tileX = rest(tile, p.ACROSS);
  let tileY = rest(over(tile, p.ACROSS), p.DOWN);
  let n = over(over(tile, p.ACROSS), p.DOWN);
  let ox = over(tileX, RW) * TILE_W * RW + rest(tileX, RW);
  let oy = over(tileY, RH) * TILE_H * RH + rest(tileY, RH);

  let filterPacks = p.K / LANES;
  let k = min(pack, filterPacks - 1);
  let pixelPacks = p.C / INPUT_LANES;
  let top = oy * SH - p.padTop;
  let left = ox * SW - p.padLeft;
  let c = p.inputStart / INPUT_LANES + k; // if INPUT_LANES == 4
  // let c = p.inputStart + over(k * LANES, p.M); // if INPUT_LANES == 1
  let corner = c + ((n * p.H + top) * p.W + left) * pixelPacks;

  let start = Lanes(bias[k]);
  var sum: array<array<Lanes, TILE_W>, TILE_H>;
  for (var t = 0; t < TILE_H; t++) { // unroll
    for (var s = 0; s < TILE_W; s++) { // unroll
      sum[t][s] = start;
    }
  }
  for (var a = 0; a < ROUNDS_H; a++) { // unroll once
    for (var b = 0; b < ROUNDS_W; b++) { // unroll once
      for (var v = 0; v < SPAN_H; v++) { // unroll
        let y = (a * TAPS_H + v) * RH;
        if (u32(top + y) < u32(p.H)) { // Nothing of another row is loaded before: that would take twice the registers.
          var columns: array<Lanes, SPAN_W>;
          for (var u = 0; u < SPAN_W; u++) { // unroll
            // Columns outside the input are loaded like others, from wherever that is in the binding, and count as 0.
            let x = (b * TAPS_W + u) * RW;
            let value = Lanes(Input(input[corner + (y * p.W + x) * pixelPacks]));
            columns[u] = select(Lanes(0.0), value, u32(left + x) < u32(p.W));
          }
          for (var t = 0; t < TILE_H; t++) { // unroll
            if (v - t * SH >= 0 && v - t * SH < TAPS_H) { // The row of the filter by which they are multiplied.
              for (var j = 0; j < TAPS_W; j++) { // unroll
                let tap = (a * TAPS_H + v - t * SH) * p.KW + b * TAPS_W + j;
                let weight = Lanes(weights[(p.FIRST_TAP + tap * p.TAP_STEP) * filterPacks + k]);
                for (var s = 0; s < TILE_W; s++) { // unroll
                  sum[t][s] += columns[s * SW + j] * weight;
                }
              }
            }
          }
        }
      }
    }
  }
  for (var t = 0; t < TILE_H; t++) { // unroll
    let to = p.outputStart / LANES + ((n * p.OH + oy + t * RH) * p.OW + ox) * packs + pack;
    for (var s = 0; s < TILE_W; s++) { // unroll
      if ((oy + t * RH < p.OH) & (ox + s * RW < p.OW)) {
        let at = to + s * RW * packs;
        let value = activation(completed(sum[t][s], at), p.depthwiseAlpha);
        output[at] = Result(select(Lanes(0.0), value, pack < filterPacks));
      }
    }
  }
}
