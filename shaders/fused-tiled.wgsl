// Fused kernel for GPUs: depthwise results stay in workgroup memory, from where the pointwise product takes them.
//
//   d[pixel, k] = depthwiseActivation(depthwiseBias[k] + sum over (di, dj) of input[...] * depthwiseFilter[di, dj, k])
//   output[pixel, o] = activation(bias[o] + sum over k of d[pixel, k] * pointwiseFilter[k, o])
//
// A workgroup is SLICES slices of GROUP_X x GROUP_Y invocations. It computes RUNS runs of TILE_W pixels, RW apart in a
// row as in depthwise.wgsl, by TILE_COLUMNS packs of OUTPUT_LANES output channels. In rounds of CHUNK k it computes d
// of its pixels into workgroup memory. From there each invocation multiplies TILE_PIXELS pixels by COLUMNS packs,
// GROUP_X apart, into registers; each slice takes its share of a round's k. Weights come straight from memory: a
// workgroup reads each once, and two barriers a round are enough. At the end slices hand their sums on as in
// pointwise-split.wgsl. d is computed again for every tile of output channels.
// Grid: ceil(N * OH * tiles of a row / RUNS) * ceil(O / (TILE_COLUMNS * OUTPUT_LANES)) workgroups.
// Memory: 4 * CHUNK * RUNS * TILE_W bytes, and 2 * SLICES * GROUP_X * GROUP_Y * TILE_PIXELS * COLUMNS * OUTPUT_LANES
// where there are slices. Equals `pointwise` of `depthwise` in src/reference.ts.

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
const KH = 3;              // spec: rows of the filter
const KW = 3;              // spec: columns of the filter
const SW = 1;              // spec: stride along W
const RATED = 0;           // spec: 1 where taps stand further apart than 1
const TAPS = 3;            // spec: columns of the filter taken at once, at most KW
const TILE_W = 4;          // spec: pixels of one run
const SPAN = (TILE_W - 1) * SW + TAPS; // input columns they read
const TILE_PIXELS = 8;     // spec: pixels of one invocation, a multiple of TILE_W
const COLUMNS = 1;         // spec: packs of output channels of one invocation
const GROUP_X = 16;        // spec: invocations of a slice along the output channels
const GROUP_Y = 8;         // spec: invocations of a slice along the pixels
const SLICES = 1;          // spec: parts of a round's k, a power of 2
const SUMS = TILE_PIXELS * COLUMNS; // sums of one invocation
const CHUNK = 32;          // spec: k of one round, a multiple of 4
const OWN_RUNS = TILE_PIXELS / TILE_W; // runs whose pixels an invocation multiplies

const_assert OWN_RUNS * TILE_W == TILE_PIXELS;
const_assert SLICES > 0 && (SLICES & (SLICES - 1)) == 0;
const RUNS = TILE_PIXELS * GROUP_Y / TILE_W;
const TILE_COLUMNS = COLUMNS * GROUP_X;
const LANES_OF_SLICE = GROUP_X * GROUP_Y;
const WORKGROUP = SLICES * LANES_OF_SLICE;
const PACKS = CHUNK / LANES;
const ITEMS = (RUNS * PACKS + WORKGROUP - 1) / WORKGROUP; // runs by packs of k of one invocation in a round
const EXACT = ITEMS * WORKGROUP == RUNS * PACKS; // whether all invocations have as many
const TURNS = PACKS / SLICES; // packs of k of one slice in a round
const_assert TURNS * SLICES == PACKS;

struct Params {
  N: i32, H: i32, W: i32, C: i32, M: i32, K: i32, OH: i32, OW: i32, O: i32,
  SH: i32, RH: i32, RW: i32, padTop: i32, padLeft: i32, depthwiseAlpha: f32, alpha: f32,
  inputStart: i32, outputStart: i32,   // the first elements of input and output in their bindings
  O_STRIDE: i32,                       // channels from one output pixel to the next, at least O
  scaleStart: i32,                     // the first factor in its binding
  ACROSS: i32,                         // runs of a row
}

