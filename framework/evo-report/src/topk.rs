//! `topk.json`: the best candidates.

use evo_types::Outcome;
use serde_json::{Value, json};

use crate::confirmed::Row;
use crate::json::candidate;
use crate::model::{RunModel, Trial};

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
                best.map(|(trial, _)| unconfirmed(trial)).collect(),
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
        "trial": row.trial,
        "candidate": trial.map(|trial| &trial.proposed.candidate),
        "params": row.params,
        "confirmation": candidate(row),
        "search": trial.map(search),
    })
}

fn unconfirmed(trial: &Trial) -> Value {
    json!({
        "trial": trial.number(),
        "candidate": trial.proposed.candidate,
        "params": trial.proposed.params,
        "confirmation": null,
        "search": search(trial),
    })
}

/// The figures of the search: every metric without its samples.
fn search(trial: &Trial) -> Value {
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
    json!({
        "operator": trial.proposed.operator,
        "parents": trial.proposed.parents,
        "metrics": metrics,
    })
}
