//! Why a request ended before its goal, and how errors of plugins become outcomes.

use evo_plugin::Error;
use evo_types::{Outcome, Phase, RejectedBy, WrongKind, WrongResult};
use evo_wire::{FailureKind, FrameError};

/// Why a request did not get to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The candidate's fault: data.
    Outcome(Box<Outcome>),
    /// Nobody can go on with this: a broken plugin, a refusal, the worker itself.
    Failed { kind: FailureKind, message: String },
    /// The host is gone.
    Gone(FrameError),
}

impl From<Outcome> for Fault {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(Box::new(outcome))
    }
}

impl Fault {
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::failed(FailureKind::Refused, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::failed(FailureKind::Internal, message)
    }

    pub(crate) fn failed(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failed {
            kind,
            message: message.into(),
        }
    }

    /// An error that a problem returned: the candidate is not to blame.
    pub(crate) fn of_problem(problem: &str, doing: &str, error: Error) -> Self {
        match error {
            Error::OutOfMemory(message) => Outcome::OutOfMemory {
                phase: Phase::Verify,
                message: format!("the problem `{problem}`, {doing}: {message}"),
            }
            .into(),
            error => Self::refused(format!("the problem `{problem}` failed {doing}: {error}")),
        }
    }
}

/// Where a launch stood when it returned an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaunchPlace {
    pub(crate) phase: Phase,
    pub(crate) seed: u64,
}

/// The outcome of an error from anywhere but a launch.
pub(crate) fn outcome_of(error: Error, phase: Phase) -> Outcome {
    match error {
        Error::Rejected(reason) => Outcome::Rejected {
            by: RejectedBy::Kernel,
            reason,
        },
        Error::BuildFailed { message, log } => Outcome::BuildFailed {
            message,
            log: cap_log(&log),
        },
        Error::OutOfMemory(message) => Outcome::OutOfMemory { phase, message },
        Error::WrongResult(message) => Outcome::WrongResult(WrongResult {
            wrong: WrongKind::Inaccurate,
            message,
            error: None,
            seed: 0,
            after_timing: phase == Phase::Recheck,
        }),
        Error::TimedOut(seconds) => Outcome::TimedOut {
            phase,
            limit_s: seconds as f64,
        },
        Error::Implausible(message) => Outcome::Implausible { message },
        Error::Panicked(text) => Outcome::Crashed {
            phase,
            message: format!("panicked {text}"),
            output: String::new(),
        },
        Error::Charged { error, .. } => outcome_of(*error, phase),
        // `Error` may gain kinds: those, too, end the candidate.
        error => Outcome::Crashed {
            phase,
            message: error.to_string(),
            output: String::new(),
        },
    }
}

/// The outcome of an error from `prepare`, `bind` or `launch`: instead of a result, so a wrong one.
pub(crate) fn outcome_of_launch(error: Error, place: LaunchPlace) -> Outcome {
    match error {
        Error::Failed(message) | Error::Rejected(message) | Error::WrongResult(message) => {
            Outcome::WrongResult(WrongResult {
                wrong: WrongKind::Failed,
                message: format!("the kernel returned an error instead of a result: {message}"),
                error: None,
                seed: place.seed,
                after_timing: place.phase == Phase::Recheck,
            })
        }
        error => outcome_of(error, place.phase),
    }
}

/// Bytes of a build log that are kept: half from the start, half from the end.
const LOG_BYTES: usize = 64 << 10;

/// Shortens a log that is too long to keep, and says so.
pub(crate) fn cap_log(log: &str) -> String {
    if log.len() <= LOG_BYTES {
        return log.to_owned();
    }
    let head = log.floor_char_boundary(LOG_BYTES / 2);
    let tail = log.ceil_char_boundary(log.len() - LOG_BYTES / 2);
    let (start, rest) = log.split_at(head);
    let (middle, end) = rest.split_at(tail - head);
    format!("{start}\n[{} bytes left out]\n{end}", middle.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_its_ends() {
        let log = format!("first{}last", "ä".repeat(LOG_BYTES));
        let capped = cap_log(&log);
        assert!(capped.starts_with("first") && capped.ends_with("last"));
        assert!(capped.len() < LOG_BYTES + 64 && capped.contains("bytes left out"));
        assert_eq!(cap_log("short"), "short");
    }

    #[test]
    fn kinds_of_errors_become_kinds_of_outcomes() {
        let of = |error| outcome_of(error, Phase::Build).summary();
        assert_eq!(of(Error::Rejected("no".into())), "rejected: no");
        assert_eq!(
            of(Error::Panicked("at x.rs:1: boo".into())),
            "crashed in the build: panicked at x.rs:1: boo"
        );
        assert_eq!(of(Error::Failed("f".into())), "crashed in the build: f");
        assert_eq!(of(Error::TimedOut(3)), "timed out in the build after 3 s");
        let place = LaunchPlace {
            phase: Phase::Recheck,
            seed: 5,
        };
        let Outcome::WrongResult(wrong) = outcome_of_launch(Error::Failed("f".into()), place)
        else {
            unreachable!("a launch that fails is a wrong result");
        };
        assert_eq!((wrong.wrong, wrong.seed), (WrongKind::Failed, 5));
        assert!(wrong.after_timing);
    }
}
