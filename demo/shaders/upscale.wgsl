// Twice as many rows and columns, bilinear, and another tensor added, times a factor for each channel:
//
//   output[y, x, c] = bilinear(input, (y + 0.5)/2 - 0.5, (x + 0.5)/2 - 0.5, c) + skip[y, x, c] * skipScale[c]
//
// Beyond its edges the input goes on with its last row and column. One invocation computes four channels of the 2×2
// output pixels that one input pixel covers, from it and its neighbours, channels fastest. Workgroup 64, grid
// H*W*C/4 / 64, over two dimensions where one does not hold it. Equals `upscale` in demo/networks/reference.ts.

struct Params {
  H: i32, W: i32, PACKS: i32,                         // PACKS: C / 4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;           // [1, H, W, C]
@group(0) @binding(2) var<storage, read> skip: array<vec4f>;            // [1, 2H, 2W, C]
@group(0) @binding(3) var<storage, read> skipScale: array<vec4f>;       // [1, 1, 1, C]
@group(0) @binding(4) var<storage, read_write> output: array<vec4f>;    // [1, 2H, 2W, C]

fn load(y: i32, x: i32, pack: i32) -> vec4f {
  return input[(clamp(y, 0, p.H - 1) * p.W + clamp(x, 0, p.W - 1)) * p.PACKS + pack];
}

// A row of input at the two output columns of pixel x.
struct Pair { left: vec4f, right: vec4f }

fn row(y: i32, x: i32, pack: i32) -> Pair {
  let near = 0.75 * load(y, x, pack);
  return Pair(near + 0.25 * load(y, x - 1, pack), near + 0.25 * load(y, x + 1, pack));
}

fn write(y: i32, x: i32, pack: i32, factor: vec4f, value: vec4f) {
  let at = (y * 2 * p.W + x) * p.PACKS + pack;
  output[at] = value + skip[at] * factor;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = i32(id.y * groups.x * 64 + id.x);
  if (index >= p.H * p.W * p.PACKS) {
    return;
  }
  let pack = index % p.PACKS;
  let x = index / p.PACKS % p.W;
  let y = index / p.PACKS / p.W;
  let above = row(y - 1, x, pack);
  let here = row(y, x, pack);
  let below = row(y + 1, x, pack);
  let factor = skipScale[pack];
  write(2 * y, 2 * x, pack, factor, 0.75 * here.left + 0.25 * above.left);
  write(2 * y, 2 * x + 1, pack, factor, 0.75 * here.right + 0.25 * above.right);
  write(2 * y + 1, 2 * x, pack, factor, 0.75 * here.left + 0.25 * below.left);
  write(2 * y + 1, 2 * x + 1, pack, factor, 0.75 * here.right + 0.25 * below.right);
}
