enable subgroups;
// Gradient of the pointwise filter by quads: as pointwise-filter-gradient.wgsl, with the four lanes of a quad sharing
// what they load of the depthwise result.
//
//   output[s, k, o] = sum over pixels from s * PER_SPLIT, at most PER_SPLIT of them,
//     of input[pixel, k] * gradient[pixel, o]
//
// One workgroup is one quad and computes 4 * ROWS packs of 4 k by 4 * COLUMNS packs of 4 output channels, 4 pixels at
// a time. Each lane has COLUMNS of the packs of output channels. It loads ROWS of the packs of k and swaps them with
// the other lanes, as in pointwise-quad.wgsl.
// Grid: ceil(K_STRIDE / 16 / ROWS) * ceil(O_STRIDE / 16 / COLUMNS) * SPLITS workgroups, splits slowest.
// No workgroup memory. The sum over s is `pointwiseFilterGradient` in src/reference.ts.

const ROWS = 1;            // spec: packs of 4 k that a lane loads
const COLUMNS = 4;         // spec: packs of 4 output channels of a lane
const QUAD = 4;            // invocations of a workgroup
const STEP = 4;            // pixels taken at once

struct Params {
  PIXELS: i32,             // N * OH * OW
  K: i32,
  K_STRIDE: i32,           // K rounded up to a multiple of 4
  O_STRIDE: i32,           // O rounded up to a multiple of 4
  SPLITS: i32,
  PER_SPLIT: i32,          // a multiple of 4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;           // [PIXELS, K_STRIDE]
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;        // [PIXELS, O_STRIDE]
@group(0) @binding(3) var<storage, read_write> output: array<vec4f>;    // [SPLITS, K, O_STRIDE]

@compute @workgroup_size(QUAD)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) invocation: u32,
) {
  let index = i32(group.y * groups.x + group.x);
  let rowPacks = p.K_STRIDE / 4;
  let columnPacks = p.O_STRIDE / 4;
  let down = (rowPacks + QUAD * ROWS - 1) / (QUAD * ROWS);
  let across = (columnPacks + QUAD * COLUMNS - 1) / (QUAD * COLUMNS);
  let split = index / across / down;
  if (split >= p.SPLITS) {
    return;
  }
  let lane = i32(invocation % QUAD);
  let firstRow = (index / across) % down * (QUAD * ROWS);
  let firstColumn = index % across * (QUAD * COLUMNS) + lane;
  let end = min((split + 1) * p.PER_SPLIT, p.PIXELS);

  var row: array<i32, ROWS>;
  for (var r = 0; r < ROWS; r++) { // unroll
    row[r] = min(firstRow + r * QUAD + lane, rowPacks - 1);
  }
  var column: array<i32, COLUMNS>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    column[j] = min(firstColumn + j * QUAD, columnPacks - 1);
  }
  // Column i of a matrix belongs to the i-th k of its pack, which is the lane's own, or its neighbour's by q.
  var sum: array<array<array<mat4x4f, COLUMNS>, QUAD>, ROWS>;
  for (var pixel = split * p.PER_SPLIT; pixel < end; pixel += STEP) {
    var b: array<mat4x4f, COLUMNS>;
    for (var i = 0; i < STEP; i++) { // unroll
      let start = min(pixel + i, end - 1) * columnPacks;
      for (var j = 0; j < COLUMNS; j++) { // unroll
        b[j][i] = select(vec4f(0.0), gradient[start + column[j]], pixel + i < end);
      }
    }
    for (var r = 0; r < ROWS; r++) { // unroll
      var a: array<mat4x4f, QUAD>;
      for (var i = 0; i < STEP; i++) { // unroll
        let own = input[min(pixel + i, end - 1) * rowPacks + row[r]];
        a[0][i] = own;
        a[1][i] = quadSwapX(own);
        a[2][i] = quadSwapY(own);
        a[3][i] = quadSwapDiagonal(own);
      }
      for (var q = 0; q < QUAD; q++) { // unroll
        let turned = transpose(a[q]);
        for (var j = 0; j < COLUMNS; j++) { // unroll
          sum[r][q][j] += b[j] * turned;
        }
      }
    }
  }
  for (var r = 0; r < ROWS; r++) { // unroll
    for (var q = 0; q < QUAD; q++) { // unroll
      for (var j = 0; j < COLUMNS; j++) { // unroll
        for (var i = 0; i < STEP; i++) { // unroll
          let k = (firstRow + r * QUAD + (lane ^ q)) * 4 + i;
          if ((k < p.K) & (firstColumn + j * QUAD < columnPacks)) {
            output[(split * p.K + k) * columnPacks + firstColumn + j * QUAD] = sum[r][q][j][i];
          }
        }
      }
    }
  }
}
