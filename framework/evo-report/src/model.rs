//! What a journal says, in the form that reports need.

use std::collections::BTreeMap;

use evo_journal::{
    Diagnosed, Environment, Evaluated, Header, Plan, Profiled, Proposed, Reference, Snapshot, Work,
};
use evo_types::{Measurement, Metric, Outcome, OutcomeKind, Params};

use crate::confirmed::Table;

/// A run as its journal tells it. Made by [`RunModel::from_records`].
#[derive(Debug, Clone, PartialEq)]
pub struct RunModel {
    /// What the journal was written by.
    pub header: Header,
    /// When the run began, in seconds since the Unix epoch.
    pub started_at: f64,
    /// The spec as RON.
    pub spec: String,
    /// Everything resolved.
    pub plan: Plan,
    /// What candidates are compared with: each baseline, or the best of each group of them.
    pub references: Vec<Reference>,
    /// The machine.
    pub environment: Environment,
    /// The metric that ranks.
    pub metric: RankedMetric,
    /// The proposals in their order, with what became of them.
    pub trials: Vec<Trial>,
    /// The comparison of the baselines before the search.
    pub baselines: Option<Table>,
    /// The last confirmation.
    pub confirmation: Option<Table>,
    /// Whether the search went on after the last confirmation.
    pub confirmation_is_stale: bool,
    /// What profilers saw, in order.
    pub profiles: Vec<Profiled>,
    /// What rules made of builds and profiles, in order.
    pub diagnoses: Vec<Diagnosed>,
    /// The engine's last snapshot of each candidate.
    pub snapshots: Vec<Snapshot>,
    /// Warnings, in order.
    pub warnings: Vec<String>,
    /// When and how the run was interrupted, resumed and extended.
    pub events: Vec<Event>,
    /// How the journal ends.
    pub state: State,
    /// How often each kind of outcome occurred, duplicates included.
    pub counts: BTreeMap<OutcomeKind, u64>,
    /// What was used of the budget, and the budget.
    pub budget: BudgetUse,
    /// Each trial that was better than all before it, by the figures of the search.
    pub improvements: Vec<Improvement>,
    /// Seconds of run time, over all resumptions.
    pub elapsed_s: f64,
}

/// The metric that ranks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankedMetric {
    /// The metric's name.
    pub name: String,
    /// Its unit; empty as long as nothing was measured.
    pub unit: String,
    /// Whether larger is better.
    pub higher: bool,
}

impl RankedMetric {
    /// The ranked metric of a measurement, if its figure is usable.
    pub fn of<'a>(&self, measurement: &'a Measurement) -> Option<&'a Metric> {
        measurement
            .metric(&self.name)
            .filter(|metric| metric.value.is_finite())
    }

    /// Whether `a` is strictly better than `b`.
    pub fn better(&self, a: f64, b: f64) -> bool {
        if self.higher { a > b } else { a < b }
    }

    /// How many times better `candidate` is than `baseline`; `None` unless both are above zero.
    pub fn times_better(&self, candidate: f64, baseline: f64) -> Option<f64> {
        let (above, below) = if self.higher {
            (candidate, baseline)
        } else {
            (baseline, candidate)
        };
        let ratio = above / below;
        (above > 0.0 && below > 0.0 && ratio.is_finite()).then_some(ratio)
    }
}

/// A proposal and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The proposal.
    pub proposed: Proposed,
    /// The outcome; absent while it is under way, or when the run was cut off.
    pub evaluated: Option<Evaluated>,
    /// Why each earlier attempt came to nothing.
    pub retries: Vec<String>,
}

impl Trial {
    /// The trial's number.
    pub fn number(&self) -> u64 {
        self.proposed.trial
    }

    /// The name by which reports call it: `tiled #12`.
    pub fn name(&self) -> String {
        format!("{} #{}", self.proposed.candidate, self.proposed.trial)
    }

    /// How many attempts were begun.
    pub fn attempts(&self) -> u32 {
        let begun = u32::try_from(self.retries.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        self.evaluated
            .as_ref()
            .map_or(begun, |evaluated| evaluated.attempt.max(begun))
    }

    /// What became of it.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.evaluated.as_ref().map(|evaluated| &evaluated.outcome)
    }

    /// Its measurement, if it was correct and timed.
    pub fn measurement(&self) -> Option<&Measurement> {
        self.outcome().and_then(Outcome::measurement)
    }
}

/// Something that happened to the run as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Seconds since the Unix epoch.
    pub at: f64,
    /// What happened, such as `interrupted by SIGINT`.
    pub what: String,
}

/// How a journal ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The run ended by itself.
    Finished {
        /// Why, for people.
        reason: String,
    },
    /// The run was interrupted and saved.
    Interrupted {
        /// By what.
        by: String,
    },
    /// The run is under way, or was cut off without a chance to say so.
    Unfinished,
}

impl State {
    /// One word for scripts.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Finished { .. } => "finished",
            Self::Interrupted { .. } => "interrupted",
            Self::Unfinished => "unfinished",
        }
    }
}

