//! Confidence intervals and the names of the methods that make them.

use serde::{Deserialize, Serialize};

/// The confidence of every interval of this crate.
pub const CONFIDENCE: f64 = 0.95;

/// How an interval was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Percentile bootstrap over circular blocks of consecutive samples.
    BlockBootstrapPercentile,
    /// Two order statistics whose ranks come from the binomial distribution. Needs no
    /// resampling; assumes independent samples.
    OrderStatistic,
    /// Student's t over the estimates of groups, with a variance moderated by what was declared
    /// about processes and by a block bootstrap within each group.
    ModeratedT,
}

impl IntervalMethod {
    /// The method in words, for reports.
    pub fn words(self) -> &'static str {
        match self {
            Self::BlockBootstrapPercentile => "percentile block bootstrap",
            Self::OrderStatistic => "binomial order statistics",
            Self::ModeratedT => "moderated t over process pairs",
        }
    }
}

/// An estimate with its 95 % confidence interval; `low <= estimate <= high`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The point estimate.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How it was computed.
    pub method: IntervalMethod,
}

impl Interval {
    /// An interval that is widened, if need be, to contain its estimate.
    pub(crate) fn around(estimate: f64, low: f64, high: f64, method: IntervalMethod) -> Self {
        Self {
            estimate,
            low: low.min(estimate),
            high: high.max(estimate),
            method,
        }
    }

    /// The interval's width as a fraction of the magnitude of its estimate; infinite when the
    /// estimate is zero and the interval has a width.
    pub fn relative_width(&self) -> f64 {
        let width = self.high - self.low;
        if width == 0.0 {
            0.0
        } else {
            width / self.estimate.abs()
        }
    }

    /// Whether a value lies in the interval, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The interval of `1 / x`, for turning a time ratio into a speedup. The interval must lie
    /// above zero, as every ratio of this crate does.
    pub fn reciprocal(&self) -> Self {
        Self::around(
            1.0 / self.estimate,
            1.0 / self.high,
            1.0 / self.low,
            self.method,
        )
    }
}
