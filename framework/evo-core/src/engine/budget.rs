//! The budget of a search and the honest count of what it was spent on.
//!
//! A trial is one distinct evaluated configuration, whatever became of it. A repeat of an earlier
//! execution is counted apart and costs no trial, though it costs time.

use std::collections::BTreeMap;
use std::fmt;

use evo_types::{Outcome, OutcomeKind};
use serde::{Deserialize, Serialize};

use super::proposal::Cost;
use super::ranking::Ranking;

/// When a search ends. The first limit that is reached ends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// The greatest number of trials; duplicates do not count.
    pub trials: Option<u64>,
    /// Seconds of wall time, by the costs told.
    pub wall_s: Option<f64>,
    /// Seconds of device time, by the costs told.
    pub device_s: Option<f64>,
    /// Stop once the best value of the ranked metric is at least this good.
    pub target: Option<f64>,
    /// Stop after this many trials in a row without a new best.
    pub stagnation: Option<u64>,
    /// Stop after this many duplicates in a row: what is left of the space would execute nothing
    /// new. Duplicates are free, so without this cap a run might not end.
    pub duplicates_in_a_row: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            trials: None,
            wall_s: None,
            device_s: None,
            target: None,
            stagnation: None,
            duplicates_in_a_row: 256,
        }
    }
}

impl Budget {
    /// A budget of trials and nothing else.
    pub fn trials(trials: u64) -> Self {
        Self {
            trials: Some(trials),
            ..Self::default()
        }
    }
}

/// Why a search ended. Its `Display` is a sentence for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StopReason {
    /// All trials were used.
    Trials {
        /// The number of trials.
        trials: u64,
    },
    /// The wall time was used up.
    WallTime {
        /// The limit in seconds.
        limit_s: f64,
    },
    /// The device time was used up.
    DeviceTime {
        /// The limit in seconds.
        limit_s: f64,
    },
    /// The target was reached.
    Target {
        /// The best value found.
        value: f64,
        /// The target.
        target: f64,
    },
    /// Nothing better was found for long.
    Stagnation {
        /// Trials since the last improvement.
        trials: u64,
    },
    /// Only repeats of earlier executions were found.
    Duplicates {
        /// The number of duplicates in a row.
        duplicates: u64,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trials { trials } => {
                write!(formatter, "all {trials} trials of the budget were used")
            }
            Self::WallTime { limit_s } => {
                write!(formatter, "the wall time of {limit_s} s was used up")
            }
            Self::DeviceTime { limit_s } => {
                write!(formatter, "the device time of {limit_s} s was used up")
            }
            Self::Target { value, target } => {
                write!(
                    formatter,
                    "the target {target} was reached: the best is {value}"
                )
            }
            Self::Stagnation { trials } => {
                write!(formatter, "no improvement in the last {trials} trials")
            }
            Self::Duplicates { duplicates } => write!(
                formatter,
                "the last {duplicates} proposals in a row were never evaluated: they repeat earlier \
                 executions or were refused; parameters of the space seem to have no effect, or a \
                 constraint is missing in it"
            ),
        }
    }
}

/// What has been asked and told so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Proposals made.
    pub proposed: u64,
    /// Outcomes that count as trials.
    pub trials: u64,
    /// Outcomes by kind, duplicates among them.
    pub by_outcome: BTreeMap<OutcomeKind, u64>,
    /// Seconds of wall time told.
    pub wall_s: f64,
    /// Seconds of device time told.
    pub device_s: f64,
    /// Trials since the last new best.
    pub since_best: u64,
    /// Proposals since the last trial that were not evaluated: duplicates and refused ones.
    pub duplicates_in_a_row: u64,
}

impl Counts {
    /// How many outcomes of a kind there were.
    pub fn of(&self, kind: OutcomeKind) -> u64 {
        self.by_outcome.get(&kind).copied().unwrap_or(0)
    }

    /// Trials that were measured.
    pub fn measured(&self) -> u64 {
        self.of(OutcomeKind::Measured)
    }

    /// Proposals that repeated an earlier execution.
    pub fn duplicates(&self) -> u64 {
        self.of(OutcomeKind::DuplicateOf)
    }

    /// Proposals whose outcome has not been told.
    pub fn outstanding(&self) -> u64 {
        self.proposed.saturating_sub(self.by_outcome.values().sum())
    }