/// What was used of the budget.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BudgetUse {
    /// Trials that count: distinct evaluated configurations.
    pub trials: u64,
    /// Seconds charged for proposals.
    pub wall_s: f64,
    /// Seconds that the device was busy with proposals.
    pub device_s: f64,
    /// The limit of each, where the budget has one.
    pub limits: BudgetLimits,
}

/// The limits of a budget.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BudgetLimits {
    /// Most trials.
    pub trials: Option<u64>,
    /// Most seconds of wall time.
    pub wall_s: Option<f64>,
    /// Most seconds of device time.
    pub device_s: Option<f64>,
}

/// A trial that was better than all before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Improvement {
    /// The trial.
    pub trial: u64,
    /// How many trials had counted when it was evaluated, itself included.
    pub counted: u64,
    /// The ranked figure.
    pub value: f64,
}

impl RunModel {
    /// A trial by its number.
    pub fn trial(&self, number: u64) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.number() == number)
    }

    /// The number of outcomes of a kind.
    pub fn count(&self, kind: OutcomeKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Proposals without an outcome.
    pub fn pending(&self) -> usize {
        self.trials
            .iter()
            .filter(|trial| trial.evaluated.is_none())
            .count()
    }

    /// Trials without a measurement. Duplicates and rejected configurations are no trials.
    pub fn failures(&self) -> u64 {
        self.budget
            .trials
            .saturating_sub(self.count(OutcomeKind::Measured))
    }

    /// The best trial by the figures of the search.
    pub fn best_of_search(&self) -> Option<(&Trial, &Metric)> {
        let best = self.improvements.last()?;
        let trial = self.trial(best.trial)?;
        Some((trial, self.metric.of(trial.measurement()?)?))
    }

    /// The measured trials, best first, by the figures of the search.
    pub fn ranked_trials(&self) -> Vec<(&Trial, &Metric)> {
        let mut ranked: Vec<(&Trial, &Metric)> = self
            .trials
            .iter()
            .filter_map(|trial| Some((trial, self.metric.of(trial.measurement()?)?)))
            .collect();
        ranked.sort_by(|(_, left), (_, right)| {
            let order = left.value.total_cmp(&right.value);
            if self.metric.higher {
                order.reverse()
            } else {
                order
            }
        });
        ranked
    }

    /// The trial that is the default configuration of a candidate.
    pub fn default_trial(&self, candidate: &str) -> Option<&Trial> {
        self.trials
            .iter()
            .find(|trial| is_default(&trial.proposed) && trial.proposed.candidate == candidate)
    }

    /// The median of a reference before the search, by its position.
    pub fn reference_before_search(&self, reference: usize) -> Option<f64> {
        let table = self.baselines.as_ref()?;
        let row = table.baseline(table.standing_for(reference)?)?;
        row.figures.as_ref().map(|figures| figures.p50)
    }

    /// How many times faster than a reference a figure of the search is. The two were measured
    /// minutes apart, so this guides the eye and is never a headline.
    pub fn search_speedup(&self, value: f64, reference: usize) -> Option<f64> {
        self.metric
            .times_better(value, self.reference_before_search(reference)?)
    }

    /// The last comparison that there is: the confirmation, or else that of the baselines.
    pub fn last_comparison(&self) -> Option<&Table> {
        self.confirmation.as_ref().or(self.baselines.as_ref())
    }

    /// Whether several candidates are tuned, of which a report says which is best.
    pub fn has_several_candidates(&self) -> bool {
        self.plan.candidates.len() > 1
    }

    /// Whether the run evaluates an objective instead of kernels.
    pub fn is_objective(&self) -> bool {
        matches!(self.plan.work, Work::Objective { .. })
    }

    /// The problem's or objective's name with its fields.
    pub fn work(&self) -> (&str, &Params) {
        match &self.plan.work {
            Work::Problem { spec, .. } => (&spec.problem, &spec.fields),
            Work::Objective { name, settings, .. } => (name, settings),
        }
    }
}

/// Whether a proposal is its candidate's default configuration.
pub(crate) fn is_default(proposed: &Proposed) -> bool {
    proposed.operator == DEFAULT_OPERATOR
}

/// The operator that proposes the default configuration of a space.
pub(crate) const DEFAULT_OPERATOR: &str = "default";

/// A baseline's letter or group with its name: `A (math)`, `B (cudnn)`, or, where several baselines
/// of the spec have its label, `A (math of torch-sdpa)`.
pub fn baseline_name(plan: &Plan, position: usize) -> String {
    let letter = plan.baseline_letter(position);
    let Some(planned) = plan.baselines.get(position) else {
        return letter;
    };
    let (label, kernel) = (&planned.label, &planned.kernel);
    let role = planned.baseline.as_ref();
    let name = match role.and_then(|role| role.choice) {
        Some(_) if *label == letter => format!("{kernel} of {}", planned.plugin),
        Some(_) => format!("{label}, {kernel} of {}", planned.plugin),
        None if *label == letter => kernel.clone(),
        None => label.clone(),
    };
    format!("{letter} ({name})")
}

/// The baseline that an item of a comparison is, by its label, or by its letter as in journals of
/// older programs.
pub(crate) fn find_baseline(plan: &Plan, name: &str) -> Option<usize> {
    plan.baselines_of(name).first().copied()
}
