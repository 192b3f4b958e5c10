// Max pool over 2×2 values, padding SAME: the second row or column of a window may lie outside and is then left out.
// One invocation computes four channels of one output pixel, channels fastest. Workgroup 64, grid OH*OW*C/4 / 64,
// over two dimensions where one does not hold it. Equals `maxPool` in demo/networks/reference.ts.

struct Params {
  H: u32, W: u32, PACKS: u32, OH: u32, OW: u32,       // PACKS: C / 4
  STRIDE: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;           // [1, H, W, C]
@group(0) @binding(2) var<storage, read_write> output: array<vec4f>;    // [1, OH, OW, C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.y * groups.x * 64 + id.x;
  if (index >= p.OH * p.OW * p.PACKS) {
    return;
  }
  let pack = index % p.PACKS;
  let x = index / p.PACKS % p.OW * p.STRIDE;
  let y = index / p.PACKS / p.OW * p.STRIDE;
  let right = min(x + 1, p.W - 1);
  let top = y * p.W;
  let bottom = min(y + 1, p.H - 1) * p.W;
  output[index] = max(
    max(input[(top + x) * p.PACKS + pack], input[(top + right) * p.PACKS + pack]),
    max(input[(bottom + x) * p.PACKS + pack], input[(bottom + right) * p.PACKS + pack]),
  );
}
