enable subgroups;
// Fused kernel by quads: depthwise and pointwise pass in one, with the four lanes of a quad sharing depthwise results, and
// pointwise weights from a texture.
//
//   d[pixel, k] = depthwiseActivation(depthwiseBias[k] + sum over (di, dj) of input[...] * depthwiseFilter[di, dj, k])
//   output[pixel, o] = activation(bias[o] + sum over k of d[pixel, k] * pointwiseFilter[k, o])
//
// One workgroup is one quad and computes TILE_H x TILE_W pixels, RH and RW apart as in depthwise.wgsl, by 4 * COLUMNS
// packs of 4 output channels; each lane has COLUMNS of the packs. For 4 k at a time each lane computes d of one k for all
// the pixels and swaps it with the others, as in pointwise-quad.wgsl. d is computed again for every tile of channels.
// Grid: N * tiles of a column * tiles of a row * ceil(O / (4 * COLUMNS * 4)) workgroups. No workgroup memory.
// Equals `pointwise` of `depthwise` in src/reference.ts.

alias Elem = f32;          // spec: what input, weights and output are stored as: f32 or f16
alias Lanes = vec4f;       // spec: what one store writes: vec4f if O and O_STRIDE are multiples of 4, else f32
alias Stored = vec4<Elem>; // spec: Lanes as stored: vec4<Elem> or Elem
const LANES = 4;           // spec: 4 or 1, as Lanes
const PARTS = 1;           // spec: stores of a pack: 4 / LANES
const SH = 1;              // spec: stride along H
const SW = 1;              // spec: stride along W
const TAPS_H = 3;          // spec: rows of the filter taken at once, a divisor of KH
const TAPS_W = 3;          // spec: columns of the filter taken at once, a divisor of KW
const TILE_H = 2;          // spec: pixels of a quad along H
const TILE_W = 2;          // spec: pixels of a quad along W
const SPAN_H = 4;          // spec: input rows they read: (TILE_H - 1) * SH + TAPS_H
const SPAN_W = 4;          // spec: input columns they read: (TILE_W - 1) * SW + TAPS_W
const COLUMNS = 2;         // spec: packs of output channels of a lane
const QUAD = 4;            // invocations of a workgroup, and k of one step

const_assert SPAN_H == (TILE_H - 1) * SH + TAPS_H && SPAN_W == (TILE_W - 1) * SW + TAPS_W;

