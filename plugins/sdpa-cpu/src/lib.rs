//! Scaled-dot-product attention on the CPU: two baselines and a tunable kernel.
//!
//! As a shared library this is a plugin of `evo`. As a Rust library it offers the same kernels
//! without the framework, see [`direct`].

mod attention;
mod buffer;
pub mod direct;
mod flash;
mod machine;
mod math;
mod plugin;
mod rows;
mod simd;
mod team;
mod tiled;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use evo_problems::sdpa::{Shape, Storage};

evo_plugin::export!(plugin::plugin);
