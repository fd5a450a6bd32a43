//! Which failures occurred, with an example of each.

use std::collections::BTreeMap;

use evo_types::{Outcome, OutcomeKind, RejectedBy, WrongKind};

use crate::format::count;
use crate::model::RunModel;

/// A way to fail that occurred in the search.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// The name, such as `wrong result: unwritten elements`.
    pub(crate) name: String,
    /// How often it occurred.
    pub(crate) count: u64,
    /// The first trial with it.
    pub(crate) trial: u64,
    /// What that trial said.
    pub(crate) example: String,
    /// The parameters of that trial.
    pub(crate) params: String,
}

/// The failures, the most frequent first.
pub(crate) fn failures(model: &RunModel) -> Vec<Failure> {
    let mut found: BTreeMap<String, Failure> = BTreeMap::new();
    for trial in &model.trials {
        let Some(outcome) = trial.outcome() else {
            continue;
        };
        let Some(name) = name(outcome) else { continue };
        found
            .entry(name.clone())
            .and_modify(|failure| failure.count += 1)
            .or_insert_with(|| Failure {
                name,
                count: 1,
                trial: trial.number(),
                example: reason(outcome),
                params: evo_types::format_params(&trial.proposed.params),
            });
    }
    let mut failures: Vec<Failure> = found.into_values().collect();
    failures.sort_by(|left, right| {
        right
            .count
            .cmp(&left.count)
            .then(left.trial.cmp(&right.trial))
    });
    failures
}

/// The name of a failure; `None` for what is none.
fn name(outcome: &Outcome) -> Option<String> {
    let kind = outcome.kind().words();
    Some(match outcome {
        Outcome::Measured(_) | Outcome::DuplicateOf { .. } => return None,
        Outcome::Rejected { by, .. } => format!("{kind} {}", refusal(*by)),
        Outcome::WrongResult(wrong) => format!("{kind}: {}", wrong_words(wrong.wrong)),
        Outcome::Crashed { phase, .. }
        | Outcome::TimedOut { phase, .. }
        | Outcome::OutOfMemory { phase, .. } => format!("{kind} in {phase}"),
        Outcome::BuildFailed { .. } | Outcome::Implausible { .. } => kind.to_owned(),
    })
}

fn refusal(by: RejectedBy) -> &'static str {
    match by {
        RejectedBy::Kernel => "by the static check",
        RejectedBy::Artifact => "by a check of the built code",
        RejectedBy::Quarantine => "because it killed its worker too often",
    }
}

fn wrong_words(wrong: WrongKind) -> &'static str {
    match wrong {
        WrongKind::Inaccurate => "error above the gate",
        WrongKind::Unwritten => "elements unwritten or not finite",
        WrongKind::Zeros => "all zeros",
        WrongKind::OutOfBounds => "wrote outside its buffers",
        WrongKind::InputMutated => "changed an input",
        WrongKind::Aliased => "output shares memory with an input",
        WrongKind::Race => "two launches disagree (race)",
        WrongKind::Cached => "result not computed anew (cached)",
        WrongKind::LateWrite => "output changed after the launch",
        WrongKind::Failed => "the kernel returned an error",
    }
}

/// Why a trial was not measured, for people; empty for a measurement.
pub(crate) fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Measured(_) => String::new(),
        Outcome::Rejected { reason, .. } => reason.clone(),
        Outcome::DuplicateOf { trial } => format!("the same execution as trial {trial}"),
        Outcome::BuildFailed { message, .. }
        | Outcome::OutOfMemory { message, .. }
        | Outcome::Implausible { message } => message.clone(),
        Outcome::WrongResult(wrong) => wrong.message.clone(),
        Outcome::Crashed { message, .. } => message.clone(),
        Outcome::TimedOut { limit_s, .. } => format!("no end after {limit_s} s"),
    }
}

/// The trials by outcome: `52 measured, 4 rejected`. Duplicates are left out: they are no trials.
pub(crate) fn counts_in_words(model: &RunModel) -> String {
    let words: Vec<String> = OutcomeKind::ALL
        .into_iter()
        // What was never evaluated is no trial, and is said apart.
        .filter(|kind| !matches!(kind, OutcomeKind::DuplicateOf | OutcomeKind::Rejected))
        .filter(|kind| model.count(*kind) > 0)
        .map(|kind| format!("{} {}", model.count(kind), kind.words()))
        .collect();
    if words.is_empty() {
        count(0, "trial")
    } else {
        words.join(", ")
    }
}
