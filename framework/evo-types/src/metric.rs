//! Named metrics: what a measurement or a profile says.

use serde::{Deserialize, Serialize};

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smaller is better, as with time.
    Lower,
    /// Larger is better, as with throughput.
    Higher,
    /// Neither: the metric informs and is never ranked by.
    Info,
}

/// A named figure with its unit, its direction and the samples behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The metric's name in snake case, such as `kernel_time`.
    pub name: String,
    /// The unit, such as `us`, `GFLOP/s`, `count`; empty for a bare ratio.
    pub unit: String,
    /// Which way is better.
    pub direction: Direction,
    /// The figure: for sampled metrics the median. Always finite.
    pub value: f64,
    /// The lower end of the 95 % confidence interval, where samples allow one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_low: Option<f64>,
    /// The upper end of the 95 % confidence interval, where samples allow one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_high: Option<f64>,
    /// The samples, in the order they were taken; empty for a computed figure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<f64>,
}

impl Metric {
    /// A metric that is one figure.
    pub fn new(name: &str, unit: &str, direction: Direction, value: f64) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            direction,
            value,
            ci_low: None,
            ci_high: None,
            samples: Vec::new(),
        }
    }

    /// Whether every number in the metric is finite. JSON has no NaN, so a metric that is not
    /// sane is turned into an outcome before it is stored.
    pub fn is_finite(&self) -> bool {
        self.value.is_finite()
            && self.ci_low.is_none_or(f64::is_finite)
            && self.ci_high.is_none_or(f64::is_finite)
            && self.samples.iter().all(|sample| sample.is_finite())
    }
}
