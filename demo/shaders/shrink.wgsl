// Shrinks a frame to a square picture, stretched: each output pixel is the mean of the part of the frame that it
// covers, with the pixels at the part's borders counted by the share that lies inside. No detail of the frame is left
// out, so that nothing flickers when it moves.
//
// One invocation writes one pixel, red, green, blue from 0 to 1 as stored. Workgroup 8×8, grid SIDE/8 × SIDE/8.

const SIDE = 256u;

@group(0) @binding(0) var frame: texture_2d<f32>;
@group(0) @binding(1) var<storage, read_write> picture: array<f32>;     // [1, SIDE, SIDE, 3]

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let size = vec2f(textureDimensions(frame));
  let start = vec2f(at.xy) * size / f32(SIDE);
  let end = vec2f(at.xy + 1) * size / f32(SIDE);
  let first = vec2u(start);
  let last = min(vec2u(ceil(end)), textureDimensions(frame));
  var sum = vec3f();
  var area = 0.0;
  for (var y = first.y; y < last.y; y++) {
    let height = min(f32(y + 1), end.y) - max(f32(y), start.y);
    for (var x = first.x; x < last.x; x++) {
      let share = height * (min(f32(x + 1), end.x) - max(f32(x), start.x));
      sum += share * textureLoad(frame, vec2u(x, y), 0).rgb;
      area += share;
    }
  }
  let colour = sum / area;
  let pixel = (at.y * SIDE + at.x) * 3;
  picture[pixel] = colour.r;
  picture[pixel + 1] = colour.g;
  picture[pixel + 2] = colour.b;
}
