// Gradient of the pointwise filter, in parts: the transposed depthwise result times the gradient behind it.
//
//   output[s, k, o] = sum over pixels from s * PER_SPLIT, at most PER_SPLIT of them,
//     of input[pixel, k] * gradient[pixel, o]
//
// One invocation computes 4 * ROWS k by 4 * COLUMNS output channels in registers, 4 pixels at a time. A workgroup is
// WORKGROUP neighbours, output channels fastest, splits slowest.
// Grid: ceil(K_STRIDE / 4 / ROWS) * ceil(O_STRIDE / 4 / COLUMNS) * SPLITS invocations. No workgroup memory.
// The sum over s is `pointwiseFilterGradient` in src/reference.ts.

const ROWS = 4;            // spec: packs of 4 k of one invocation
const COLUMNS = 4;         // spec: packs of 4 output channels of one invocation
const WORKGROUP = 64;      // spec: invocations of a workgroup
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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = i32((group.y * groups.x + group.x) * WORKGROUP + local);
  let rowPacks = p.K_STRIDE / 4;
  let columnPacks = p.O_STRIDE / 4;
  let down = (rowPacks + ROWS - 1) / ROWS;
  let across = (columnPacks + COLUMNS - 1) / COLUMNS;
  let split = index / across / down;
  if (split >= p.SPLITS) {
    return;
  }
  let firstRow = (index / across) % down * ROWS;
  let firstColumn = index % across * COLUMNS;
  let end = min((split + 1) * p.PER_SPLIT, p.PIXELS);

  var row: array<i32, ROWS>;
  for (var r = 0; r < ROWS; r++) { // unroll
    row[r] = min(firstRow + r, rowPacks - 1);
  }
  var column: array<i32, COLUMNS>;
  for (var j = 0; j < COLUMNS; j++) { // unroll
    column[j] = min(firstColumn + j, columnPacks - 1);
  }
  // Column i of a matrix belongs to the i-th k of its row of packs.
  var sum: array<array<mat4x4f, COLUMNS>, ROWS>;
  for (var pixel = split * p.PER_SPLIT; pixel < end; pixel += STEP) {
    var b: array<mat4x4f, COLUMNS>;
    for (var i = 0; i < STEP; i++) { // unroll
      let start = min(pixel + i, end - 1) * columnPacks;
      for (var j = 0; j < COLUMNS; j++) { // unroll
        b[j][i] = select(vec4f(0.0), gradient[start + column[j]], pixel + i < end);
      }
    }
    for (var r = 0; r < ROWS; r++) { // unroll
      var a: mat4x4f;
      for (var i = 0; i < STEP; i++) { // unroll
        a[i] = input[min(pixel + i, end - 1) * rowPacks + row[r]];
      }
      a = transpose(a);
      for (var j = 0; j < COLUMNS; j++) { // unroll
        sum[r][j] += b[j] * a;
      }
    }
  }
  for (var r = 0; r < ROWS; r++) { // unroll
    for (var j = 0; j < COLUMNS; j++) { // unroll
      for (var i = 0; i < STEP; i++) { // unroll
        let k = (firstRow + r) * 4 + i;
        if ((k < p.K) & (firstColumn + j < columnPacks)) {
          output[(split * p.K + k) * columnPacks + firstColumn + j] = sum[r][j][i];
        }
      }
    }
  }
}
