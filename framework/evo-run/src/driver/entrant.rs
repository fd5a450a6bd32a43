//! Candidates of a run apart from the search: baselines and trials, by what reports call them.

use evo_journal::{ComparedItem, Plan, PlannedCandidate};
use evo_types::{Outcome, Params, ProblemSpec};

use super::history::History;

/// A candidate to execute: what it is called and what it consists of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entrant {
    pub(crate) label: String,
    pub(crate) trial: Option<u64>,
    pub(crate) plugin: String,
    pub(crate) kernel: String,
    pub(crate) params: Params,
    /// Whether it is checked on none of the problem's extra shapes.
    pub(crate) ranked_shape_only: bool,
}

impl Entrant {
    pub(crate) fn baseline(planned: &PlannedCandidate) -> Self {
        Self {
            label: planned.label.clone(),
            trial: None,
            plugin: planned.plugin.clone(),
            kernel: planned.kernel.clone(),
            params: planned.pinned.clone(),
            ranked_shape_only: planned.is_for_ranked_shape_only(),
        }
    }

    /// The problem that it is to solve.
    pub(crate) fn problem(&self, spec: &ProblemSpec) -> ProblemSpec {
        let mut spec = spec.clone();
        if self.ranked_shape_only {
            spec.extra_shapes.clear();
        }
        spec
    }

    /// A trial; `None` where the history has none of this number.
    pub(crate) fn trial(plan: &Plan, history: &History, trial: u64) -> Option<Self> {
        let mut proposed = history.proposed.iter();
        let proposed = proposed.find(|proposed| proposed.trial == trial)?;
        let mut candidates = plan.candidates.iter();
        let candidate = candidates.find(|candidate| candidate.label == proposed.candidate)?;
        Some(Self {
            label: format!("{} #{trial}", candidate.label),
            trial: Some(trial),
            plugin: candidate.plugin.clone(),
            kernel: candidate.kernel.clone(),
            params: proposed.params.clone(),
            ranked_shape_only: false,
        })
    }

    pub(super) fn compared(self, outcome: Outcome) -> ComparedItem {
        let Self {
            label,
            trial,
            kernel,
            params,
            ..
        } = self;
        ComparedItem {
            label,
            trial,
            kernel,
            params,
            outcome,
        }
    }
}
