//! Outcomes: what became of a trial. A candidate's failure is data, never an error of the host.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, Metric};

/// The step of a trial that was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Static check by the kernel.
    Accept,
    /// Building the artifact.
    Build,
    /// Loading the artifact.
    Load,
    /// Verification before the measurement.
    Verify,
    /// Timed launches.
    Measure,
    /// Verification on a seed drawn after the timing.
    Recheck,
    /// An objective's evaluation.
    Evaluate,
    /// A profiling pass.
    Profile,
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Accept => "the static check",
            Self::Build => "the build",
            Self::Load => "loading",
            Self::Verify => "verification",
            Self::Measure => "the measurement",
            Self::Recheck => "verification after the measurement",
            Self::Evaluate => "the evaluation",
            Self::Profile => "profiling",
        })
    }
}

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// Correct and timed.
    Measured(Measurement),
    /// Refused before it was built.
    Rejected {
        /// Who refused.
        by: RejectedBy,
        /// Why, for people.
        reason: String,
    },
    /// The same execution as that of an earlier trial; not counted as a trial.
    DuplicateOf {
        /// The earlier trial.
        trial: u64,
    },
    /// The build failed.
    BuildFailed {
        /// The short reason.
        message: String,
        /// What the build tool printed.
        log: String,
    },
    /// The result was wrong.
    WrongResult(WrongResult),
    /// The process ended, or the plugin panicked.
    Crashed {
        /// What was under way.
        phase: Phase,
        /// How it ended, such as `killed by signal 11 (SIGSEGV)` or `panicked at ...`.
        message: String,
        /// The last lines that it printed.
        output: String,
    },
    /// The deadline passed and the process group was killed.
    TimedOut {
        /// What was under way.
        phase: Phase,
        /// The deadline in seconds.
        limit_s: f64,
    },
    /// Memory ran out.
    OutOfMemory {
        /// What was under way.
        phase: Phase,
        /// What was asked for, and what there is.
        message: String,
    },
    /// Faster than the device can be, or not a number.
    Implausible {
        /// Why the figure cannot be believed.
        message: String,
    },
}

/// Who refused a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectedBy {
    /// The kernel's own static check.
    Kernel,
    /// A check of the built artifact: spills, shared memory, registers.
    Artifact,
    /// It killed its worker too often and is not run again.
    Quarantine,
}

/// A correct, timed candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The metrics, the ranked one first.
    pub metrics: Vec<Metric>,
    /// How far the result was from the reference; absent for objectives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFigures>,
    /// Identity of what was executed; absent for objectives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ContentHash>,
    /// The seed drawn after the timing, for repeating the last verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck_seed: Option<u64>,
    /// Whether the measurement stopped early because the candidate was far behind.
    #[serde(default)]
    pub raced_out: bool,
    /// Whether the confidence interval reached its goal before the sample budget ended.
    #[serde(default)]
    pub converged: bool,
}

impl Measurement {
    /// A metric by name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}

/// The greatest errors seen over all checks of a candidate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ErrorFigures {
    /// Relative Frobenius error over a whole output.
    pub relative: f64,
    /// Relative Frobenius error over the worst row.
    pub worst_row: f64,
    /// Greatest absolute error of an element.
    pub max_abs: f64,
    /// Least cosine similarity of an output with its reference.
    pub cosine: f64,
    /// Mean signed error, of the check where it was largest in magnitude.
    pub bias: f64,
    /// The gate that the relative error was held against.
    pub gate: f64,
    /// Number of checks made: seeds, shapes and distributions.
    pub checks: u32,
    /// Relative Frobenius error of the reference itself where the problem quantises its inputs:
    /// against the reference on the inputs before that, for the ordinary inputs of the ranked shape.
    /// It is the problem's, not the kernel's, and no part of the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<f64>,
}

/// Why a result is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongKind {
    /// The error is above the gate.
    Inaccurate,
    /// Elements were never written, or are not finite.
    Unwritten,
    /// The output is all zeros where the reference is not.
    Zeros,
    /// Bytes outside the buffers were written.
    OutOfBounds,
    /// An input was changed.
    InputMutated,
    /// An output shares memory with an input.
    Aliased,
    /// Two launches on the same inputs disagree although the kernel says they must not.
    Race,
    /// A launch on buffers seen before did not compute its result anew.
    Cached,
    /// The output changed after the launch had returned.
    LateWrite,
    /// The kernel returned an error instead of a result.
    Failed,
}

/// A wrong result with the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrongResult {
    /// Which way it is wrong.
    pub wrong: WrongKind,
    /// What was seen, where, on which shape and seed: for people.
    pub message: String,
    /// The error figures, where the output could be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFigures>,
    /// The seed of the check.
    pub seed: u64,
    /// Whether it was seen only after the timing.
    pub after_timing: bool,
}

