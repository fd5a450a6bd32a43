//! `topk.json`: the best candidates.

use evo_types::Outcome;
use serde_json::{Map, Value, json};

use crate::confirmed::Row;
use crate::json::figures;
use crate::model::{RunModel, Trial, is_default};

/// The best candidates, best first: by the confirmation, or else by the search.
pub(crate) fn topk(model: &RunModel) -> Value {
    let (top, evicted) = match &model.confirmation {
        Some(table) => {
            let finalists = table.finalists(&model.metric);
            let (top, evicted): (Vec<&Row>, Vec<&Row>) =
                finalists.into_iter().partition(|row| row.figures.is_some());
            let entries = |rows: Vec<&Row>| -> Vec<Value> {
                rows.into_iter().map(|row| entry(model, row)).collect()
            };
            (entries(top), entries(evicted))
        }
        None => {
            let best = model.ranked_trials().into_iter().take(model.plan.top_k);
            (
                best.map(|(trial, _)| unconfirmed(model, trial)).collect(),
                Vec::new(),
            )
        }
    };
    json!({
        "schema": "evo.topk.v1",
        "run": model.header.run,
        "metric": model.metric.name,
        "unit": model.metric.unit,
        "confirmed": model.confirmation.is_some(),
        "top": top,
        "evicted": evicted,
    })
}

/// A finalist: its figures of the confirmation, and those of the search.
fn entry(model: &RunModel, row: &Row) -> Value {
    let trial = row.trial.and_then(|number| model.trial(number));
    json!({
        "label": row.label,
        "trial": row.trial,
        "candidate": trial.map(|trial| &trial.proposed.candidate),
        "kernel": row.kernel,
        "params": row.params,
        "default": row.is_default,
        "confirmation": figures(model, row),
        "search": trial.map(|trial| search(model, trial)),
    })
}

fn unconfirmed(model: &RunModel, trial: &Trial) -> Value {
    let proposed = &trial.proposed;
    let planned = model
        .plan
        .candidates
        .iter()
        .find(|known| known.label == proposed.candidate);
    json!({
        "label": trial.name(),
        "trial": trial.number(),
        "candidate": proposed.candidate,
        "kernel": planned.map(|planned| &planned.kernel),
        "params": proposed.params,
        "default": is_default(proposed),
        "confirmation": null,
        "search": search(model, trial),
    })
}

/// The figures of the search: every metric without its samples.
fn search(model: &RunModel, trial: &Trial) -> Value {
    let metrics: Vec<Value> = trial
        .outcome()
        .and_then(Outcome::measurement)
        .map(|found| &found.metrics)
        .into_iter()
        .flatten()
        .map(|metric| {
            json!({
                "name": metric.name,
                "unit": metric.unit,
                "value": metric.value,
                "ci_low": metric.ci_low,
                "ci_high": metric.ci_high,
                "samples": metric.samples.len(),
            })
        })
        .collect();
    let value = trial.measurement().and_then(|found| model.metric.of(found));
    let references = model.references.iter().enumerate();
    let speedups: Map<String, Value> = references
        .map(|(place, reference)| {
            let speedup = value.and_then(|metric| model.search_speedup(metric.value, place));
            (reference.name.clone(), speedup.into())
        })
        .collect();
    json!({
        "speedup": speedups,
        "operator": trial.proposed.operator,
        "parents": trial.proposed.parents,
        "metrics": metrics,
    })
}
