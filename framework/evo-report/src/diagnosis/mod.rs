//! What rules say of the candidate that the report is about, and what to try next.

mod lever;
mod next;
mod trials;

use std::collections::BTreeMap;

use evo_journal::{Diagnosed, DiagnosisLine};
use evo_types::Params;

use crate::model::{RunModel, Trial};
use lever::Lever;

pub use next::{Next, next_steps};

pub(crate) use next::levers;

/// The bottlenecks that a report names.
const BOTTLENECKS: usize = 3;

/// What the report is about: the winner of the confirmation, else the best of the search.
pub(crate) struct Subject<'a> {
    pub(crate) label: String,
    /// The tuned candidate; empty for a baseline.
    candidate: String,
    trial: Option<u64>,
    params: &'a Params,
    /// The least and the greatest number that each parameter had in a trial of this candidate.
    range: BTreeMap<&'a str, (f64, f64)>,
}

impl Subject<'_> {
    /// Whether it does not pull this lever yet.
    pub(crate) fn may(&self, lever: &str) -> bool {
        Lever::parse(lever).is_some_and(|it| it.is_open(self.params) && self.leads_on(&it))
    }

    /// Whether a parameter can be raised or lowered further, as far as trials show.
    fn leads_on(&self, lever: &Lever<'_>) -> bool {
        let of = |name: &str| Some((self.params.get(name)?.as_float()?, *self.range.get(name)?));
        match lever {
            Lever::Raise(name) => of(name).is_some_and(|(own, (_, most))| own < most),
            Lever::Lower(name) => of(name).is_some_and(|(own, (least, _))| own > least),
            Lever::Set(..) | Lever::Avoid(..) => true,
            Lever::Where(lever, ..) => self.leads_on(lever),
        }
    }
}

pub(crate) fn subject(model: &RunModel) -> Option<Subject<'_>> {
    if let Some(winner) = model.confirmation.as_ref().and_then(|table| table.winner()) {
        return Some(Subject {
            label: winner.label.clone(),
            candidate: winner.candidate.clone().unwrap_or_default(),
            trial: winner.trial,
            params: &winner.params,
            range: range(model, winner.candidate.as_deref().unwrap_or_default()),
        });
    }
    let (trial, _) = model.best_of_search()?;
    Some(of_trial(model, trial))
}

fn of_trial<'a>(model: &'a RunModel, trial: &'a Trial) -> Subject<'a> {
    Subject {
        label: trial.name(),
        candidate: trial.proposed.candidate.clone(),
        trial: Some(trial.number()),
        params: &trial.proposed.params,
        range: range(model, &trial.proposed.candidate),
    }
}

fn range<'a>(model: &'a RunModel, candidate: &str) -> BTreeMap<&'a str, (f64, f64)> {
    let mut range: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let own = model
        .trials
        .iter()
        .filter(|it| it.proposed.candidate == candidate);
    for (name, value) in own.flat_map(|trial| &trial.proposed.params) {
        if let Some(number) = value.as_float() {
            let (least, most) = range.entry(name).or_insert((number, number));
            *least = least.min(number);
            *most = most.max(number);
        }
    }
    range
}

/// The last word of each source on a candidate, the severest diagnosis first.
pub(crate) fn of<'a>(model: &'a RunModel, subject: &Subject<'_>) -> Vec<&'a Diagnosed> {
    let own = |diagnosed: &&Diagnosed| match diagnosed.trial {
        Some(trial) => subject.trial == Some(trial),
        None => subject.trial.is_none() && diagnosed.label == subject.label,
    };
    let mut found: Vec<&Diagnosed> = Vec::new();
    for diagnosed in model.diagnoses.iter().filter(own) {
        found.retain(|earlier| earlier.source != diagnosed.source);
        found.push(diagnosed);
    }
    let worst = |it: &&Diagnosed| it.diagnoses.first().map_or(0.0, |first| first.severity);
    found.sort_by(|a, b| worst(b).total_cmp(&worst(a)));
    found
}

/// The statements of the severest rules that hold for the subject, each once.
pub(crate) fn bottlenecks(model: &RunModel, subject: &Subject<'_>) -> Vec<String> {
    let mut said: Vec<(f64, String)> = Vec::new();
    for (diagnosed, diagnosis) in rules_that_hold(model, subject) {
        let statement = crate::verdict::capitalised(&diagnosis.statement);
        let line = format!(
            "{statement} (severity {:.2}, by {}).",
            diagnosis.severity, diagnosed.source
        );
        said.push((diagnosis.severity, line));
    }
    first(said, BOTTLENECKS)
}

/// The rules that hold, the severest first. What two sources say in the same words is said once.
pub(crate) fn rules_that_hold<'a>(
    model: &'a RunModel,
    subject: &Subject<'_>,
) -> Vec<(&'a Diagnosed, &'a DiagnosisLine)> {
    let mut found: Vec<(&Diagnosed, &DiagnosisLine)> = Vec::new();
    for diagnosed in of(model, subject) {
        for diagnosis in &diagnosed.diagnoses {
            if found
                .iter()
                .all(|(_, other)| other.statement != diagnosis.statement)
            {
                found.push((diagnosed, diagnosis));
            }
        }
    }
    found.sort_by(|a, b| b.1.severity.total_cmp(&a.1.severity));
    found
}

/// So many lines with the greatest scores; of equal ones those that came first.
fn first(mut scored: Vec<(f64, String)>, count: usize) -> Vec<String> {
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored
        .into_iter()
        .take(count)
        .map(|(_, line)| line)
        .collect()
}