struct Params {
  N: i32, H: i32, W: i32, C: i32,
  KH: i32, KW: i32, M: i32, K: i32,
  OH: i32, OW: i32, O: i32, RH: i32, RW: i32,
  padTop: i32, padLeft: i32,
  inputStart: i32, outputStart: i32,   // the first elements of input and output in their bindings
  O_STRIDE: i32,                       // channels from one output pixel to the next, at least O
  depthwiseAlpha: f32, alpha: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Elem>;                // [N, H, W, C]
@group(0) @binding(2) var<storage, read> depthwiseFilter: array<Elem>;      // [KH, KW, C, M]
@group(0) @binding(3) var<storage, read> depthwiseBias: array<Elem>;        // [K]
@group(0) @binding(4) var pointwiseFilter: texture_2d<f32>;                 // [K, ceil(O / 4)] of filter-texture.wgsl
@group(0) @binding(5) var nearest: sampler;
@group(0) @binding(6) var<storage, read> bias: array<Stored>;               // [O]
@group(0) @binding(7) var<storage, read_write> output: array<Stored>;       // [N, OH, OW, O]

fn biasOf(pack: i32, last: i32) -> vec4f { return vec4f(bias[min(pack, last)]); }   // spec: the 4 of a pack, in one load or four
fn split(x: vec4f) -> array<Lanes, PARTS> { return array<Lanes, PARTS>(x); }        // spec: x, or its 4 components
fn depthwiseActivation(x: f32, alpha: f32) -> f32 { return x; }                     // spec: an expression of activations.wgsl
fn activation(x: vec4f, alpha: f32) -> vec4f { return x; }                          // spec: an expression of activations.wgsl

@compute @workgroup_size(QUAD)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) invocation: u32,
) {
  let index = i32(group.y * groups.x + group.x);
  let packs = (p.O + 3) / 4;
  let columnTiles = (packs + QUAD * COLUMNS - 1) / (QUAD * COLUMNS);
  let across = p.RW * ((p.OW + TILE_W * p.RW - 1) / (TILE_W * p.RW));
  let down = p.RH * ((p.OH + TILE_H * p.RH - 1) / (TILE_H * p.RH));
  if (index >= p.N * down * across * columnTiles) {
    return;
  }
  let lane = i32(invocation % QUAD);
  let stores = p.O / LANES;
  let pixelStores = p.O_STRIDE / LANES; // Division is slow: once.
  let start = p.outputStart / LANES;
  let pack = index % columnTiles * (QUAD * COLUMNS) + lane;
  let tileX = (index / columnTiles) % across;
  let tileY = (index / columnTiles / across) % down;
  let n = index / columnTiles / across / down;
  let ox = tileX / p.RW * TILE_W * p.RW + tileX % p.RW;
  let oy = tileY / p.RH * TILE_H * p.RH + tileY % p.RH;

  var u: array<f32, COLUMNS>; // Texels are taken at their centres; what lies beyond the edge repeats it.
  var sum: array<array<array<vec4f, COLUMNS>, TILE_W>, TILE_H>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    u[j] = (f32(pack + j * QUAD) + 0.5) / f32(packs);
    for (var t = 0; t < TILE_H; t++) { // unroll
      for (var s = 0; s < TILE_W; s++) { // unroll
        sum[t][s][j] = biasOf(pack + j * QUAD, stores - 1);
      }
    }
  }
  for (var first = 0; first < p.K; first += QUAD) {
    let k = min(first + lane, p.K - 1);
    let c = p.inputStart + k / p.M;
    var d: array<array<f32, TILE_W>, TILE_H>;
    for (var t = 0; t < TILE_H; t++) { // unroll
      for (var s = 0; s < TILE_W; s++) { // unroll
        d[t][s] = f32(depthwiseBias[k]);
      }
    }
    var di = 0;
    loop {
      var dj = 0;
      loop {
        var window: array<array<f32, SPAN_W>, SPAN_H>;
        for (var v = 0; v < SPAN_H; v++) { // unroll
          let y = oy * SH - p.padTop + (di + v) * p.RH;
          let insideY = u32(y) < u32(p.H);
          let row = (n * p.H + clamp(y, 0, p.H - 1)) * p.W;
          for (var u = 0; u < SPAN_W; u++) { // unroll
            let x = ox * SW - p.padLeft + (dj + u) * p.RW;
            let value = f32(input[(row + clamp(x, 0, p.W - 1)) * p.C + c]);
            window[v][u] = select(0.0, value, insideY & (u32(x) < u32(p.W)));
          }
        }
        for (var i = 0; i < TAPS_H; i++) { // unroll
          for (var j = 0; j < TAPS_W; j++) { // unroll
            let tap = f32(depthwiseFilter[((di + i) * p.KW + dj + j) * p.K + k]);
            for (var t = 0; t < TILE_H; t++) { // unroll
              for (var s = 0; s < TILE_W; s++) { // unroll
                d[t][s] += window[t * SH + i][s * SW + j] * tap;
              }
            }
          }
        }
        continuing {
          dj += TAPS_W;
          break if dj >= p.KW;
        }
      }
      continuing {
        di += TAPS_H;
        break if di >= p.KH;
      }
    }
    var b: array<mat4x4f, COLUMNS>;
    for (var i = 0; i < QUAD; i++) { // unroll
      let v = (f32(first + (lane ^ i)) + 0.5) / f32(p.K);
      for (var j = 0; j < COLUMNS; j++) { // unroll
        b[j][i] = textureSampleLevel(pointwiseFilter, nearest, vec2f(u[j], v), 0.0);
      }
    }
    for (var t = 0; t < TILE_H; t++) { // unroll
      for (var s = 0; s < TILE_W; s++) { // unroll
        let own = select(0.0, depthwiseActivation(d[t][s], p.depthwiseAlpha), first + lane < p.K);
        let a = vec4f(own, quadSwapX(own), quadSwapY(own), quadSwapDiagonal(own));
        for (var j = 0; j < COLUMNS; j++) { // unroll
          sum[t][s][j] += b[j] * a;
        }
      }
    }
  }
  for (var t = 0; t < TILE_H; t++) { // unroll
    for (var s = 0; s < TILE_W; s++) { // unroll
      let inside = (oy + t * p.RH < p.OH) & (ox + s * p.RW < p.OW);
      let at = start + ((n * p.OH + oy + t * p.RH) * p.OW + ox + s * p.RW) * pixelStores;
      for (var j = 0; j < COLUMNS; j++) { // unroll
        let parts = split(activation(sum[t][s][j], p.alpha));
        for (var i = 0; i < PARTS; i++) { // unroll
          let o = (pack + j * QUAD) * PARTS + i;
          if (inside & (o < stores)) {
            output[at + o] = Stored(parts[i]);
          }
        }
      }
    }
  }
}
