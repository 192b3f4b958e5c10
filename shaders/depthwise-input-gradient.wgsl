// Gradient of the input: the transposed depthwise pass. Every input pixel sums over the outputs that it took part in.
//
//   output[n, y, x, c] = sum over (di, dj, m) of gradient[n, oy, ox, k] * weights[di, dj, k],   k = c*M + m,
//     for oy*SH = y + padTop - di*RH and ox*SW = x + padLeft - dj*RW that are outputs;   0 where there are none
//
// Along H let the integer q be (y + padTop) / SH, and the phase y + padTop - q*SH. Then the taps are di = j*SH + phase,
// and oy = q - j*RH (rates above 1 need strides of 1). Along W likewise. One invocation computes one pack of channels
// for TILE_H x TILE_W values of q, RH and RW apart, in PHASES_H x PHASES_W phases, which share the gradients they read.
// A workgroup is WORKGROUP neighbours, channels fastest.
// Grid: N * tiles of a column * tiles of a row * (SH / PHASES_H) * (SW / PHASES_W) * packs of C. No workgroup memory.
// Equals `depthwiseInputGradient` in src/reference.ts.

alias Lanes = vec4f;       // if LANES == 4: what one load yields
// alias Lanes = f32;      // if LANES == 1
alias Output = vec4f;      // if OUTPUT_LANES == 4: channels of one invocation
// alias Output = f32;     // if OUTPUT_LANES == 1
const LANES = 4;           // spec: 4 or 1, as Lanes
const OUTPUT_LANES = 4;    // spec: 4 or 1, as Output
const SH = 1;              // spec: stride along H
const SW = 1;              // spec: stride along W
const RATED = 0;           // spec: 1 where taps stand further apart than 1
const PHASES_H = 1;        // spec: phases of one invocation along H, a divisor of SH
const PHASES_W = 1;        // spec: phases of one invocation along W, a divisor of SW
const TAPS_H = 3;          // spec: rows of the filter of one phase taken at once, a divisor of ceil(KH / SH)
const TAPS_W = 3;          // spec: columns of the filter of one phase taken at once, a divisor of ceil(KW / SW)
const TILE_H = 1;          // spec: q of one invocation along H
const TILE_W = 4;          // spec: q of one invocation along W
const SPAN_H = TILE_H + TAPS_H - 1; // rows of the gradient they read
const SPAN_W = TILE_W + TAPS_W - 1; // columns of the gradient they read
const WORKGROUP = 64;      // spec: invocations of a workgroup

struct Params {
  N: i32, H: i32, W: i32, C: i32,
  KH: i32, KW: i32, M: i32, K: i32,
  OH: i32, OW: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32,
  ACROSS: i32, DOWN: i32,  // tiles of a row and of a column
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradient: array<Lanes>;        // [N, OH, OW, K]
@group(0) @binding(2) var<storage, read> weights: array<Lanes>;         // [KH, KW, C, M]
@group(0) @binding(3) var<storage, read_write> output: array<Output>;   // [N, H, W, C]

fn product(a: Lanes, b: Lanes) -> Output {
  return a * b;            // if LANES == OUTPUT_LANES
  // return dot(a, b);     // if LANES > OUTPUT_LANES: 4 m of one channel
}

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
  let packs = p.C / OUTPUT_LANES;
  let firstX = p.padLeft / SW;
  let firstY = p.padTop / SH;
  let RH = select(1, p.RH, RATED == 1); // Compilers leave out divisions by 1.
  let RW = select(1, p.RW, RATED == 1);
  let groupsW = SW / PHASES_W;
  let phaseGroups = SH / PHASES_H * groupsW;
  if (index >= p.N * p.DOWN * p.ACROSS * phaseGroups * packs) {
    return;
  }
  let place = over(index, packs);
  let pack = index - place * packs;
  let tile = over(place, phaseGroups);
  let phaseGroup = place - tile * phaseGroups;
  let tileX = rest(tile, p.ACROSS);
  let tileY = rest(over(tile, p.ACROSS), p.DOWN);
  let n = over(over(tile, p.ACROSS), p.DOWN);
  let qx = firstX + over(tileX, RW) * TILE_W * RW + rest(tileX, RW);
  let qy = firstY + over(tileY, RH) * TILE_H * RH + rest(tileY, RH);
  let phaseX = phaseGroup % groupsW * PHASES_W;
  let phaseY = phaseGroup / groupsW * PHASES_H;
  let filterPacks = p.K / LANES;
  let steps = p.M * OUTPUT_LANES / LANES;

  var sum: array<array<array<array<Output, PHASES_W>, PHASES_H>, TILE_W>, TILE_H>;
  // The loops test at their end: on SwiftShader a 5x5 filter then takes a third of the time that `for` takes.
  var m = 0;
  loop {
    let k = pack * steps + m;
    var tapY = 0;
    loop {
      var tapX = 0;
      loop {
        var window: array<array<Lanes, SPAN_W>, SPAN_H>;
        for (var v = 0; v < SPAN_H; v++) { // unroll
          let oy = qy + (v - TAPS_H + 1 - tapY) * RH;
          let row = (n * p.OH + clamp(oy, 0, p.OH - 1)) * p.OW;
          for (var u = 0; u < SPAN_W; u++) { // unroll
            let ox = qx + (u - TAPS_W + 1 - tapX) * RW;
            let value = gradient[(row + clamp(ox, 0, p.OW - 1)) * filterPacks + k];
            window[v][u] = select(Lanes(0.0), value, (u32(oy) < u32(p.OH)) & (u32(ox) < u32(p.OW)));
          }
        }
        for (var i = 0; i < TAPS_H; i++) { // unroll
          for (var a = 0; a < PHASES_H; a++) { // unroll
            let di = (tapY + i) * SH + phaseY + a;
            for (var j = 0; j < TAPS_W; j++) { // unroll
              for (var b = 0; b < PHASES_W; b++) { // unroll
                let dj = (tapX + j) * SW + phaseX + b;
                let value = weights[(min(di, p.KH - 1) * p.KW + min(dj, p.KW - 1)) * filterPacks + k];
                let tap = select(Lanes(0.0), value, (di < p.KH) & (dj < p.KW));
                for (var t = 0; t < TILE_H; t++) { // unroll
                  for (var s = 0; s < TILE_W; s++) { // unroll
                    sum[t][s][a][b] += product(window[t + TAPS_H - 1 - i][s + TAPS_W - 1 - j], tap);
                  }
                }
              }
            }
          }
        }
        continuing {
          tapX += TAPS_W;
          break if tapX * SW >= p.KW;
        }
      }
      continuing {
        tapY += TAPS_H;
        break if tapY * SH >= p.KH;
      }
    }
    continuing {
      m++;
      break if m >= steps;
    }
  }
  for (var t = 0; t < TILE_H; t++) { // unroll
    for (var a = 0; a < PHASES_H; a++) { // unroll
      let y = (qy + t * RH) * SH + phaseY + a - p.padTop;
      for (var s = 0; s < TILE_W; s++) { // unroll
        for (var b = 0; b < PHASES_W; b++) { // unroll
          let x = (qx + s * RW) * SW + phaseX + b - p.padLeft;
          if ((u32(y) < u32(p.H)) & (u32(x) < u32(p.W))) {
            output[((n * p.H + y) * p.W + x) * packs + pack] = sum[t][s][a][b];
          }
        }
      }
    }
  }
}
