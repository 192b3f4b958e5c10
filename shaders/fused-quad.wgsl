enable subgroups;
// Fused kernel by quads: depthwise and pointwise pass in one, with weights kept from pixel to pixel, and the four
// lanes of a quad sharing depthwise results.
//
//   d[pixel, k] = depthwiseActivation(depthwiseBias[k] + sum over (di, dj) of input[...] * depthwiseFilter[di, dj, k])
//   output[pixel, o] = activation(bias[o] + sum over k of d[pixel, k] * pointwiseFilter[k, o])
//
// One workgroup is one quad and goes down TILE_ROWS rows of TILE_W pixels, RH and RW apart, by 4 * COLUMNS packs of 4
// output channels, in blocks of 4 * STEPS k as in pointwise-quad.wgsl. Of each 4 k a lane computes d of one, for the
// pixels of a row, and swaps it with the other lanes. d is computed again for every tile of channels.
//
// An input row is added to all rows of d that need it as soon as it is loaded. So LEAD + 1 rows of d are begun at any
// time, and no input row is kept. The pixels of a finished row are multiplied one after the other, in a loop that picks
// their d: code written out for each pixel would be more than a processor keeps at hand.
// Grid: N * tiles of a column * tiles of a row * ceil(O / (4 * COLUMNS * 4)) workgroups. No workgroup memory.
// Equals `pointwise` of `depthwise` in src/reference.ts.

alias Lanes = vec4f;       // if LANES == 4: what one store writes
// alias Lanes = f32;      // if LANES == 1
const LANES = 4;           // spec: 4 or 1, as Lanes
const PARTS = 4 / LANES;   // stores of a pack
const SH = 1;              // spec: stride along H
const SW = 1;              // spec: stride along W
const TAPS_H = 3;          // spec: rows of the filter, KH
const TAPS_W = 3;          // spec: columns of the filter, KW
const FRESH = 1;           // spec: input rows loaded for each row of outputs: SH, or TAPS_H where outputs share none
const LEAD = (TAPS_H + FRESH - 1) / FRESH - 1; // rows of outputs begun before the first is finished
const TILE_W = 2;          // spec: pixels of a quad along W
const SPAN_W = (TILE_W - 1) * SW + TAPS_W; // input columns they read
const COLUMNS = 2;         // spec: packs of output channels of a lane
const STEPS = 2;           // spec: steps of 4 k in a block
const ALONE = 0;           // spec: 1 where one block has all k
const EXACT_K = 0;         // spec: 1 where no step goes beyond K
const FULL_W = 0;          // spec: 1 where every tile along W is full
const FULL_O = 0;          // spec: 1 where every tile of output channels is full
const SCALED = 0;          // spec: above 0 where input channels have factors, one for each image
const RESIDUAL = 0;        // spec: lanes of the residual, which is added before the activation; 0 without
const QUAD = 4;            // invocations of a workgroup, k of a step, and channels of a pack
const TAPS = TAPS_H * TAPS_W * STEPS;

const_assert LEAD == 0 || FRESH == SH;

