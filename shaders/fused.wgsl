// Fused kernel: depthwise and pointwise pass in one, without storing what lies between them.
//
//   d[pixel, k] = depthwiseActivation(depthwiseBias[k] + sum over (di, dj) of input[...] * depthwiseFilter[di, dj, k])
//   output[pixel, o] = activation(bias[o] + sum over k of d[pixel, k] * pointwiseFilter[k, o])
//
// One invocation computes TILE_W pixels of a row, RW apart as in depthwise.wgsl, by COLUMNS packs of OUTPUT_LANES
// output channels. For each pack of k it computes d of its pixels in registers, and multiplies it into the sums at
// once. d is computed again for every tile of output channels.
// A workgroup is WORKGROUP neighbours, output channels fastest.
// Grid: N * OH * tiles of a row * ceil(O / (COLUMNS * OUTPUT_LANES)) invocations. No workgroup memory.
// Equals `pointwise` of `depthwise` in src/reference.ts.

alias Elem = f32;          // spec: what input, weights and output are stored as: f32 or f16
alias Input = vec4f;       // if INPUT_LANES == 4: what one load of the input yields
// alias Input = f32;      // if INPUT_LANES == 1
alias StoredInput = vec4<Elem>; // if INPUT_LANES == 4: Input as stored
// alias StoredInput = Elem; // if INPUT_LANES == 1
alias Lanes = vec4f;       // if LANES == 4: k taken at once
// alias Lanes = f32;      // if LANES == 1
alias Stored = vec4<Elem>; // if LANES == 4: Lanes as stored
// alias Stored = Elem;    // if LANES == 1
alias OutputLanes = vec4f; // if OUTPUT_LANES == 4
// alias OutputLanes = f32; // if OUTPUT_LANES == 1
alias StoredOutput = vec4<Elem>; // if OUTPUT_LANES == 4: OutputLanes as stored
// alias StoredOutput = Elem; // if OUTPUT_LANES == 1
const INPUT_LANES = 4;     // spec: 4 or 1, as Input
const LANES = 4;           // spec: 4 or 1, as Lanes
const OUTPUT_LANES = 4;    // spec: 4 or 1, as OutputLanes
const SCALED = 0;          // spec: above 0 where input channels have factors, one for each image
const RESIDUAL = 0;        // spec: lanes of the residual, which is added before the activation; 0 without
const SW = 1;              // spec: stride along W
const TAPS = 3;            // spec: columns of the filter taken at once, at most KW
const TILE_W = 4;          // spec: pixels of one invocation
const SPAN = (TILE_W - 1) * SW + TAPS; // input columns they read
const COLUMNS = 2;         // spec: packs of output channels of one invocation
const WORKGROUP = 64;      // spec: invocations of a workgroup

