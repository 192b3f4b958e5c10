// Gradient of the depthwise filter, in parts: the input under each tap times the gradient of the depthwise result.
//
//   output[s, di, dj, k] = sum over the outputs (n, oy, ox) of the tiles of split s of
//     input[n, oy*SH + di*RH - padTop, ox*SW + dj*RW - padLeft, k / M] * gradient[n, oy, ox, k]
//
// One invocation computes one pack of LANES channels for TAPS_H x TAPS_W taps. It goes over tiles of TILE_H x TILE_W
// outputs that stand RH and RW apart, as in depthwise.wgsl.
// A workgroup is WORKGROUP neighbours, channels fastest, splits slowest.
// Grid: K / LANES * (KH / TAPS_H) * (KW / TAPS_W) * SPLITS invocations. No workgroup memory.
// The sum over s is `depthwiseFilterGradient` in src/reference.ts.

alias Input = vec4f;       // if INPUT_LANES == 4: what one load of the input yields
// alias Input = f32;      // if INPUT_LANES == 1
alias Lanes = vec4f;       // if LANES == 4: channels of one invocation
// alias Lanes = f32;      // if LANES == 1
const INPUT_LANES = 4;     // spec: 4 or 1, as Input
const LANES = 4;           // spec: 4 or 1, as Lanes
const SH = 1;              // spec: stride along H
const SW = 1;              // spec: stride along W
const RATED = 0;           // spec: 1 where taps stand further apart than 1
const TAPS_H = 3;          // spec: rows of the filter of one invocation, a divisor of KH
const TAPS_W = 3;          // spec: columns of the filter of one invocation, a divisor of KW
const TILE_H = 1;          // spec: outputs of one tile along H
const TILE_W = 4;          // spec: outputs of one tile along W
const SPAN_H = (TILE_H - 1) * SH + TAPS_H; // input rows under them
const SPAN_W = (TILE_W - 1) * SW + TAPS_W; // input columns under them
const WORKGROUP = 64;      // spec: invocations of a workgroup

struct Params {
  N: i32, H: i32, W: i32, C: i32,
  KH: i32, KW: i32, M: i32, K: i32,
  OH: i32, OW: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32,
  SPLITS: i32,
  PER_SPLIT: i32,          // tiles of one split
  ACROSS: i32, DOWN: i32,  // tiles of a row and of a column of outputs
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Input>;           // [N, H, W, C]
@group(0) @binding(2) var<storage, read> gradient: array<Lanes>;        // [N, OH, OW, K]
@group(0) @binding(3) var<storage, read_write> output: array<Lanes>;    // [SPLITS, KH, KW, K]

// A quotient of what is not negative: unsigned divisions take half the instructions.
fn over(a: i32, b: i32) -> i32 { return i32(u32(a) / u32(b)); }
// What is left of it.
fn rest(a: i32, b: i32) -> i32 { return a - over(a, b) * b; }

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = i32((group.y * groups.x + group.x) * WORKGROUP + local);
  let packs = p.K / LANES;
  let blocksW = p.KW / TAPS_W;
  let blocks = p.KH / TAPS_H * blocksW;
  let place = over(index, packs);
  let split = over(place, blocks);
  if (split >= p.SPLITS) {
    return;
  }
  let k = index - place * packs;
  let block = place - split * blocks;
  let di = over(block, blocksW) * TAPS_H;
  let dj = rest(block, blocksW) * TAPS_W;
  let c = over(k * LANES, p.M) / INPUT_LANES;
  let RH = select(1, p.RH, RATED == 1); // Compilers leave out divisions by 1.
  let RW = select(1, p.RW, RATED == 1);
  let end = min((split + 1) * p.PER_SPLIT, p.N * p.DOWN * p.ACROSS);

  var sum: array<array<Lanes, TAPS_W>, TAPS_H>;
  // The loop tests at its end, because that takes half the time of `for` on SwiftShader. No split is empty.
  var tile = split * p.PER_SPLIT;
  var n = over(over(tile, p.ACROSS), p.DOWN);
  var tileY = rest(over(tile, p.ACROSS), p.DOWN);
  var tileX = rest(tile, p.ACROSS);
  loop {
    let ox = over(tileX, RW) * TILE_W * RW + rest(tileX, RW);
    let oy = over(tileY, RH) * TILE_H * RH + rest(tileY, RH);
    var window: array<array<Lanes, SPAN_W>, SPAN_H>;
    for (var v = 0; v < SPAN_H; v++) { // unroll
      let y = oy * SH - p.padTop + (di + v) * RH;
      let insideY = u32(y) < u32(p.H);
      let row = (n * p.H + clamp(y, 0, p.H - 1)) * p.W;
      for (var u = 0; u < SPAN_W; u++) { // unroll
        let x = ox * SW - p.padLeft + (dj + u) * RW;
        let value = Lanes(input[(row + clamp(x, 0, p.W - 1)) * (p.C / INPUT_LANES) + c]);
        window[v][u] = select(Lanes(0.0), value, insideY & (u32(x) < u32(p.W)));
      }
    }
    for (var t = 0; t < TILE_H; t++) { // unroll
      let y = oy + t * RH;
      let row = (n * p.OH + min(y, p.OH - 1)) * p.OW;
      for (var s = 0; s < TILE_W; s++) { // unroll
        let x = ox + s * RW;
        let value = gradient[(row + min(x, p.OW - 1)) * packs + k];
        let g = select(Lanes(0.0), value, (y < p.OH) & (x < p.OW));
        for (var i = 0; i < TAPS_H; i++) { // unroll
          for (var j = 0; j < TAPS_W; j++) { // unroll
            sum[i][j] += window[t * SH + i][s * SW + j] * g;
          }
        }
      }
    }
    continuing {
      tile++;
      tileX = select(tileX + 1, 0, tileX + 1 == p.ACROSS);
      tileY = select(tileY, tileY + 1, tileX == 0);
      n = select(n, n + 1, tileY == p.DOWN);
      tileY = select(tileY, 0, tileY == p.DOWN);
      break if tile >= end;
    }
  }
  for (var i = 0; i < TAPS_H; i++) { // unroll
    for (var j = 0; j < TAPS_W; j++) { // unroll
      output[((split * p.KH + di + i) * p.KW + dj + j) * packs + k] = sum[i][j];
    }
  }
}
