//! How solutions are ranked: which metric, and which way is better.

use evo_types::{Direction, Outcome, OutcomeKind};
use serde::{Deserialize, Serialize};

use super::EngineError;

/// The ranking policy. Weighted and Pareto rankings can be added as variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ranking {
    /// One metric.
    Metric {
        /// The metric's name.
        name: String,
        /// Whether larger is better.
        higher: bool,
    },
}

/// What an outcome says about a solution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// Correct and measured.
    Measured {
        /// The ranked figure in its own unit.
        value: f64,
        /// The figure on a logarithmic scale on which smaller is better.
        loss: f64,
    },
    /// Not usable: failed, or refused.
    Failed(OutcomeKind),
}

impl Verdict {
    pub(crate) fn loss(&self) -> Option<f64> {
        match self {
            Self::Measured { loss, .. } => Some(*loss),
            Self::Failed(_) => None,
        }
    }
}

impl Ranking {
    /// Ranks by a metric of which less is better, as with time.
    pub fn lower(name: &str) -> Self {
        Self::Metric {
            name: name.to_owned(),
            higher: false,
        }
    }

    /// Ranks by a metric of which more is better, as with throughput.
    pub fn higher(name: &str) -> Self {
        Self::Metric {
            name: name.to_owned(),
            higher: true,
        }
    }

    /// Ranks by a metric in its own direction; `None` for a metric that only informs.
    pub fn by(name: &str, direction: Direction) -> Option<Self> {
        match direction {
            Direction::Lower => Some(Self::lower(name)),
            Direction::Higher => Some(Self::higher(name)),
            Direction::Info => None,
        }
    }

    /// The name of the ranked metric.
    pub fn metric(&self) -> &str {
        match self {
            Self::Metric { name, .. } => name,
        }
    }

    /// Whether value `a` is strictly better than value `b`.
    pub fn better(&self, a: f64, b: f64) -> bool {
        match self {
            Self::Metric { higher: true, .. } => a > b,
            Self::Metric { higher: false, .. } => a < b,
        }
    }

    /// The figure on a logarithmic scale on which smaller is better: differences are ratios.
    pub(crate) fn loss(&self, value: f64) -> f64 {
        match self {
            Self::Metric { higher: true, .. } => -symmetric_log(value),
            Self::Metric { higher: false, .. } => symmetric_log(value),
        }
    }

    /// Reads an outcome. Duplicates are resolved by the caller, who knows the earlier trial.
    ///
    /// # Errors
    /// A measurement without the ranked metric cannot be ranked.
    pub(crate) fn judge(&self, trial: u64, outcome: &Outcome) -> Result<Verdict, EngineError> {
        let Outcome::Measured(measurement) = outcome else {
            return Ok(Verdict::Failed(outcome.kind()));
        };
        let metric =
            measurement
                .metric(self.metric())
                .ok_or_else(|| EngineError::MissingMetric {
                    trial,
                    metric: self.metric().to_owned(),
                })?;
        Ok(if metric.value.is_finite() {
            Verdict::Measured {
                value: metric.value,
                loss: self.loss(metric.value),
            }
        } else {
            Verdict::Failed(OutcomeKind::Implausible)
        })
    }
}

/// The natural logarithm, continued through zero to negative figures so that any finite metric
/// can be ranked: monotone, and for figures above 1e-9 exactly `ln` plus a constant.
fn symmetric_log(value: f64) -> f64 {
    const LINEAR_BELOW: f64 = 1e-9;
    let scaled = value / LINEAR_BELOW;
    if scaled.abs() <= 1.0 {
        scaled
    } else {
        scaled.signum() * (1.0 + libm::log(scaled.abs()))
    }
}

#[cfg(test)]
mod tests {
    use evo_types::{Measurement, Metric};
    use proptest::prelude::*;

    use super::*;

    fn measured(name: &str, value: f64) -> Outcome {
        Outcome::Measured(Measurement {
            metrics: vec![Metric::new(name, "us", Direction::Lower, value)],
            error: None,
            execution: None,
            recheck_seed: None,
            raced_out: false,
            converged: true,
        })
    }

    #[test]
    fn a_measurement_is_read_by_name_and_failures_are_never_values() {
        let ranking = Ranking::lower("time");
        let loss = |value| ranking.judge(0, &measured("time", value)).unwrap().loss();
        assert_eq!(loss(3.0), Some(ranking.loss(3.0)));
        assert_eq!(loss(f64::NAN), None);
        let error = ranking
            .judge(7, &measured("energy", 3.0))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("trial 7") && error.contains("`time`"),
            "{error}"
        );
        let failed = Outcome::Implausible {
            message: String::new(),
        };
        let verdict = ranking.judge(0, &failed).unwrap();
        assert_eq!(verdict, Verdict::Failed(OutcomeKind::Implausible));
    }

    proptest! {
        #[test]
        fn loss_orders_as_the_ranking_does(a in -1e12f64..1e12, b in -1e12f64..1e12) {
            for ranking in [Ranking::lower("m"), Ranking::higher("m")] {
                if ranking.loss(a) < ranking.loss(b) {
                    prop_assert!(ranking.better(a, b));
                }
            }
        }

        #[test]
        fn differences_of_loss_are_log_ratios(a in 1e-6f64..1e6, ratio in 0.01f64..100.0) {
            let ranking = Ranking::lower("m");
            let difference = ranking.loss(a * ratio) - ranking.loss(a);
            prop_assert!((difference - ratio.ln()).abs() < 1e-9);
        }
    }
}
