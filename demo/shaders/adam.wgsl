// One step of gradient descent by Adam (Kingma and Ba, 2015). The step of each weight depends on its own running means
// of the gradient and of the gradient's square.

@group(0) @binding(0) var<uniform> rate: f32;                           // with the corrections for the first steps
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> means: array<vec2f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= arrayLength(&means)) {
    return;
  }
  let g = gradient[id.x];
  let mean = mix(vec2f(g, g * g), means[id.x], vec2f(0.9, 0.999));
  means[id.x] = mean;
  weights[id.x] -= rate * mean.x / (sqrt(mean.y) + 1e-8);
}
