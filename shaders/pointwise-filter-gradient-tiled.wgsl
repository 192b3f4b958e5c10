// Gradient of the pointwise filter on GPUs: as pointwise-filter-gradient.wgsl, through workgroup memory.
//
//   output[s, k, o] = sum over pixels from s * PER_SPLIT, at most PER_SPLIT of them,
//     of input[pixel, k] * gradient[pixel, o]
//
// A workgroup is SLICES slices of GROUP_X x GROUP_Y invocations. It computes TILE_ROWS packs of 4 k by TILE_COLUMNS
// packs of 4 output channels for one split. In rounds of CHUNK pixels it loads its part of both operands once into
// workgroup memory, as both lie in storage. From there each invocation multiplies ROWS packs, GROUP_Y apart, by COLUMNS
// packs, GROUP_X apart, into registers; each slice takes every SLICES-th pixel of a round. At the end slices hand their
// sums on as in pointwise-split.wgsl, in the same memory.
// Grid: ceil(K_STRIDE / 4 / TILE_ROWS) * ceil(O_STRIDE / 4 / TILE_COLUMNS) * SPLITS workgroups, splits slowest.
// Memory: 16 * CHUNK * (TILE_ROWS + TILE_COLUMNS) bytes, or, if that is more, 32 * SLICES * GROUP_X * GROUP_Y * ROWS *
// COLUMNS. The sum over s is `pointwiseFilterGradient` in src/reference.ts.

const ROWS = 1;            // spec: packs of 4 k of one invocation
const COLUMNS = 1;         // spec: packs of 4 output channels of one invocation
const GROUP_X = 8;         // spec: invocations of a slice along the output channels
const GROUP_Y = 8;         // spec: invocations of a slice along k
const SLICES = 4;          // spec: parts of a round's pixels, a power of 2
const CHUNK = 64;          // spec: pixels of one round, a multiple of SLICES
const PACK = 4;            // channels of one load

const TILE_ROWS = ROWS * GROUP_Y;
const TILE_COLUMNS = COLUMNS * GROUP_X;
const LANES_OF_SLICE = GROUP_X * GROUP_Y;
const WORKGROUP = SLICES * LANES_OF_SLICE;
const STEPS = CHUNK / SLICES;
const SUMS = PACK * ROWS * COLUMNS; // of one invocation
const VECTORS_A = CHUNK * TILE_ROWS;
const VECTORS_B = CHUNK * TILE_COLUMNS;
const LOADS_A = (VECTORS_A + WORKGROUP - 1) / WORKGROUP; // loads of input of one invocation in a round
const LOADS_B = (VECTORS_B + WORKGROUP - 1) / WORKGROUP; // the same of the gradient
// Whether all invocations load as often. Compilers put loads off until after the question whether they are needed.
const EXACT_A = LOADS_A * WORKGROUP == VECTORS_A;
const EXACT_B = LOADS_B * WORKGROUP == VECTORS_B;
const HANDED = SLICES / 2 * LANES_OF_SLICE * SUMS;

const_assert SLICES > 0 && (SLICES & (SLICES - 1)) == 0 && CHUNK % SLICES == 0;

// Unsigned, because signed divisions take twice the instructions.
struct Params {
  PIXELS: u32,             // N * OH * OW
  K: u32,
  K_STRIDE: u32,           // K rounded up to a multiple of 4
  O_STRIDE: u32,           // O rounded up to a multiple of 4
  SPLITS: u32,
  PER_SPLIT: u32,          // a multiple of CHUNK
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;           // [PIXELS, K_STRIDE]
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;        // [PIXELS, O_STRIDE]
@group(0) @binding(3) var<storage, read_write> output: array<vec4f>;    // [SPLITS, K, O_STRIDE]

// A round of the input, [CHUNK, TILE_ROWS], then of the gradient, [CHUNK, TILE_COLUMNS]; at the end half of all sums.
var<workgroup> memory: array<vec4f, max(VECTORS_A + VECTORS_B, HANDED)>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let tile = group.y * groups.x + group.x;
  let rowPacks = p.K_STRIDE / PACK;
  let columnPacks = p.O_STRIDE / PACK;
  let down = (rowPacks + TILE_ROWS - 1) / TILE_ROWS;
  let across = (columnPacks + TILE_COLUMNS - 1) / TILE_COLUMNS;
  let split = tile / across / down;
  if (split >= p.SPLITS) {
    return;
  }
  let firstRow = (tile / across) % down * TILE_ROWS;
  let firstColumn = tile % across * TILE_COLUMNS;
  let end = min((split + 1) * p.PER_SPLIT, p.PIXELS);
  let lane = local % LANES_OF_SLICE;
  let slice = local / LANES_OF_SLICE % SLICES; // of one slice 0, which compilers then know
  let row = lane / GROUP_X;
  let column = lane % GROUP_X;

