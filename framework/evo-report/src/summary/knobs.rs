//! What the parameters do to what is executed.

use serde::Serialize;

use crate::format::{NONE, count};
use crate::knobs::{CandidateKnobs, Effect, Knob};
use crate::model::RunModel;

/// The section on parameters.
#[derive(Serialize)]
pub(super) struct Section {
    intro: String,
    metric: String,
    candidates: Vec<Candidate>,
}

#[derive(Serialize)]
struct Candidate {
    name: String,
    counts: String,
    rows: Vec<Row>,
    predicted: Vec<String>,
    same: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    effect: String,
    dead: bool,
    pairs: usize,
    measured: String,
}

/// The section; `None` where nothing is built.
pub(super) fn section(model: &RunModel) -> Option<Section> {
    if model.is_objective() || model.trials.iter().all(|trial| trial.evaluated.is_none()) {
        return None;
    }
    let knobs = model.knobs();
    let intro = if knobs.is_empty() {
        "The journal does not say what its builds were: no configuration was built, or it was \
         written by an older evo. So it cannot be told here which parameters are dead; evo space \
         audit finds out."
    } else {
        "A pair is two configurations of this run that differ in one parameter, and in no other \
         but those that it switches on or off. Pairs are what the search happened to try: many say \
         more than few, and no pair says nothing. Each side of a measured pair was timed on its \
         own, minutes apart, so its ratio guides the eye. evo space audit makes a controlled \
         experiment of both."
    };
    Some(Section {
        intro: intro.to_owned(),
        metric: model.metric.name.clone(),
        candidates: knobs.iter().map(candidate).collect(),
    })
}

fn candidate(found: &CandidateKnobs) -> Candidate {
    let knobs = &found.knobs;
    let named = |lines: fn(&Knob) -> Vec<String>| -> Vec<String> {
        knobs
            .params
            .iter()
            .flat_map(|knob| {
                let named = |line| format!("{}, {line}", knob.name);
                lines(knob).into_iter().map(named)
            })
            .collect()
    };
    Candidate {
        name: found.candidate.clone(),
        counts: counts(found),
        rows: knobs.params.iter().map(row).collect(),
        predicted: named(Knob::predicted),
        same: named(Knob::same_values),
    }
}

/// `9 configurations were built: 5 distinct executions with 3 distinct pieces of machine code.`
fn counts(found: &CandidateKnobs) -> String {
    let knobs = &found.knobs;
    let were = if knobs.configurations == 1 {
        "was"
    } else {
        "were"
    };
    format!(
        "{} {were} built: {}, {}.",
        count(knobs.configurations as u64, "configuration"),
        count(knobs.executions as u64, "distinct execution"),
        count(knobs.codes as u64, "distinct code")
    )
}

fn row(knob: &Knob) -> Row {
    Row {
        name: knob.name.clone(),
        effect: knob.finding(),
        dead: knob.effect == Effect::Dead,
        pairs: knob.pairs,
        measured: match (knob.measured(), knob.effect) {
            (Some(measured), _) => measured,
            (None, Effect::Unknown) => NONE.to_owned(),
            (None, Effect::Dead) => "the same execution".to_owned(),
            (None, _) => "no pair was measured".to_owned(),
        },
    }
}
