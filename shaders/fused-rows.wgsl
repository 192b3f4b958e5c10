// Fused kernel for GPUs and few channels: goes down rows with the sums of begun rows carried, so that an input row is
// loaded once for all the rows of outputs that need it.
//
//   d[pixel, k] = depthwiseActivation(depthwiseBias[k] + sum over (di, dj) of input[...] * depthwiseFilter[di, dj, k])
//   output[pixel, o] = activation(bias[o] + sum over k of d[pixel, k] * pointwiseFilter[k, o])
//
// A workgroup of GROUP_X x GROUP_Y invocations goes down TILE_ROWS rows, RH apart, of RUNS runs of TILE_W pixels, RW
// apart, by TILE_COLUMNS packs of OUTPUT_LANES output channels. Each invocation has one run and one pack of k: of these
// it adds each input row to the LEAD + 1 rows of d that are begun, as fused-quad.wgsl does, and puts finished ones into
// workgroup memory. From there each invocation multiplies TILE_PIXELS pixels by COLUMNS packs, GROUP_X apart, with
// weights straight from memory. d has two buffers, so that a row takes one barrier. All k are taken at once, so that
// there can be at most CHUNK of them. d is computed again for every tile of output channels.
// At 3x3 a workgroup loads 1.7 elements for each of its pixels, 14 rows of 64 with 32 k: 16/14 * 6/4. Of these 1.18 are
// different ones, 16/14 * 66/64; the others are in a cache. fused-tiled.wgsl loads 4.5: test/rows.test.ts counts them.
// Grid: N * tiles of a column * ceil(tiles of a row / RUNS) * ceil(O / (TILE_COLUMNS * OUTPUT_LANES)) workgroups.
// Memory: 8 * CHUNK * RUNS * TILE_W bytes. Equals `pointwise` of `depthwise` in src/reference.ts.

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
const SH = 1;              // spec: stride along H
const SW = 1;              // spec: stride along W
const RATED = 0;           // spec: 1 where taps stand further apart than 1
const TAPS_H = 3;          // spec: rows of the filter, KH
const TAPS_W = 3;          // spec: columns of the filter, KW
const FRESH = 1;           // spec: input rows loaded for each row of outputs: SH, or TAPS_H where outputs share none
const LEAD = (TAPS_H + FRESH - 1) / FRESH - 1; // rows of outputs begun before the first is finished
const TILE_W = 4;          // spec: pixels of one run
const SPAN_W = (TILE_W - 1) * SW + TAPS_W; // input columns they read
const TILE_PIXELS = 8;     // spec: pixels of one invocation
const COLUMNS = 1;         // spec: packs of output channels of one invocation
const GROUP_X = 16;        // spec: invocations along the output channels
const GROUP_Y = 8;         // spec: invocations along the pixels
const CHUNK = 32;          // spec: the most k, a multiple of 4

const_assert LEAD == 0 || FRESH == SH;
const PIXELS = TILE_PIXELS * GROUP_Y;
const RUNS = PIXELS / TILE_W;
const TILE_COLUMNS = COLUMNS * GROUP_X;
const PACKS = CHUNK / LANES;
const_assert RUNS * TILE_W == PIXELS && RUNS * PACKS <= GROUP_X * GROUP_Y;

struct Params {
  N: i32, H: i32, W: i32, C: i32, M: i32, K: i32, OH: i32, OW: i32, O: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32, depthwiseAlpha: f32, alpha: f32,
  inputStart: i32, outputStart: i32,   // the first elements of input and output in their bindings
  O_STRIDE: i32,                       // channels from one output pixel to the next, at least O
  TILE_ROWS: i32,                      // rows of outputs of a workgroup
  ACROSS: i32, DOWN: i32,              // runs of a row, and workgroups down a column
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<StoredInput>;             // [N, H, W, C]
@group(0) @binding(2) var<storage, read> depthwiseFilter: array<Stored>;        // [KH, KW, C, M]
@group(0) @binding(3) var<storage, read> depthwiseBias: array<Stored>;          // [K]
@group(0) @binding(4) var<storage, read> pointwiseFilter: array<StoredOutput>;  // [1, 1, K, O]
@group(0) @binding(5) var<storage, read> bias: array<StoredOutput>;             // [O]
@group(0) @binding(6) var<storage, read_write> output: array<StoredOutput>;     // [N, OH, OW, O]

var<workgroup> d: array<array<Lanes, PIXELS * PACKS>, 2>;                       // two of [PIXELS, CHUNK]

fn depthwiseActivation(x: Lanes, alpha: f32) -> Lanes { return x; } // body of activations.wgsl
fn activation(x: OutputLanes, alpha: f32) -> OutputLanes { return x; } // body of activations.wgsl

// A quotient of what is not negative: unsigned divisions take half the instructions.
fn over(a: i32, b: i32) -> i32 { return i32(u32(a) / u32(b)); }
// The first column of a run.
fn columnOf(run: i32) -> i32 {
  return run * TILE_W;     // if RATED == 0
  // return over(run, p.RW) * TILE_W * p.RW + run - over(run, p.RW) * p.RW; // if RATED == 1
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let packs = p.O / OUTPUT_LANES;
  let RH = select(1, p.RH, RATED == 1); // Compilers leave out divisions by 1.
  let RW = select(1, p.RW, RATED == 1);
  let columnTiles = u32(packs + TILE_COLUMNS - 1) / TILE_COLUMNS;
  let strips = u32(p.ACROSS + RUNS - 1) / RUNS;
  let tile = group.y * groups.x + group.x;
  if (tile >= u32(p.N * p.DOWN) * strips * columnTiles) {
    return;
  }
  let strip = tile / columnTiles;
  let firstRun = i32(strip % strips) * RUNS;
  let stripRow = strip / strips;
  let tileY = i32(stripRow % u32(p.DOWN));
  let n = i32(stripRow / u32(p.DOWN));
  let oy = over(tileY, RH) * p.TILE_ROWS * RH + tileY - over(tileY, RH) * RH;
  let rows = min(p.TILE_ROWS, over(p.OH - oy + RH - 1, RH));

  // What the invocation has of d.
  let filterPacks = p.K / LANES;
  let pixelPacks = p.C / INPUT_LANES;
  let own = i32(index % PACKS);
  let run = i32(index / PACKS);
  let works = (run < RUNS) & (own < filterPacks);
  let k = min(own, filterPacks - 1);
  let top = oy * SH - p.padTop;
  let left = columnOf(min(firstRun + run, p.ACROSS - 1)) * SW - p.padLeft;
  let c = p.inputStart / INPUT_LANES + k; // if INPUT_LANES == 4
  // let c = p.inputStart + over(k * LANES, p.M); // if INPUT_LANES == 1
  let corner = c + ((n * p.H + top) * p.W + left) * pixelPacks;
  let start = Lanes(depthwiseBias[k]);
  var begun: array<array<Lanes, TILE_W>, LEAD + 1>;

  // What it has of the product.
  let firstPack = i32(tile % columnTiles * TILE_COLUMNS + index % GROUP_X);
  let firstPixel = i32(index / GROUP_X) * TILE_PIXELS;
  var column: array<i32, COLUMNS>;
  var ownBias: array<OutputLanes, COLUMNS>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    column[j] = min(firstPack + j * GROUP_X, packs - 1);
    ownBias[j] = OutputLanes(bias[column[j]]);
  }

