// Takes a gradient back through an activation, and lays it out for the pointwise kernels. Or multiplies two tensors, of
// which the second may have values for several pixels each.
//
//   output[pixel, c] = gradient[pixel, c] * derivative(values[pixel / VALUE_PIXELS, c]),
//     0 for channels CHANNELS to STRIDE - 1
//
// One invocation computes one pack of LANES channels. A workgroup is WORKGROUP neighbours, channels fastest.
// Grid: PIXELS * STRIDE / LANES invocations. No workgroup memory. Equals `activationGradient` in src/reference.ts.

alias Lanes = vec4f;       // if LANES == 4
// alias Lanes = f32;      // if LANES == 1
const LANES = 4;           // spec: 4 or 1, as Lanes
const WORKGROUP = 64;      // spec: invocations of a workgroup

struct Params {
  PIXELS: i32, CHANNELS: i32,
  GRADIENT_STRIDE: i32,    // channels from one pixel of the gradient to the next
  VALUE_STRIDE: i32,       // the same of the values
  VALUE_PIXELS: i32,       // pixels that have the same values
  STRIDE: i32,             // channels from one output pixel to the next
  alpha: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradient: array<Lanes>;        // [PIXELS, GRADIENT_STRIDE]
@group(0) @binding(2) var<storage, read> values: array<Lanes>;          // [PIXELS / VALUE_PIXELS, VALUE_STRIDE]
@group(0) @binding(3) var<storage, read_write> output: array<Lanes>;    // [PIXELS, STRIDE]

fn derivative(x: Lanes, alpha: f32) -> Lanes { return Lanes(1.0); } // body of derivatives.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = i32((group.y * groups.x + group.x) * WORKGROUP + local);
  let packs = p.STRIDE / LANES;
  let filled = p.CHANNELS / LANES;
  if (index >= p.PIXELS * packs) {
    return;
  }
  let pixel = index / packs;
  let pack = min(index % packs, filled - 1);
  let slope = derivative(values[pixel / p.VALUE_PIXELS * (p.VALUE_STRIDE / LANES) + pack], p.alpha);
  let value = gradient[pixel * (p.GRADIENT_STRIDE / LANES) + pack] * slope;
  output[index] = select(Lanes(0.0), value, index % packs < filled);
}
