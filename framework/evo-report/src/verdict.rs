//! The verdict on the spec's target, from the confirmation alone.

use evo_journal::Target;
use evo_types::OutcomeKind;

use crate::baselines::why_none;
use crate::confirmed::Table;
use crate::format::{ratio, ratio_with_interval};
use crate::model::{RunModel, State, baseline_name};
use crate::ratio::Ratio;

/// The verdict on a target. See [`TARGET_DEFINITIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetStatus {
    /// The confirmed winner reaches it.
    Met,
    /// It is not reached, and the run does not show that it cannot be.
    NotMet,
    /// The search ended properly and the best confirmed candidate does not reach it.
    ValidNegative,
    /// There is no confirmation.
    NotConfirmed,
}

impl TargetStatus {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::ValidNegative => "valid negative",
            Self::NotConfirmed => "not confirmed",
        }
    }
}

/// What the verdicts mean; the summary repeats it.
pub const TARGET_DEFINITIONS: &str = "Met: in the confirmation, the ratio of the baseline's \
    median to the winner's is at least the target; the point estimate decides, the 95 % interval \
    is given beside it, and it is said when its lower end is below the target. Valid negative: \
    the search ran to its end, the winner passed every check of the confirmation, and its ratio \
    is below the target. Not met: neither, because the run is not finished, or because no \
    finalist, or not the baseline, passed the confirmation. Not confirmed: there was no \
    confirmation; figures of the search never decide.";

/// The verdict on the spec's target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetVerdict {
    /// The verdict.
    pub status: TargetStatus,
    /// The wanted speedup.
    pub wanted: f64,
    /// The baseline's name in reports.
    pub over: String,
    /// What the winner reached in the confirmation.
    pub reached: Option<Ratio>,
    /// Why, as a sentence.
    pub explanation: String,
}

impl TargetVerdict {
    /// One line: `target 15.00x over A (math): valid negative, 5.21x [5.10, 5.30] reached`.
    pub fn line(&self) -> String {
        let wanted = format!("target {} over {}", ratio(self.wanted), self.over);
        let reached = self.reached.as_ref().map(|reached| {
            format!(
                ", {} reached",
                ratio_with_interval(reached.estimate, reached.interval)
            )
        });
        format!(
            "{wanted}: {}{}",
            self.status.words(),
            reached.unwrap_or_default()
        )
    }
}

impl RunModel {
    /// The verdict on the target that the spec names, if it names one.
    pub fn target(&self) -> Option<TargetVerdict> {
        let target = self.plan.target.as_ref()?;
        let members = self.plan.baselines_of(&target.over);
        let best = |table: &Table| table.best_of(&members, &self.metric)?.baseline;
        // Of a group the member that is best in the confirmation, or was before the search.
        let tables = [self.confirmation.as_ref(), self.baselines.as_ref()];
        let standing = tables.into_iter().flatten().find_map(best);
        let only = members.first().copied().filter(|_| members.len() == 1);
        let over = standing.or(only).map_or_else(
            || target.over.clone(),
            |position| baseline_name(&self.plan, position),
        );
        let reached = self.confirmation.as_ref().and_then(|table| {
            let baseline = table.best_of(&members, &self.metric)?.figures.as_ref()?;
            Ratio::of(table.winner()?.figures.as_ref()?, baseline, &self.metric)
        });
        let (status, explanation) = self.judge(target, &over, reached.as_ref());
        Some(TargetVerdict {
            status,
            wanted: target.speedup,
            over,
            reached,
            explanation,
        })
    }

    fn judge(
        &self,
        target: &Target,
        over: &str,
        reached: Option<&Ratio>,
    ) -> (TargetStatus, String) {
        let wanted = target.speedup;
        let Some(table) = &self.confirmation else {
            return (TargetStatus::NotConfirmed, self.why_not_confirmed());
        };
        let Some(reached) = reached else {
            let why = match table.winner {
                None => "No finalist passed the confirmation.".to_owned(),
                Some(_) => format!(
                    "It cannot be judged, because {over} has no figure in the confirmation: {}.",
                    why_none(self, &target.over, table)
                ),
            };
            return (TargetStatus::NotMet, why);
        };
        let shown = ratio_with_interval(reached.estimate, reached.interval);
        if reached.estimate >= wanted {
            let caution = match reached.interval {
                Some((low, _)) if low < wanted => {
                    " The interval's lower end is below the target, so a repetition may miss it."
                }
                None => " There were too few rounds for an interval.",
                Some(_) => "",
            };
            return (
                TargetStatus::Met,
                format!("The winner is confirmed at {shown}.{caution}"),
            );
        }
        let short = format!(
            "The best confirmed candidate reaches {shown}, which is below {}",
            ratio(wanted)
        );
        match &self.state {
            State::Finished { reason } if !self.confirmation_is_stale => (
                TargetStatus::ValidNegative,
                format!(
                    "{short}. The search ran to its end ({reason}) with {} correct candidates \
                     measured.",
                    self.count(OutcomeKind::Measured)
                ),
            ),
            _ => (
                TargetStatus::NotMet,
                format!("{short}, and the run is not finished."),
            ),
        }
    }

    /// Why there is no confirmation.
    pub(crate) fn why_not_confirmed(&self) -> String {
        match &self.state {
            State::Interrupted { by } => {
                format!("The run was interrupted by {by} before the confirmation.")
            }
            State::Unfinished => "The run ended, or goes on, before the confirmation.".to_owned(),
            State::Finished { .. } if self.count(OutcomeKind::Measured) == 0 => {
                "No trial gave a correct result, so there was nothing to confirm.".to_owned()
            }
            State::Finished { .. } => "The run finished without a confirmation.".to_owned(),
        }
    }
}

/// The text with its first letter in upper case.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
