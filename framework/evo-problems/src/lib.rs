//! The built-in problems, so that a kernel for a common computation needs no reference of its own:
//! `sdpa`, `gemm`, `conv2d`, `reduction` and `stencil`.
//!
//! They are a plugin like any other, which every worker has without a file.

#![forbid(unsafe_code)]

use evo_plugin::Plugin;

/// The plugin's name.
pub const NAME: &str = "built-in";

/// The plugin with every built-in problem.
pub fn plugin() -> Plugin {
    Plugin::new(NAME, env!("CARGO_PKG_VERSION"), "The built-in problems")
}
