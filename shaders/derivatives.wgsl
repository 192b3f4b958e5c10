// The derivatives of the activations, one expression each; the twins of `derivatives` in src/arguments/activation.ts.
//
// x is the activation's result, except for hardSwish, silu and a leakyRelu of negative slope: there two arguments of
// different slope can give the same result, and x is the argument. The specialiser copies an expression into
// activation-gradient.wgsl, as it copies those of activations.wgsl into the passes.

alias T = f32;

fn linear(x: T, alpha: f32) -> T { return T(1.0); }
fn relu(x: T, alpha: f32) -> T { return select(T(0.0), T(1.0), x > T(0.0)); }
fn relu6(x: T, alpha: f32) -> T { return select(T(0.0), T(1.0), (x > T(0.0)) & (x < T(6.0))); }
fn leakyRelu(x: T, alpha: f32) -> T { return select(T(alpha), T(1.0), x > T(0.0)); }
fn sigmoid(x: T, alpha: f32) -> T { return x * (1.0 - x); }
fn tanh_(x: T, alpha: f32) -> T { return 1.0 - x * x; }
fn hardSwish(x: T, alpha: f32) -> T {
  return select(select((2.0 * x + 3.0) / 6.0, T(1.0), x >= T(3.0)), T(0.0), x <= T(-3.0));
}
fn silu(x: T, alpha: f32) -> T {
  return (1.0 + clamp(x, T(-80.0), T(80.0)) / (1.0 + exp(clamp(x, T(-80.0), T(80.0)))))
    / (1.0 + exp(clamp(-x, T(-80.0), T(80.0))));
}
// For products with what is no derivative.
fn itself(x: T, alpha: f32) -> T { return x; }
fn elu(x: T, alpha: f32) -> T { return select(x + 1.0, T(1.0), x > T(0.0)); }
