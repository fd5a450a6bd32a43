//! Scaled-dot-product attention on the CPU: two baselines and a tunable kernel.

mod attention;
mod buffer;
pub mod direct;
mod flash;
mod machine;
mod math;
mod rows;
mod shape;
mod simd;
mod team;
mod tiled;

pub use shape::{Shape, Storage};
