//! Scaled-dot-product attention on the CPU: two baselines and a tunable kernel.
//!
//! As a shared library this is a plugin of `evo`. As a Rust library it offers the same kernels
//! without the framework, see [`direct`].

mod attention;
mod buffer;
pub mod direct;
mod flash;
mod inputs;
mod machine;
mod math;
mod plugin;
mod problem;
mod reference;
mod rows;
mod shape;
mod simd;
mod team;
mod tiled;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use shape::{Shape, Storage};

evo_plugin::export!(plugin::plugin);
