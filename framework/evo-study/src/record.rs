//! Run records: one search as one line of JSON, in the format that the comparison with other
//! tuners reads.

use serde::{Deserialize, Serialize};

/// One search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The space's name.
    pub space: String,
    /// The strategy's name; this engine's begin with `evo_`.
    pub strategy: String,
    /// The seed.
    pub seed: u64,
    /// The evaluations that the search was given.
    pub budget: u64,
    /// The evaluations that it made.
    pub evals: u64,
    /// Seconds of CPU time of the whole search.
    pub cpu_s: f64,
    /// Proposals, those that cost nothing included.
    pub asks: u64,
    /// Each improvement: evaluations so far, their recorded cost in milliseconds, the best time in
    /// milliseconds.
    pub improve: Vec<(u64, f64, f64)>,
}

impl RunRecord {
    /// The best time after a number of evaluations; `None` where nothing was measured by then.
    pub fn best_at(&self, evals: u64) -> Option<f64> {
        let reached = self.improve.iter().take_while(|(n, _, _)| *n <= evals);
        reached.last().map(|(_, _, best)| *best)
    }
}
