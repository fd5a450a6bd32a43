//! The built-in problems, so that a kernel for a common computation needs no reference of its own:
//! `sdpa`, `gemm`, `conv2d`, `reduction` and `stencil`.
//!
//! They are a plugin like any other, which every worker has without a file. `README.md` beside
//! this crate is the page for authors of kernels: fields, tensors in the order of the arguments,
//! gates and formulas.

#![forbid(unsafe_code)]

mod conv2d;
mod element;
mod fields;
mod gemm;
mod inputs;
mod product;
mod reduction;
mod rows;
pub mod sdpa;
mod stencil;

use evo_plugin::Plugin;

pub use conv2d::Conv2d;
pub use element::Real;
pub use gemm::Gemm;
pub use reduction::Reduction;
pub use sdpa::Sdpa;
pub use stencil::Stencil;

/// The plugin's name.
pub const NAME: &str = "built-in";

/// The plugin with every built-in problem.
pub fn plugin() -> Plugin {
    Plugin::new(NAME, env!("CARGO_PKG_VERSION"), "The built-in problems")
        .problem(Sdpa)
        .problem(Gemm)
        .problem(Conv2d)
        .problem(Reduction)
        .problem(Stencil)
}