  // Where the invocation's loads are in a pixel's channels.
  var packA: array<u32, LOADS_A>;
  for (var i = 0u; i < LOADS_A; i++) { // unroll
    packA[i] = min(firstRow + (local + i * WORKGROUP) % TILE_ROWS, rowPacks - 1);
  }
  var packB: array<u32, LOADS_B>;
  for (var i = 0u; i < LOADS_B; i++) { // unroll
    packB[i] = min(firstColumn + (local + i * WORKGROUP) % TILE_COLUMNS, columnPacks - 1);
  }

  var sum: array<vec4f, SUMS>;
  for (var pixel = split * p.PER_SPLIT; pixel < end; pixel += CHUNK) {
    // Loads are under way while other invocations still compute the round before.
    var freshA: array<vec4f, LOADS_A>;
    for (var i = 0u; i < LOADS_A; i++) { // unroll
      let own = pixel + (local + i * WORKGROUP) / TILE_ROWS;
      freshA[i] = input[min(own, end - 1) * rowPacks + packA[i]];
    }
    var freshB: array<vec4f, LOADS_B>;
    for (var i = 0u; i < LOADS_B; i++) { // unroll
      let own = pixel + (local + i * WORKGROUP) / TILE_COLUMNS;
      freshB[i] = gradient[min(own, end - 1) * columnPacks + packB[i]];
    }
    workgroupBarrier();
    for (var i = 0u; i < LOADS_A; i++) { // unroll
      let at = local + i * WORKGROUP;
      if (EXACT_A || at < VECTORS_A) {
        memory[at] = freshA[i];
      }
    }
    for (var i = 0u; i < LOADS_B; i++) { // unroll
      let at = local + i * WORKGROUP;
      if (EXACT_B || at < VECTORS_B) {
        memory[VECTORS_A + at] = select(vec4f(0.0), freshB[i], pixel + at / TILE_COLUMNS < end);
      }
    }
    workgroupBarrier();
    for (var step = 0u; step < STEPS; step++) { // unroll
      let taken = step * SLICES + slice;
      var a: array<vec4f, ROWS>;
      for (var r = 0u; r < ROWS; r++) { // unroll
        a[r] = memory[taken * TILE_ROWS + row + r * GROUP_Y];
      }
      for (var j = 0u; j < COLUMNS; j++) { // unroll
        let b = memory[VECTORS_A + taken * TILE_COLUMNS + column + j * GROUP_X];
        for (var r = 0u; r < ROWS; r++) { // unroll
          for (var i = 0u; i < PACK; i++) { // unroll
            sum[(r * COLUMNS + j) * PACK + i] += a[r][i] * b;
          }
        }
      }
    }
  }
  for (var half = u32(SLICES / 2); half > 0; half /= 2) {
    workgroupBarrier();
    if (slice >= half && slice < 2 * half) {
      for (var s = 0u; s < SUMS; s++) { // unroll
        memory[((slice - half) * SUMS + s) * LANES_OF_SLICE + lane] = sum[s];
      }
    }
    workgroupBarrier();
    if (slice < half) {
      for (var s = 0u; s < SUMS; s++) { // unroll
        sum[s] += memory[(slice * SUMS + s) * LANES_OF_SLICE + lane];
      }
    }
  }
  if (slice > 0) {
    return;
  }
  for (var r = 0u; r < ROWS; r++) { // unroll
    for (var j = 0u; j < COLUMNS; j++) { // unroll
      for (var i = 0u; i < PACK; i++) { // unroll
        let k = (firstRow + row + r * GROUP_Y) * PACK + i;
        let pack = firstColumn + column + j * GROUP_X;
        if (k < p.K && pack < columnPacks) {
          output[(split * p.K + k) * columnPacks + pack] = sum[(r * COLUMNS + j) * PACK + i];
        }
      }
    }
  }
}