  for (var t = -LEAD; t < rows; t++) {
    let buffer = t & 1;
    if (works) {
      for (var r = 0; r < LEAD; r++) { // unroll
        begun[r] = begun[r + 1];
      }
      for (var w = 0; w < TILE_W; w++) { // unroll
        begun[LEAD][w] = start;
      }
      var fresh: array<array<Lanes, SPAN_W>, FRESH>;
      // Elements outside the input are loaded like others, from wherever that is in the binding, and count as 0.
      for (var v = 0; v < FRESH; v++) { // unroll
        let y = ((t + LEAD) * SH + v) * RH;
        for (var i = 0; i < SPAN_W; i++) { // unroll
          let x = i * RW;
          let value = Lanes(Input(input[corner + (y * p.W + x) * pixelPacks]));
          fresh[v][i] = select(Lanes(0.0), value, (u32(top + y) < u32(p.H)) & (u32(left + x) < u32(p.W)));
        }
      }
      for (var i = 0; i < TAPS_H; i++) { // unroll
        for (var j = 0; j < TAPS_W; j++) { // unroll
          let tap = Lanes(depthwiseFilter[(i * TAPS_W + j) * filterPacks + k]);
          for (var w = 0; w < TILE_W; w++) { // unroll
            begun[LEAD - i / FRESH][w] += fresh[i % FRESH][w * SW + j] * tap;
          }
        }
      }
      if (t >= 0) {
        for (var w = 0; w < TILE_W; w++) { // unroll
          let at = (min(run, RUNS - 1) * TILE_W + w) * PACKS + own;
          d[buffer][at] = depthwiseActivation(begun[0][w], p.depthwiseAlpha);
        }
      }
    }
    if (t < 0) {
      continue;
    }
    workgroupBarrier();
    var sum: array<array<OutputLanes, COLUMNS>, TILE_PIXELS>; // SwiftShader does not make it 0 again each turn.
    for (var j = 0; j < COLUMNS; j++) { // unroll
      for (var r = 0; r < TILE_PIXELS; r++) { // unroll
        sum[r][j] = OutputLanes(0.0);
      }
    }
    for (var step = 0; step < PACKS; step++) {
      if (step >= filterPacks) {
        break;
      }
      var x: array<vec4f, TILE_PIXELS>;
      for (var r = 0; r < TILE_PIXELS; r++) { // unroll
        x[r] = vec4f(d[buffer][(firstPixel + r) * PACKS + step]);
      }
      for (var i = 0; i < LANES; i++) { // unroll
        let weightRow = (step * LANES + i) * packs;
        for (var j = 0; j < COLUMNS; j++) { // unroll
          let weight = OutputLanes(pointwiseFilter[weightRow + column[j]]);
          for (var r = 0; r < TILE_PIXELS; r++) { // unroll
            sum[r][j] += x[r][i] * weight;
          }
        }
      }
    }
    let rowStart = (n * p.OH + oy + t * RH) * p.OW;
    for (var r = 0; r < TILE_PIXELS; r++) { // unroll
      let pixel = firstRun * TILE_W + firstPixel + r; // counted along the runs
      let ox = pixel;      // if RATED == 0
      // let ox = columnOf(pixel / TILE_W) + pixel % TILE_W * RW; // if RATED == 1
      for (var j = 0; j < COLUMNS; j++) { // unroll
        // No &&, whose branches SwiftShader compiles in minutes here.
        if ((pixel < p.ACROSS * TILE_W) & (ox < p.OW) & (firstPack + j * GROUP_X < packs)) {
          let firstOfPixel = u32(p.outputStart + (rowStart + ox) * p.O_STRIDE);
          let at = firstOfPixel / OUTPUT_LANES + u32(firstPack + j * GROUP_X);
          output[at] = StoredOutput(activation(ownBias[j] + sum[r][j], p.alpha));
        }
      }
    }
  }
}
