//! How solutions are ranked: which metric, and which way is better; or several metrics, of which the
//! solutions are wanted that none other beats in all.

use evo_types::{Direction, Outcome, OutcomeKind};
use serde::{Deserialize, Serialize};

use super::EngineError;

/// The ranking policy.
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
    /// Several metrics, none of which goes before another: the Pareto front is wanted. The search goes
    /// in several directions in turn: all metrics alike, and each nearly alone.
    Front {
        /// The metrics, two at least. Reports rank by the first one.
        metrics: Vec<Ranked>,
    },
}

/// One of several ranked metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// The metric's name.
    pub name: String,
    /// Whether larger is better.
    pub higher: bool,
}

/// One way to make a single figure of the ranked metrics: their weighted geometric mean, in which a
/// metric of which more is better counts inversely.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aim {
    /// The metrics with their weights, which are positive.
    parts: Vec<(Ranked, f64)>,
}

impl Aim {
    /// Reads an outcome. Duplicates are resolved by the caller, who knows the earlier trial.
    ///
    /// # Errors
    /// A measurement without a ranked metric cannot be ranked.
    pub(crate) fn judge(&self, trial: u64, outcome: &Outcome) -> Result<Verdict, EngineError> {
        let Outcome::Measured(measurement) = outcome else {
            return Ok(Verdict::Failed(outcome.kind()));
        };
        let (mut loss, mut weights) = (0.0, 0.0);
        let mut first = None;
        for (ranked, weight) in &self.parts {
            let metric = measurement.metric(&ranked.name);
            let metric = metric.ok_or_else(|| EngineError::MissingMetric {
                trial,
                metric: ranked.name.clone(),
            })?;
            if !metric.value.is_finite() {
                return Ok(Verdict::Failed(OutcomeKind::Implausible));
            }
            loss += weight * ranked.loss(metric.value);
            weights += weight;
            first.get_or_insert(metric.value);
        }
        Ok(Verdict::Measured {
            value: first.unwrap_or_default(),
            loss: loss / weights,
        })
    }
}

impl Ranked {
    /// A metric of which less is better.
    pub fn lower(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            higher: false,
        }
    }

    /// The figure on a logarithmic scale on which smaller is better: differences are ratios.
    fn loss(&self, value: f64) -> f64 {
        match self.higher {
            true => -symmetric_log(value),
            false => symmetric_log(value),
        }
    }
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

    /// The name of the ranked metric, of several the first.
    pub fn metric(&self) -> &str {
        match self {
            Self::Metric { name, .. } => name,
            Self::Front { metrics } => metrics.first().map_or("", |first| first.name.as_str()),
        }
    }

    /// Every ranked metric.
    pub fn metrics(&self) -> Vec<Ranked> {
        match self {
            Self::Metric { name, higher } => vec![Ranked {
                name: name.clone(),
                higher: *higher,
            }],
            Self::Front { metrics } => metrics.clone(),
        }
    }

    /// Whether value `a` of the first metric is strictly better than value `b`.
    pub fn better(&self, a: f64, b: f64) -> bool {
        match self {
            Self::Metric { higher, .. } => better(*higher, a, b),
            Self::Front { metrics } => metrics
                .first()
                .is_some_and(|first| better(first.higher, a, b)),
        }
    }

    /// The directions in which a search goes in turn: for a front all metrics alike, then each of them
    /// nearly alone. A metric that counts for nothing would leave it open which of equal solutions is
    /// wanted.
    pub(crate) fn directions(&self) -> Vec<Aim> {
        const LITTLE: f64 = 0.1;
        let metrics = self.metrics();
        let aim = |weight: &dyn Fn(usize) -> f64| Aim {
            parts: metrics
                .iter()
                .enumerate()
                .map(|(place, metric)| (metric.clone(), weight(place)))
                .collect(),
        };
        let mut directions = vec![aim(&|_| 1.0)];
        if metrics.len() > 1 {
            let alone =
                |wanted: usize| aim(&|place: usize| if place == wanted { 1.0 } else { LITTLE });
            directions.extend((0..metrics.len()).map(alone));
        }
        directions
    }
}

fn better(higher: bool, a: f64, b: f64) -> bool {
    match higher {
        true => a > b,
        false => a < b,
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
        let directions = Ranking::lower("time").directions();
        assert_eq!(directions.len(), 1);
        let ranking = &directions[0];
        let loss = |value| ranking.judge(0, &measured("time", value)).unwrap().loss();
        assert_eq!(loss(3.0), Some(symmetric_log(3.0)));
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

    #[test]
    fn a_front_is_searched_for_all_metrics_alike_and_for_each_nearly_alone() {
        let ranked = |name: &str, higher| Ranked {
            name: name.to_owned(),
            higher,
        };
        let front = Ranking::Front {
            metrics: vec![ranked("time", false), ranked("rate", true)],
        };
        assert_eq!(front.metric(), "time");
        assert!(front.better(1.0, 2.0));
        let both = |time: f64, rate: f64| {
            let mut outcome = measured("time", time);
            if let Outcome::Measured(measurement) = &mut outcome {
                let rate = Metric::new("rate", "1/s", Direction::Higher, rate);
                measurement.metrics.push(rate);
            }
            outcome
        };
        let losses = |outcome: &Outcome| -> Vec<f64> {
            let aims = front.directions();
            let judged = aims.iter().map(|aim| aim.judge(0, outcome).unwrap().loss());
            judged.map(Option::unwrap).collect()
        };
        let (plain, fast, productive) = (both(1.0, 1.0), both(0.5, 1.0), both(1.0, 2.0));
        let change = |of: &Outcome| -> Vec<f64> {
            let pairs = losses(of).into_iter().zip(losses(&plain));
            pairs.map(|(own, other)| (own - other).exp()).collect()
        };
        // Half the time is worth as much as twice the rate; nearly all of it where time is what counts.
        let wanted = [
            0.5f64.sqrt(),
            0.5f64.powf(1.0 / 1.1),
            0.5f64.powf(0.1 / 1.1),
        ];
        for (found, wanted) in change(&fast).iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-9);
        }
        for (found, wanted) in change(&productive)
            .iter()
            .zip([wanted[0], wanted[2], wanted[1]])
        {
            assert!((found - wanted).abs() < 1e-9);
        }
        let error = front.directions()[0].judge(3, &measured("time", 1.0));
        assert!(error.unwrap_err().to_string().contains("`rate`"));
    }

    proptest! {
        #[test]
        fn loss_orders_as_the_ranking_does(a in -1e12f64..1e12, b in -1e12f64..1e12) {
            for ranking in [Ranking::lower("m"), Ranking::higher("m")] {
                let loss = |value| ranking.metrics()[0].loss(value);
                if loss(a) < loss(b) {
                    prop_assert!(ranking.better(a, b));
                }
            }
        }

        #[test]
        fn differences_of_loss_are_log_ratios(a in 1e-6f64..1e6, ratio in 0.01f64..100.0) {
            let ranked = &Ranking::lower("m").metrics()[0];
            let difference = ranked.loss(a * ratio) - ranked.loss(a);
            prop_assert!((difference - ratio.ln()).abs() < 1e-9);
        }
    }
}
