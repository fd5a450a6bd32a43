//! How the search went.

use evo_journal::InsightLine;
use evo_types::OutcomeKind;
use serde::Serialize;

use crate::chart::chart;
use crate::failures::failures;
use crate::format::{Scale, count, span};
use crate::limits::metrics;
use crate::model::{RunModel, State};
use crate::text::clip;

/// The longest example of a failure.
const EXAMPLE_LIMIT: usize = 200;

/// The section on the search.
#[derive(Serialize)]
pub(super) struct Search {
    preset: String,
    ended: String,
    counts: String,
    outcomes: Vec<(&'static str, u64)>,
    budget: Vec<(&'static str, String, String)>,
    pace: Option<String>,
    chart: Option<String>,
    improvements: Vec<String>,
    failures: Vec<FailureLine>,
    beliefs: Vec<Belief>,
}

#[derive(Serialize)]
struct FailureLine {
    name: String,
    count: u64,
    trial: u64,
    example: String,
    params: String,
}

/// What the engine believes of one candidate.
#[derive(Serialize)]
struct Belief {
    candidate: String,
    space_size: String,
    insights: Vec<InsightRow>,
    withdrawn: Vec<InsightRow>,
    operators: Vec<OperatorRow>,
}

#[derive(Serialize)]
struct InsightRow {
    statement: String,
    strength: String,
    credit: String,
    followed: String,
    evidence: u64,
    source: String,
}

impl InsightRow {
    fn of(insight: &InsightLine) -> Self {
        Self {
            statement: insight.statement.clone(),
            strength: format!("{:.2}", insight.strength),
            credit: format!("{:.2}", insight.credit),
            followed: match insight.followed {
                0 => "not yet".to_owned(),
                followed => format!("{followed}, {}", insight.better),
            },
            evidence: insight.evidence,
            source: insight.source.clone(),
        }
    }
}

#[derive(Serialize)]
struct OperatorRow {
    name: String,
    proposals: u64,
    improvements: u64,
}

pub(super) fn search(model: &RunModel) -> Search {
    let counted = OutcomeKind::ALL
        .into_iter()
        .map(|kind| (kind.words(), model.count(kind)));
    Search {
        preset: model.plan.preset.clone(),
        ended: match &model.state {
            State::Finished { reason } => reason.clone(),
            State::Interrupted { by } => format!("interrupted by {by}"),
            State::Unfinished => "not finished".to_owned(),
        },
        counts: counts(model),
        outcomes: counted.filter(|(_, count)| *count > 0).collect(),
        budget: budget(model),
        pace: pace(model),
        chart: chart(model),
        improvements: improvements(model),
        failures: failure_lines(model),
        beliefs: beliefs(model),
    }
}

/// `10 proposals, 7 trials, 1 duplicate, 1 rejected, 1 without an outcome, 1 repeated attempt`.
fn counts(model: &RunModel) -> String {
    let retried: usize = model.trials.iter().map(|trial| trial.retries.len()).sum();
    let mut words = vec![
        count(model.trials.len() as u64, "proposal"),
        count(model.budget.trials, "trial"),
        count(model.count(OutcomeKind::DuplicateOf), "duplicate"),
    ];
    if model.count(OutcomeKind::Rejected) > 0 {
        words.push(format!("{} rejected", model.count(OutcomeKind::Rejected)));
    }
    if model.pending() > 0 {
        words.push(format!("{} without an outcome", model.pending()));
    }
    if retried > 0 {
        words.push(count(retried as u64, "repeated attempt"));
    }
    words.join(", ")
}

/// `0.82 s per trial; the device was taken 93 % of the time, with 3 builds ahead of it`. Nothing on
/// a CPU, where builds and measurements share the device.
fn pace(model: &RunModel) -> Option<String> {
    let used = &model.budget;
    let devices = 1 + model.plan.siblings.len();
    if model.plan.device.kind == "cpu" || used.trials == 0 || used.wall_s <= 0.0 {
        return None;
    }
    let each = used.wall_s / used.trials as f64;
    let taken = 100.0 * used.device_s / (used.wall_s * devices as f64);
    let taken = taken.min(100.0);
    let builds = model.plan.ahead.saturating_sub(devices);
    let devices = match devices {
        1 => "the device was".to_owned(),
        count => format!("the {count} devices were"),
    };
    Some(format!(
        "{each:.2} s per trial; {devices} taken {taken:.0} % of the time, by verification and \
         measurement, with up to {} ahead",
        count(builds as u64, "build")
    ))
}

fn budget(model: &RunModel) -> Vec<(&'static str, String, String)> {
    let used = &model.budget;
    let seconds = |limit: Option<f64>| limit.map_or_else(|| "no limit".to_owned(), span);
    let trials = used.limits.trials;
    vec![
        (
            "trials",
            used.trials.to_string(),
            trials.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string()),
        ),
        (
            "wall time of trials",
            span(used.wall_s),
            seconds(used.limits.wall_s),
        ),
        (
            "device time of trials",
            span(used.device_s),
            seconds(used.limits.device_s),
        ),
    ]
}

/// The last improvements, with what made them.
fn improvements(model: &RunModel) -> Vec<String> {
    let steps = &model.improvements;
    let first = steps.len().saturating_sub(6);
    steps
        .iter()
        .skip(first)
        .filter_map(|step| {
            let trial = model.trial(step.trial)?;
            let value = Scale::of(step.value, &model.metric.unit).quantity(step.value);
            Some(format!(
                "{value} by trial {}, {}",
                step.trial, trial.proposed.operator
            ))
        })
        .collect()
}

fn failure_lines(model: &RunModel) -> Vec<FailureLine> {
    failures(model)
        .into_iter()
        .map(|failure| FailureLine {
            name: failure.name,
            count: failure.count,
            trial: failure.trial,
            example: clip(&failure.example, EXAMPLE_LIMIT),
            params: failure.params,
        })
        .collect()
}

fn beliefs(model: &RunModel) -> Vec<Belief> {
    model
        .snapshots
        .iter()
        .map(|snapshot| Belief {
            candidate: snapshot.candidate.clone(),
            space_size: snapshot.space_size.clone(),
            insights: snapshot.insights.iter().map(InsightRow::of).collect(),
            withdrawn: snapshot.withdrawn.iter().map(InsightRow::of).collect(),
            operators: snapshot
                .operators
                .iter()
                .filter(|operator| operator.proposals > 0)
                .map(|operator| OperatorRow {
                    name: operator.name.clone(),
                    proposals: operator.proposals,
                    improvements: operator.improvements,
                })
                .collect(),
        })
        .collect()
}

/// What a profiler said of a candidate.
#[derive(Serialize)]
pub(super) struct Profile {
    profiler: String,
    label: String,
    text: String,
}

/// The last profile of each candidate by each profiler.
pub(super) fn profiles(model: &RunModel) -> Vec<Profile> {
    let mut shown: Vec<&evo_journal::Profiled> = Vec::new();
    for profile in &model.profiles {
        let same = |other: &&evo_journal::Profiled| {
            other.profiler == profile.profiler
                && other.label == profile.label
                && other.trial == profile.trial
        };
        shown.retain(|other| !same(other));
        shown.push(profile);
    }
    shown
        .into_iter()
        .map(|profile| Profile {
            profiler: profile.profiler.clone(),
            label: profile.label.clone(),
            text: match &profile.failure {
                Some(failure) => format!("failed: {}", clip(failure, EXAMPLE_LIMIT)),
                None => metrics(&profile.metrics),
            },
        })
        .collect()
}