struct Params {
  N: i32, H: i32, W: i32, C: i32,
  M: i32, K: i32,
  OH: i32, OW: i32, O: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32,
  inputStart: i32, outputStart: i32,   // the first elements of input and output in their bindings
  O_STRIDE: i32,                       // channels from one output pixel to the next, at least O
  scaleStart: i32,                     // the first factor in its binding
  TILE_ROWS: i32,                      // rows of outputs of a quad
  ACROSS: i32, DOWN: i32,              // tiles of a row and of a column of outputs
  depthwiseAlpha: f32, alpha: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;                 // [N, H, W, C]
@group(0) @binding(2) var<storage, read> depthwiseFilter: array<f32>;       // [KH, KW, C, M]
@group(0) @binding(3) var<storage, read> depthwiseBias: array<f32>;         // [K]
@group(0) @binding(4) var weights: texture_2d<f32>;                         // [K, ceil(O / 4)] of filter-texture.wgsl
@group(0) @binding(5) var nearest: sampler;
@group(0) @binding(6) var<storage, read> bias: array<Lanes>;                // [O]
// @group(0) @binding(7) var<storage, read> inputScale: array<f32>; // if SCALED > 0: [N, K]
// @group(0) @binding(7) var<storage, read> residual: array<Lanes>; // if RESIDUAL > 0: [N, OH, OW, O]
@group(0) @binding(7) var<storage, read_write> output: array<Lanes>;        // [N, OH, OW, O]

fn biasOf(pack: i32, last: i32) -> vec4f {
  return bias[min(pack, last)]; // if LANES == 4
  // let o = pack * 4;     // if LANES == 1
  // return vec4f(bias[min(o, last)], bias[min(o + 1, last)], // if LANES == 1
  //   bias[min(o + 2, last)], bias[min(o + 3, last)]); // if LANES == 1
}
// The sums so far of a pack, from the output.
fn soFar(at: i32, pack: i32, last: i32) -> vec4f {
  return output[at + min(pack, last)];  // if LANES == 4
  // let o = pack * 4;       // if LANES == 1
  // return vec4f(output[at + min(o, last)], output[at + min(o + 1, last)], // if LANES == 1
  //   output[at + min(o + 2, last)], output[at + min(o + 3, last)]); // if LANES == 1
}
// What sums begin with: the bias, and the residual, which is laid out as the output. Every block loads it, because
// SwiftShader takes longer for a branch or a loop here.
fn beginning(start: vec4f, at: i32, pack: i32, last: i32) -> vec4f {
  return start;              // if RESIDUAL == 0
  // return start + residual[at + min(pack, last)]; // if RESIDUAL == 4
  // let o = pack * 4;       // if RESIDUAL == 1
  // return start + vec4f(residual[at + min(o, last)], residual[at + min(o + 1, last)], // if RESIDUAL == 1
  //   residual[at + min(o + 2, last)], residual[at + min(o + 3, last)]); // if RESIDUAL == 1
}
fn begun(start: vec4f, at: i32, pack: i32, last: i32, block: i32) -> vec4f {
  // return beginning(start, at, pack, last); // if ALONE == 1
  return select(beginning(start, at, pack, last), soFar(at, pack, last), block > 0); // if ALONE == 0
}
fn within(x: f32, inside: bool) -> f32 {
  // return x;             // if EXACT_K == 1
  return select(0.0, x, inside); // if EXACT_K == 0
}
fn finished(sum: vec4f, alpha: f32, last: bool) -> vec4f {
  // return activation(sum, alpha); // if ALONE == 1
  return select(sum, activation(sum, alpha), last); // if ALONE == 0
}
fn insideO(o: i32, stores: i32) -> bool {
  // return true;          // if FULL_O == 1
  return o < stores;       // if FULL_O == 0
}
fn insideW(x: i32, OW: i32) -> bool {
  // return true;          // if FULL_W == 1
  return x < OW;           // if FULL_W == 0
}
fn split(x: vec4f) -> array<Lanes, PARTS> {
  return array<Lanes, PARTS>(x); // if LANES == 4
  // return array<Lanes, PARTS>(x.x, x.y, x.z, x.w); // if LANES == 1
}
fn depthwiseActivation(x: f32, alpha: f32) -> f32 { return x; } // body of activations.wgsl
fn activation(x: vec4f, alpha: f32) -> vec4f { return x; } // body of activations.wgsl

@compute @workgroup_size(QUAD)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) invocation: u32,
) {
  let index = i32(group.y * groups.x + group.x);
  let packs = (p.O + 3) / 4;
  let columnTiles = (packs + QUAD * COLUMNS - 1) / (QUAD * COLUMNS);
  // Never 0. Asked for here so that bounds checks in loops need not: each length costs SwiftShader four divisions.
  var length = min(min(arrayLength(&input), arrayLength(&depthwiseFilter)), arrayLength(&output));
  // length = min(length, arrayLength(&residual)); // if RESIDUAL > 0
  if ((index >= p.N * p.DOWN * p.ACROSS * columnTiles) | (length == 0u)) {
    return;
  }
  let lane = i32(invocation % QUAD);
  let stores = p.O / LANES;
  let pixelStores = p.O_STRIDE / LANES;
  let origin = p.outputStart / LANES;
  let columnStores = p.RW * pixelStores;
  let pack = index % columnTiles * (QUAD * COLUMNS) + lane;
  let tileX = (index / columnTiles) % p.ACROSS;
  let tileY = (index / columnTiles / p.ACROSS) % p.DOWN;
  let n = index / columnTiles / p.ACROSS / p.DOWN;
  let ox = tileX / p.RW * TILE_W * p.RW + tileX % p.RW;
  let oy = tileY / p.RH * p.TILE_ROWS * p.RH + tileY % p.RH;
  let rows = min(p.TILE_ROWS, (p.OH - oy + p.RH - 1) / p.RH);
  let texel = 1.0 / f32(p.K);

  var u: array<f32, COLUMNS>; // Texels are sampled at their centres; beyond the edge its texels repeat.
  var start: array<vec4f, COLUMNS>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    u[j] = (f32(pack + j * QUAD) + 0.5) / f32(packs);
    start[j] = biasOf(pack + j * QUAD, stores - 1);
  }
  for (var block = 0; block < p.K; block += QUAD * STEPS) {
    var b: array<array<mat4x4f, COLUMNS>, STEPS>; // The weights of 4 k, for each of 4 output channels.
    for (var i = 0; i < QUAD; i++) { // unroll
      let v = (f32(block + (lane ^ i)) + 0.5) * texel;
      for (var s = 0; s < STEPS; s++) { // unroll
        // let k = min(block + s * QUAD + (lane ^ i), p.K - 1); // if SCALED > 0
        // let factor = inputScale[p.scaleStart + n * p.K + k]; // if SCALED > 0
        for (var j = 0; j < COLUMNS; j++) { // unroll
          b[s][j][i] = textureSampleLevel(weights, nearest, vec2f(u[j], v + f32(s * QUAD) * texel), 0.0);
          // b[s][j][i] *= factor; // if SCALED > 0
        }
      }
    }
    var tap: array<f32, TAPS>; // Filled by a loop that is not unrolled, so that less code is compiled.
    for (var i = 0; i < TAPS; i++) {
      tap[i] = depthwiseFilter[i / STEPS * p.K + min(block + i % STEPS * QUAD + lane, p.K - 1)];
    }
    var first: array<f32, STEPS>;
    var c: array<i32, STEPS>;
    var insideK: array<bool, STEPS>;
    let last = block + QUAD * STEPS >= p.K;
    for (var s = 0; s < STEPS; s++) { // unroll
      for (var j = 0; j < COLUMNS; j++) { // unroll
        b[s][j] = transpose(b[s][j]);
      }
      let k = min(block + s * QUAD + lane, p.K - 1);
      c[s] = p.inputStart + k / p.M;
      insideK[s] = block + s * QUAD + lane < p.K;
      first[s] = depthwiseBias[k];
    }
    var d: array<array<array<f32, TILE_W>, LEAD + 1>, STEPS>;
    for (var t = -LEAD; t < rows; t++) {
      for (var s = 0; s < STEPS; s++) { // unroll
        for (var r = 0; r < LEAD; r++) { // unroll
          d[s][r] = d[s][r + 1];
        }
        for (var w = 0; w < TILE_W; w++) { // unroll
          d[s][LEAD][w] = first[s];
        }
      }
      var fresh: array<array<array<f32, SPAN_W>, FRESH>, STEPS>;
      for (var v = 0; v < FRESH; v++) { // unroll
        let y = oy * SH - p.padTop + ((t + LEAD) * SH + v) * p.RH;
        let insideY = u32(y) < u32(p.H);
        let row = (n * p.H + clamp(y, 0, p.H - 1)) * p.W;
        for (var x = 0; x < SPAN_W; x++) { // unroll
          let column = ox * SW - p.padLeft + x * p.RW;
          let inside = insideY & (u32(column) < u32(p.W));
          let pixel = (row + clamp(column, 0, p.W - 1)) * p.C;
          for (var s = 0; s < STEPS; s++) { // unroll
            fresh[s][v][x] = select(0.0, input[pixel + c[s]], inside);
          }
        }
      }
      for (var s = 0; s < STEPS; s++) { // unroll
        for (var i = 0; i < TAPS_H; i++) { // unroll
          for (var w = 0; w < TILE_W; w++) { // unroll
            for (var j = 0; j < TAPS_W; j++) { // unroll
              d[s][LEAD - i / FRESH][w] += fresh[s][i % FRESH][w * SW + j] * tap[(i * TAPS_W + j) * STEPS + s];
            }
          }
        }
      }
      let finishedPixels = select(0, TILE_W, t >= 0);
      let rowStart = origin + ((n * p.OH + oy + t * p.RH) * p.OW + ox) * pixelStores;
      for (var w = 0; w < finishedPixels; w++) {
        var a: array<vec4f, STEPS>;
        for (var s = 0; s < STEPS; s++) { // unroll
          var sum = 0.0;
          for (var i = 0; i < TILE_W; i++) { // unroll
            sum = select(sum, d[s][0][i], w == i);
          }
          let x = within(depthwiseActivation(sum, p.depthwiseAlpha), insideK[s]);
          a[s] = vec4f(x, quadSwapX(x), quadSwapY(x), quadSwapDiagonal(x));
        }
        let at = rowStart + w * columnStores;
        var sum: array<vec4f, COLUMNS>;
        for (var j = 0; j < COLUMNS; j++) { // unroll
          sum[j] = begun(start[j], at, pack + j * QUAD, stores - 1, block);
        }
        for (var s = 0; s < STEPS; s++) { // unroll
          for (var j = 0; j < COLUMNS; j++) { // unroll
            for (var o = 0; o < QUAD; o++) { // unroll
              sum[j][o] += dot(b[s][j][o], a[s]);
            }
          }
        }
        for (var j = 0; j < COLUMNS; j++) { // unroll
          let parts = split(finished(sum[j], p.alpha, last));
          for (var i = 0; i < PARTS; i++) { // unroll
            let o = (pack + j * QUAD) * PARTS + i;
            if (insideO(o, stores) & insideW(ox + w * p.RW, p.OW)) {
              output[at + o] = parts[i];
            }
          }
        }
      }
    }
  }
}
