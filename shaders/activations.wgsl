// The activations, one expression each; the twins of `activations` in src/arguments/activation.ts.
//
// The specialiser copies an expression into a kernel's activation function, with T as that kernel's own type: f32 or
// vec4f. Arguments of exp and tanh are clamped, because overflow in a driver would turn a finite result into NaN.
// Products are ordered so that finite results stay finite.

alias T = f32;

fn linear(x: T, alpha: f32) -> T { return x; }
fn relu(x: T, alpha: f32) -> T { return max(x, T(0.0)); }
fn relu6(x: T, alpha: f32) -> T { return clamp(x, T(0.0), T(6.0)); }
fn leakyRelu(x: T, alpha: f32) -> T { return select(alpha * x, x, x > T(0.0)); }
fn sigmoid(x: T, alpha: f32) -> T { return 1.0 / (1.0 + exp(min(-x, T(80.0)))); }
fn tanh_(x: T, alpha: f32) -> T { return tanh(clamp(x, T(-15.0), T(15.0))); }
fn hardSwish(x: T, alpha: f32) -> T { return x * (clamp(x + 3.0, T(0.0), T(6.0)) / 6.0); }
fn silu(x: T, alpha: f32) -> T { return max(x, T(-80.0)) / (1.0 + exp(min(-x, T(80.0)))); }
fn elu(x: T, alpha: f32) -> T { return select(exp(min(x, T(0.0))) - 1.0, x, x > T(0.0)); }
