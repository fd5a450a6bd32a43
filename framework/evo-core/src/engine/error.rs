//! Misuse of the engine, and records that do not belong to it.

use super::proposal::Proposal;

/// Why the engine refused what it was told.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Outcomes are told in the order of the proposals, once each.
    #[error("the outcome of trial {trial} was told, {}", expectation(*.expected))]
    OutOfOrder {
        /// The trial that was told.
        trial: u64,
        /// The trial whose turn it was; `None` where nothing is outstanding.
        expected: Option<u64>,
    },
    /// A duplicate names a trial that was never told.
    #[error(
        "trial {trial} is said to be a duplicate of trial {original}, whose outcome is unknown"
    )]
    UnknownOriginal {
        /// The trial that was told.
        trial: u64,
        /// The trial that it is said to repeat.
        original: u64,
    },
    /// A measurement lacks the ranked metric.
    #[error(
        "the measurement of trial {trial} has no metric `{metric}`, by which this run ranks; \
         choose a metric that the kernel or objective reports"
    )]
    MissingMetric {
        /// The trial.
        trial: u64,
        /// The ranked metric.
        metric: String,
    },
    /// A replayed proposal differs from the recorded one.
    #[error(
        "trial {} was recorded as {} and is proposed as {} now: the record was made with another \
         engine version, space, setting or seed",
        .recorded.trial, .recorded.id.short(), .proposed.id.short()
    )]
    Diverged {
        /// What the record says.
        recorded: Box<Proposal>,
        /// What the engine says.
        proposed: Box<Proposal>,
    },
    /// A replayed campaign ended before its record did.
    #[error(
        "the recorded search went on with trial {trial} where this one ends: give it at least the \
         recorded budget"
    )]
    Ended {
        /// The first trial that is not proposed.
        trial: u64,
    },
}

fn expectation(expected: Option<u64>) -> String {
    match expected {
        Some(expected) => format!("but that of trial {expected} has to come first"),
        None => "but no proposal is outstanding".to_owned(),
    }
}