/// The kind of an outcome alone, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// See [`Outcome::Measured`].
    Measured,
    /// See [`Outcome::Rejected`].
    Rejected,
    /// See [`Outcome::DuplicateOf`].
    DuplicateOf,
    /// See [`Outcome::BuildFailed`].
    BuildFailed,
    /// See [`Outcome::WrongResult`].
    WrongResult,
    /// See [`Outcome::Crashed`].
    Crashed,
    /// See [`Outcome::TimedOut`].
    TimedOut,
    /// See [`Outcome::OutOfMemory`].
    OutOfMemory,
    /// See [`Outcome::Implausible`].
    Implausible,
}

impl OutcomeKind {
    /// All kinds, in the order in which they are reported.
    pub const ALL: [Self; 9] = [
        Self::Measured,
        Self::Rejected,
        Self::DuplicateOf,
        Self::BuildFailed,
        Self::WrongResult,
        Self::Crashed,
        Self::TimedOut,
        Self::OutOfMemory,
        Self::Implausible,
    ];

    /// The kind in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Rejected => "rejected",
            Self::DuplicateOf => "duplicate",
            Self::BuildFailed => "build failed",
            Self::WrongResult => "wrong result",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed out",
            Self::OutOfMemory => "out of memory",
            Self::Implausible => "implausible",
        }
    }
}

impl Outcome {
    /// The kind alone.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Measured(_) => OutcomeKind::Measured,
            Self::Rejected { .. } => OutcomeKind::Rejected,
            Self::DuplicateOf { .. } => OutcomeKind::DuplicateOf,
            Self::BuildFailed { .. } => OutcomeKind::BuildFailed,
            Self::WrongResult(_) => OutcomeKind::WrongResult,
            Self::Crashed { .. } => OutcomeKind::Crashed,
            Self::TimedOut { .. } => OutcomeKind::TimedOut,
            Self::OutOfMemory { .. } => OutcomeKind::OutOfMemory,
            Self::Implausible { .. } => OutcomeKind::Implausible,
        }
    }

    /// Whether the outcome counts against the budget of trials. What was never evaluated does
    /// not: duplicates, and configurations that were refused before they ran.
    pub fn counts_as_trial(&self) -> bool {
        !matches!(self, Self::DuplicateOf { .. } | Self::Rejected { .. })
    }

    /// The measurement, if the candidate was correct and timed.
    pub fn measurement(&self) -> Option<&Measurement> {
        match self {
            Self::Measured(measurement) => Some(measurement),
            _ => None,
        }
    }

    /// One line that says what happened.
    pub fn summary(&self) -> String {
        match self {
            Self::Measured(measurement) => match measurement.metrics.first() {
                Some(metric) => format!("{} {:.4} {}", metric.name, metric.value, metric.unit),
                None => "measured".to_owned(),
            },
            Self::Rejected { reason, .. } => format!("rejected: {reason}"),
            Self::DuplicateOf { trial } => format!("the same execution as trial {trial}"),
            Self::BuildFailed { message, .. } => format!("build failed: {message}"),
            Self::WrongResult(wrong) => format!("wrong result: {}", wrong.message),
            Self::Crashed { phase, message, .. } => format!("crashed in {phase}: {message}"),
            Self::TimedOut { phase, limit_s } => {
                format!("timed out in {phase} after {limit_s} s")
            }
            Self::OutOfMemory { phase, message } => {
                format!("out of memory in {phase}: {message}")
            }
            Self::Implausible { message } => format!("implausible: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Direction;

    #[test]
    fn outcomes_survive_json() {
        let outcomes = [
            Outcome::Measured(Measurement {
                metrics: vec![Metric::new(
                    "kernel_time",
                    "us",
                    Direction::Lower,
                    0.1 + 0.2,
                )],
                error: Some(ErrorFigures::default()),
                execution: Some(ContentHash::of_bytes(b"x")),
                recheck_seed: Some(u64::MAX),
                raced_out: true,
                converged: false,
            }),
            Outcome::DuplicateOf { trial: 3 },
            Outcome::TimedOut {
                phase: Phase::Measure,
                limit_s: 1.5,
            },
        ];
        for outcome in outcomes {
            let text = serde_json::to_string(&outcome).unwrap();
            assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
        }
    }

    #[test]
    fn what_was_never_evaluated_is_free() {
        assert!(!Outcome::DuplicateOf { trial: 1 }.counts_as_trial());
        let (by, reason) = (RejectedBy::Kernel, String::new());
        assert!(!Outcome::Rejected { by, reason }.counts_as_trial());
        assert!(
            Outcome::Implausible {
                message: String::new()
            }
            .counts_as_trial()
        );
    }
}