    /// Records one outcome. A cost that is no number, or negative, counts as nothing.
    pub(crate) fn add(&mut self, outcome: &Outcome, cost: Cost, improved: bool) {
        *self.by_outcome.entry(outcome.kind()).or_default() += 1;
        self.wall_s += sane(cost.wall_s);
        self.device_s += sane(cost.device_s);
        if outcome.counts_as_trial() {
            self.trials += 1;
            self.duplicates_in_a_row = 0;
            self.since_best = if improved { 0 } else { self.since_best + 1 };
        } else {
            self.duplicates_in_a_row += 1;
        }
    }

    /// The first limit that has been reached. `best` is the best value of the ranked metric.
    pub(crate) fn stop_reason(
        &self,
        budget: &Budget,
        ranking: &Ranking,
        best: Option<f64>,
    ) -> Option<StopReason> {
        if let (Some(value), Some(target)) = (best, budget.target)
            && !ranking.better(target, value)
        {
            return Some(StopReason::Target { value, target });
        }
        if budget.trials.is_some_and(|limit| self.trials >= limit) {
            return Some(StopReason::Trials {
                trials: self.trials,
            });
        }
        if let Some(limit_s) = budget.wall_s.filter(|limit| self.wall_s >= *limit) {
            return Some(StopReason::WallTime { limit_s });
        }
        if let Some(limit_s) = budget.device_s.filter(|limit| self.device_s >= *limit) {
            return Some(StopReason::DeviceTime { limit_s });
        }
        if budget
            .stagnation
            .is_some_and(|limit| self.since_best >= limit)
        {
            return Some(StopReason::Stagnation {
                trials: self.since_best,
            });
        }
        if self.duplicates_in_a_row >= budget.duplicates_in_a_row {
            return Some(StopReason::Duplicates {
                duplicates: self.duplicates_in_a_row,
            });
        }
        None
    }

    /// Whether the outstanding proposals may use up what is left of the trials.
    pub(crate) fn must_wait(&self, budget: &Budget) -> bool {
        budget
            .trials
            .is_some_and(|limit| self.trials + self.outstanding() >= limit)
    }
}

fn sane(seconds: f64) -> f64 {
    if seconds.is_finite() {
        seconds.max(0.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Outcome {
        Outcome::BuildFailed {
            message: String::new(),
            log: String::new(),
        }
    }

    #[test]
    fn duplicates_cost_time_but_no_trial() {
        let mut counts = Counts {
            proposed: 3,
            ..Counts::default()
        };
        let cost = Cost {
            wall_s: 2.0,
            device_s: f64::NAN,
        };
        counts.add(&failed(), cost, false);
        counts.add(&Outcome::DuplicateOf { trial: 0 }, cost, false);
        assert_eq!(
            (counts.trials, counts.duplicates(), counts.outstanding()),
            (1, 1, 1)
        );
        assert_eq!((counts.wall_s, counts.device_s), (4.0, 0.0));
        assert!(counts.must_wait(&Budget::trials(2)));
        assert!(!counts.must_wait(&Budget::trials(3)));
    }

    #[test]
    fn each_limit_ends_the_search_with_its_own_reason() {
        let lower = Ranking::lower("time");
        let counts = Counts {
            trials: 5,
            wall_s: 9.0,
            device_s: 4.0,
            since_best: 5,
            ..Counts::default()
        };
        let reason = |budget: Budget, best| {
            counts
                .stop_reason(&budget, &lower, best)
                .map(|reason| reason.to_string())
        };
        assert_eq!(reason(Budget::trials(6), None), None);
        assert_eq!(
            reason(Budget::trials(5), None).unwrap(),
            "all 5 trials of the budget were used"
        );
        let budget = Budget {
            wall_s: Some(9.0),
            ..Budget::default()
        };
        assert_eq!(
            reason(budget, None).unwrap(),
            "the wall time of 9 s was used up"
        );
        let budget = Budget {
            device_s: Some(4.0),
            ..Budget::default()
        };
        assert_eq!(
            reason(budget, None).unwrap(),
            "the device time of 4 s was used up"
        );
        let budget = Budget {
            stagnation: Some(5),
            ..Budget::default()
        };
        assert_eq!(
            reason(budget, None).unwrap(),
            "no improvement in the last 5 trials"
        );
        let budget = Budget {
            target: Some(3.0),
            ..Budget::default()
        };
        assert_eq!(reason(budget.clone(), Some(3.5)), None);
        assert_eq!(
            reason(budget, Some(3.0)).unwrap(),
            "the target 3 was reached: the best is 3"
        );
        let spinning = Counts {
            duplicates_in_a_row: 256,
            ..Counts::default()
        };
        let reason = spinning
            .stop_reason(&Budget::default(), &lower, None)
            .unwrap();
        assert!(
            reason
                .to_string()
                .starts_with("the last 256 proposals in a row"),
            "{reason}"
        );
    }
}
