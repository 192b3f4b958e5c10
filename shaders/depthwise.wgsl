// Depthwise pass: filters each input channel on its own, without mixing channels.
//
//   output[n, oy, ox, k] = activation(bias[k] + sum over (di, dj) of
//     input[n, oy*SH + di*RH - padTop, ox*SW + dj*RW - padLeft, k / M] * weights[di, dj, k]),   k = c*M + m
//
// One invocation computes one pack of LANES channels for TILE_W outputs of a row. The outputs stand RW apart, so that
// they share input columns at any rate as they do at rate 1. A workgroup is WORKGROUP neighbours, channels fastest.
// Grid: N * OH * tiles of a row * K_STRIDE / LANES invocations. No workgroup memory.
// Equals `depthwise` in src/reference.ts; channels K to K_STRIDE - 1 of the output, which only pad it, are 0.

alias Input = vec4f;       // spec: what one load of the input yields: vec4f if M = 1 and C % 4 = 0, else f32
alias Lanes = vec4f;       // spec: channels of one invocation: vec4f where Input is, or if M % 4 = 0, else f32
const INPUT_LANES = 4;     // spec: 4 or 1, as Input
const LANES = 4;           // spec: 4 or 1, as Lanes
const SW = 1;              // spec: stride along W
const TAPS = 3;            // spec: columns of the filter taken at once, at most KW
const TILE_W = 4;          // spec: outputs of one invocation
const SPAN = 6;            // spec: input columns they read: (TILE_W - 1) * SW + TAPS
const WORKGROUP = 64;      // spec: invocations of a workgroup

const_assert SPAN == (TILE_W - 1) * SW + TAPS;

struct Params {
  N: i32, H: i32, W: i32, C: i32,
  KH: i32, KW: i32, M: i32, K: i32,
  OH: i32, OW: i32, SH: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32,
  K_STRIDE: i32,           // channels from one output pixel to the next: K rounded up to a multiple of 4
  depthwiseAlpha: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Input>;           // [N, H, W, C]
@group(0) @binding(2) var<storage, read> weights: array<Lanes>;         // [KH, KW, C, M]
@group(0) @binding(3) var<storage, read> bias: array<Lanes>;            // [K]
@group(0) @binding(4) var<storage, read_write> output: array<Lanes>;    // [N, OH, OW, K_STRIDE]

fn activation(x: Lanes, alpha: f32) -> Lanes { return x; }    // spec: an expression of activations.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = i32((group.y * groups.x + group.x) * WORKGROUP + local);
  let packs = p.K_STRIDE / LANES;
  let tiles = p.RW * ((p.OW + TILE_W * p.RW - 1) / (TILE_W * p.RW));
  if (index >= p.N * p.OH * tiles * packs) {
    return;
  }
  let pack = index % packs;
  let tile = (index / packs) % tiles;
  let oy = (index / packs / tiles) % p.OH;
  let n = index / packs / tiles / p.OH;
  let ox = tile / p.RW * TILE_W * p.RW + tile % p.RW;

  let filterPacks = p.K / LANES;
  let k = min(pack, filterPacks - 1);
  let pixelPacks = p.C / INPUT_LANES;
  let c = k * LANES / p.M / INPUT_LANES;

  var sum: array<Lanes, TILE_W>;
  for (var t = 0; t < TILE_W; t++) { // unroll
    sum[t] = bias[k];
  }
  for (var di = 0; di < p.KH; di++) {
    let y = oy * p.SH + di * p.RH - p.padTop;
    if (y < 0 || y >= p.H) {
      continue;
    }
    let row = (n * p.H + y) * p.W;
    for (var dj = 0; dj < p.KW; dj += TAPS) {
      let left = ox * SW - p.padLeft + dj * p.RW;
      var columns: array<Lanes, SPAN>;
      for (var i = 0; i < SPAN; i++) { // unroll
        let x = left + i * p.RW;
        let value = Lanes(input[(row + clamp(x, 0, p.W - 1)) * pixelPacks + c]);
        columns[i] = select(Lanes(0.0), value, x >= 0 && x < p.W);
      }
      for (var j = 0; j < TAPS; j++) { // unroll
        let tap = weights[(di * p.KW + min(dj + j, p.KW - 1)) * filterPacks + k];
        let weight = select(Lanes(0.0), tap, dj + j < p.KW);
        for (var t = 0; t < TILE_W; t++) { // unroll
          sum[t] += columns[t * SW + j] * weight;
        }
      }
    }
  }
  for (var t = 0; t < TILE_W; t++) { // unroll
    if (ox + t * p.RW < p.OW) {
      let pixel = (n * p.OH + oy) * p.OW + ox + t * p.RW;
      output[pixel * packs + pack] = select(Lanes(0.0), activation(sum[t], p.depthwiseAlpha), pack < filterPacks);
    }
  }
}