struct Run { n: i32, oy: i32, tile: i32 } // a run of pixels: its image, row, and tile of the row

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<StoredInput>;             // [N, H, W, C]
@group(0) @binding(2) var<storage, read> depthwiseFilter: array<Stored>;        // [KH, KW, C, M]
@group(0) @binding(3) var<storage, read> depthwiseBias: array<Stored>;          // [K]
@group(0) @binding(4) var<storage, read> pointwiseFilter: array<StoredOutput>;  // [1, 1, K, O]
@group(0) @binding(5) var<storage, read> bias: array<StoredOutput>;             // [O]
// @group(0) @binding(6) var<storage, read> inputScale: array<Stored>; // if SCALED > 0: [N, K]
// @group(0) @binding(6) var<storage, read> residual: array<StoredOutput>; // if RESIDUAL > 0: [N, OH, OW, O]
@group(0) @binding(6) var<storage, read_write> output: array<StoredOutput>;     // [N, OH, OW, O]

var<workgroup> d: array<Lanes, RUNS * TILE_W * PACKS>;                          // [RUNS * TILE_W, CHUNK]
// var<workgroup> handed: array<OutputLanes, SLICES / 2 * LANES_OF_SLICE * SUMS>; // if SLICES > 1: half of all sums

fn depthwiseActivation(x: Lanes, alpha: f32) -> Lanes { return x; } // body of activations.wgsl
// Sums with the residual, which is laid out as the output.
fn completed(sum: OutputLanes, at: u32) -> OutputLanes {
  return sum;              // if RESIDUAL == 0
  // return sum + OutputLanes(residual[at]); // if RESIDUAL > 0
}
fn activation(x: OutputLanes, alpha: f32) -> OutputLanes { return x; } // body of activations.wgsl

// From one tap to the next. Compilers leave out divisions by 1.
fn rate(given: i32) -> i32 { return select(1, given, RATED == 1); }
// A quotient of what is not negative: unsigned divisions take half the instructions.
fn over(a: i32, b: i32) -> i32 { return i32(u32(a) / u32(b)); }
fn runOf(index: i32) -> Run {
  let y = over(index, p.ACROSS);
  let n = over(y, p.OH);
  return Run(n, y - n * p.OH, index - y * p.ACROSS);
}
// The run after it, in its row or in the next.
fn following(run: Run) -> Run {
  let tile = select(run.tile + 1, 0, run.tile + 1 == p.ACROSS);
  let oy = select(run.oy, run.oy + 1, tile == 0);
  return Run(select(run.n, run.n + 1, oy == p.OH), select(oy, 0, oy == p.OH), tile);
}
// The column of a run's first pixel.
fn firstColumn(run: Run) -> i32 {
  let column = over(run.tile, rate(p.RW));
  return column * TILE_W * rate(p.RW) + run.tile - column * rate(p.RW);
}

