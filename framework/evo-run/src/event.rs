//! What a run tells those who watch it: the terminal, a script, a test.

use std::path::Path;

use evo_core::engine::Counts;
use evo_journal::{Comparison, Diagnosed, Evaluated, Plan, Profiled, Proposed, Stage};
use evo_types::Phase;

use crate::Queues;

/// Something happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Everything is resolved and recorded; the run begins or goes on.
    Started {
        /// What the run does.
        plan: &'a Plan,
        /// The run folder.
        folder: &'a Path,
        /// Trials already told, for a resumed run.
        recorded: u64,
    },
    /// Another run measures on the device.
    WaitingForDevice {
        /// Who holds it.
        holder: String,
    },
    /// A comparison begins.
    Comparing {
        /// At which point of the run.
        stage: Stage,
        /// How many candidates.
        items: usize,
        /// In how many processes, one after the other.
        processes: usize,
    },
    /// A comparison ended.
    Compared(&'a Comparison),
    /// The engine proposed.
    Proposed(&'a Proposed),
    /// Something moved between the builders and the devices.
    Queues(Queues),
    /// The worker began a step.
    Phase {
        /// The step.
        phase: Phase,
        /// What is being looked at: a trial, or a candidate of a comparison.
        subject: String,
    },
    /// A trial ended.
    Evaluated {
        /// What was proposed.
        proposed: &'a Proposed,
        /// What became of it.
        evaluated: &'a Evaluated,
        /// Where the search stands.
        progress: &'a Progress,
    },
    /// A profile was taken, or failed.
    Profiled(&'a Profiled),
    /// Rules were applied to figures of a candidate.
    Diagnosed(&'a Diagnosed),
    /// Something that the user should know.
    Warning(&'a str),
    /// The run ended by itself.
    Finished {
        /// Why.
        reason: &'a str,
    },
}

/// Where a search stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What was asked and told.
    pub counts: Counts,
    /// The budget of trials, if there is one.
    pub budget_trials: Option<u64>,
    /// Seconds of search left by the budget or by the pace so far, whichever is less.
    pub left_s: Option<f64>,
    /// The best value of the ranked metric, in the metric's unit.
    pub best: Option<f64>,
    /// The metric's unit.
    pub unit: String,
    /// Best over each baseline or group of them: what it is called, and how many times faster.
    pub speedups: Vec<(String, f64)>,
}

/// Somebody who watches a run.
pub trait Observer {
    /// Called for each event, on the thread that runs the search.
    fn on(&mut self, event: &Event<'_>);
}

/// Watches nothing.
#[derive(Debug, Default)]
pub struct SilentObserver;

impl Observer for SilentObserver {
    fn on(&mut self, _event: &Event<'_>) {}
}
