//! The tunable kernel: fused attention with queries along the vector lanes.
//!
//! For a group of queries (as many as `VECS` vectors have lanes) the kernel computes the
//! *transposed* scores `K Q^T`, so that maxima, exponentials and sums of the online softmax run
//! straight down the columns, and the transposed output `V^T P^T`. Both products broadcast single
//! elements of K or V against vectors of queries: K and V can be used where they lie, or be
//! packed into panels. Only Q (once per tile) and the output (once per tile) are transposed.

mod config;
mod engine;
mod plan;
mod schedule;
mod source;

pub(crate) use config::Config;
pub(crate) use engine::Tiled;
pub(crate) use plan::Plan;
pub(crate) use schedule::share;