// Computes d for one run and one pack of k into workgroup memory, from element `at` in steps of PACKS.
// Elements outside the input are loaded like others, from wherever that is in the binding, and count as 0.
fn depthwise(run: Run, pack: i32, at: i32) {
  let filterPacks = p.K / LANES;
  let pixelPacks = p.C / INPUT_LANES;
  let k = min(pack, filterPacks - 1);
  let top = run.oy * p.SH - p.padTop;
  let left = firstColumn(run) * SW - p.padLeft;
  let c = p.inputStart / INPUT_LANES + k; // if INPUT_LANES == 4
  // let c = p.inputStart + over(k * LANES, p.M); // if INPUT_LANES == 1
  let first = c + ((run.n * p.H + top) * p.W + left) * pixelPacks;
  var sum: array<Lanes, TILE_W>;
  for (var t = 0; t < TILE_W; t++) { // unroll
    sum[t] = Lanes(depthwiseBias[k]);
  }
  for (var di = 0; di < KH; di++) {
    let y = di * rate(p.RH);
    let insideY = u32(top + y) < u32(p.H);
    for (var dj = 0; dj < KW; dj += TAPS) {
      var columns: array<Lanes, SPAN>;
      for (var i = 0; i < SPAN; i++) { // unroll
        let x = (dj + i) * rate(p.RW);
        let value = Lanes(Input(input[first + (y * p.W + x) * pixelPacks]));
        columns[i] = select(Lanes(0.0), value, insideY & (u32(left + x) < u32(p.W)));
      }
      for (var j = 0; j < TAPS; j++) { // unroll
        if (dj + j < KW) {
          let weight = Lanes(depthwiseFilter[(di * KW + dj + j) * filterPacks + k]);
          for (var t = 0; t < TILE_W; t++) { // unroll
            sum[t] += columns[t * SW + j] * weight;
          }
        }
      }
    }
  }
  for (var t = 0; t < TILE_W; t++) { // unroll
    let value = depthwiseActivation(sum[t], p.depthwiseAlpha);
    d[at + t * PACKS] = value; // if SCALED == 0
    // d[at + t * PACKS] = value * Lanes(inputScale[(p.scaleStart + run.n * p.K) / LANES + k]); // if SCALED > 0
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let packs = p.O / OUTPUT_LANES;
  let tile = group.y * groups.x + group.x;
  let columnTiles = u32(packs + TILE_COLUMNS - 1) / TILE_COLUMNS;
  let runs = p.N * p.OH * p.ACROSS;
  let firstRun = i32(tile / columnTiles) * RUNS;
  if (firstRun >= runs) {
    return;
  }
  let lane = i32(index % LANES_OF_SLICE);
  let slice = i32(index / LANES_OF_SLICE % SLICES); // of one slice 0, which compilers then know
  let pack = i32(tile % columnTiles * TILE_COLUMNS + index % GROUP_X);
  let ownRun = i32(index % LANES_OF_SLICE / GROUP_X) * OWN_RUNS;
  let row = ownRun * TILE_W;

  var ownWeight: array<i32, COLUMNS>; // of the slice's first k
  var sum: array<OutputLanes, SUMS>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    let column = min(pack + j * GROUP_X, packs - 1);
    ownWeight[j] = slice * LANES * packs + column;
  }
  for (var k = 0; k < p.K; k += CHUNK) {
    for (var i = 0u; i < ITEMS; i++) {
      let item = index + i * WORKGROUP;
      if (EXACT || item < RUNS * PACKS) {
        let run = i32(item / PACKS);
        let own = i32(item % PACKS); // pack of k
        depthwise(runOf(min(firstRun + run, runs - 1)), k / LANES + own, run * TILE_W * PACKS + own);
      }
    }
    workgroupBarrier();
    for (var turn = 0; turn < TURNS; turn++) {
      let step = turn * SLICES + slice;
      if (k + step * LANES >= p.K) {
        break;
      }
      var x: array<vec4f, TILE_PIXELS>;
      for (var r = 0; r < TILE_PIXELS; r++) { // unroll
        x[r] = vec4f(d[(row + r) * PACKS + step]);
      }
      for (var i = 0; i < LANES; i++) { // unroll
        let weightRow = (k + turn * SLICES * LANES + i) * packs;
        for (var j = 0; j < COLUMNS; j++) { // unroll
          let weight = OutputLanes(pointwiseFilter[weightRow + ownWeight[j]]);
          for (var r = 0; r < TILE_PIXELS; r++) { // unroll
            sum[r * COLUMNS + j] += x[r][i] * weight;
          }
        }
      }
    }
    workgroupBarrier();
  }
  for (var half = SLICES / 2; half > 0; half /= 2) {
    if (slice >= half && slice < 2 * half) {
      for (var s = 0; s < SUMS; s++) { // unroll
        // handed[((slice - half) * SUMS + s) * LANES_OF_SLICE + lane] = sum[s]; // if SLICES > 1
      }
    }
    workgroupBarrier();
    if (slice < half) {
      for (var s = 0; s < SUMS; s++) { // unroll
        // sum[s] += handed[(slice * SUMS + s) * LANES_OF_SLICE + lane]; // if SLICES > 1
      }
    }
    workgroupBarrier();
  }
  if (slice > 0) {
    return;
  }
  // Loaded before it is asked what is stored, or each pixel would wait for it. Added at the end: sums that begin with a
  // large bias are rounded to its size.
  var ownBias: array<OutputLanes, COLUMNS>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    ownBias[j] = OutputLanes(bias[min(pack + j * GROUP_X, packs - 1)]);
  }
  var run = runOf(firstRun + ownRun);
  for (var q = 0; q < OWN_RUNS; q++) { // unroll
    let ox = firstColumn(run);
    let pixel = (run.n * p.OH + run.oy) * p.OW + ox;
    for (var t = 0; t < TILE_W; t++) { // unroll
      for (var j = 0; j < COLUMNS; j++) { // unroll
        if (run.n < p.N && ox + t * rate(p.RW) < p.OW && pack + j * GROUP_X < packs) {
          let first = u32(p.outputStart + (pixel + t * rate(p.RW)) * p.O_STRIDE);
          let at = first / OUTPUT_LANES + u32(pack + j * GROUP_X);
          let value = completed(ownBias[j] + sum[(q * TILE_W + t) * COLUMNS + j], at);
          output[at] = StoredOutput(activation(value, p.alpha));
        }
      }
    }
    run = following(run);
  }
}
