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
    /// Each change of the answer: evaluations so far, their recorded cost in milliseconds, the
    /// answer's recorded time in milliseconds. Without noise each is better than the one before.
    pub improve: Vec<(u64, f64, f64)>,
    /// The engine that searched, as [`engine_tag`](crate::engine_tag) names it; absent in the records
    /// of other programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The hash of the recording's text; absent in the records of other programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
}

impl RunRecord {
    /// The answer's time after a number of evaluations; `None` where nothing was measured by then.
    pub fn best_at(&self, evals: u64) -> Option<f64> {
        let reached = self.improve.iter().take_while(|(n, _, _)| *n <= evals);
        reached.last().map(|(_, _, best)| *best)
    }

    /// What makes no sense in it, if anything: it would distort every mean.
    pub(crate) fn fault(&self) -> Option<String> {
        let mut before = 0;
        for &(evals, cost, time) in &self.improve {
            if !(time.is_finite() && time > 0.0 && cost.is_finite() && cost >= 0.0) {
                return Some(format!("a time of {time} ms at a cost of {cost} ms"));
            }
            if evals < before || evals == 0 {
                return Some(format!("the evaluation {evals} behind {before}"));
            }
            before = evals;
        }
        let seconds = self.cpu_s;
        (!(seconds.is_finite() && seconds >= 0.0)).then(|| format!("{seconds} s of CPU time"))
    }
}