struct Params {
  N: i32, H: i32, W: i32, C: i32,
  KH: i32, KW: i32, M: i32, K: i32,
  OH: i32, OW: i32, O: i32, SH: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32,
  inputStart: i32, outputStart: i32,   // the first elements of input and output in their bindings
  O_STRIDE: i32,                       // channels from one output pixel to the next, at least O
  scaleStart: i32,                     // the first factor in its binding
  depthwiseAlpha: f32, alpha: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<StoredInput>;             // [N, H, W, C]
@group(0) @binding(2) var<storage, read> depthwiseFilter: array<Stored>;        // [KH, KW, C, M]
@group(0) @binding(3) var<storage, read> depthwiseBias: array<Stored>;          // [K]
@group(0) @binding(4) var<storage, read> pointwiseFilter: array<StoredOutput>;  // [1, 1, K, O]
@group(0) @binding(5) var<storage, read> bias: array<StoredOutput>;             // [O]
// @group(0) @binding(6) var<storage, read> inputScale: array<Stored>; // if SCALED > 0: [N, K]
// @group(0) @binding(6) var<storage, read> residual: array<StoredOutput>; // if RESIDUAL > 0: [N, OH, OW, O]
@group(0) @binding(6) var<storage, read_write> output: array<StoredOutput>;     // [N, OH, OW, O]

fn depthwiseActivation(x: Lanes, alpha: f32) -> Lanes { return x; } // body of activations.wgsl
// Sums with the residual, which is laid out as the output.
fn completed(sum: OutputLanes, at: i32) -> OutputLanes {
  return sum;              // if RESIDUAL == 0
  // return sum + OutputLanes(residual[at]); // if RESIDUAL > 0
}
fn activation(x: OutputLanes, alpha: f32) -> OutputLanes { return x; } // body of activations.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = i32((group.y * groups.x + group.x) * WORKGROUP + local);
  let packs = p.O / OUTPUT_LANES;
  let columnTiles = (packs + COLUMNS - 1) / COLUMNS;
  let tiles = p.RW * ((p.OW + TILE_W * p.RW - 1) / (TILE_W * p.RW));
  if (index >= p.N * p.OH * tiles * columnTiles) {
    return;
  }
  let pack = index % columnTiles * COLUMNS;
  let tile = (index / columnTiles) % tiles;
  let oy = (index / columnTiles / tiles) % p.OH;
  let n = index / columnTiles / tiles / p.OH;
  let ox = tile / p.RW * TILE_W * p.RW + tile % p.RW;

  let filterPacks = p.K / LANES;
  let pixelPacks = p.C / INPUT_LANES;

  var column: array<i32, COLUMNS>;
  var sum: array<array<OutputLanes, COLUMNS>, TILE_W>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    column[j] = min(pack + j, packs - 1);
    for (var t = 0; t < TILE_W; t++) { // unroll
      sum[t][j] = OutputLanes(bias[column[j]]);
    }
  }
  for (var k = 0; k < filterPacks; k++) {
    let c = p.inputStart / INPUT_LANES + k * LANES / p.M / INPUT_LANES;
    var d: array<Lanes, TILE_W>;
    for (var t = 0; t < TILE_W; t++) { // unroll
      d[t] = Lanes(depthwiseBias[k]);
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
          let value = Lanes(Input(input[(row + clamp(x, 0, p.W - 1)) * pixelPacks + c]));
          columns[i] = select(Lanes(0.0), value, x >= 0 && x < p.W);
        }
        for (var j = 0; j < TAPS; j++) { // unroll
          let tap = Lanes(depthwiseFilter[(di * p.KW + min(dj + j, p.KW - 1)) * filterPacks + k]);
          let weight = select(Lanes(0.0), tap, dj + j < p.KW);
          for (var t = 0; t < TILE_W; t++) { // unroll
            d[t] += columns[t * SW + j] * weight;
          }
        }
      }
    }
    for (var t = 0; t < TILE_W; t++) { // unroll
      d[t] = depthwiseActivation(d[t], p.depthwiseAlpha);
      // d[t] *= Lanes(inputScale[(p.scaleStart + n * p.K) / LANES + k]); // if SCALED > 0
    }
    for (var i = 0; i < LANES; i++) { // unroll
      for (var j = 0; j < COLUMNS; j++) { // unroll
        let b = OutputLanes(pointwiseFilter[(k * LANES + i) * packs + column[j]]);
        for (var t = 0; t < TILE_W; t++) { // unroll
          sum[t][j] += vec4f(d[t])[i] * b;
        }
      }
    }
  }
  for (var t = 0; t < TILE_W; t++) { // unroll
    for (var j = 0; j < COLUMNS; j++) { // unroll
      if (ox + t * p.RW < p.OW && pack + j < packs) {
        let pixel = (n * p.OH + oy) * p.OW + ox + t * p.RW;
        let at = (p.outputStart + pixel * p.O_STRIDE) / OUTPUT_LANES + pack + j;
        output[at] = StoredOutput(activation(completed(sum[t][j], at), p.alpha));
      }
    }
  }
}
