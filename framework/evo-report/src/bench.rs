//! `bench/<candidate>.json`: the samples of every candidate that was compared.

use std::collections::BTreeSet;

use evo_journal::Work;
use evo_stats::QUANTILE_DEFINITION;
use serde_json::{Map, Value, json};

use crate::confirmed::{Row, Table};
use crate::failures::reason;
use crate::json::speedups;
use crate::model::RunModel;
use crate::text::{file_name, plain};

/// What marks a file as one of ours.
pub(crate) const SCHEMA: &str = "evo.bench.v1";

/// The documents with their file names. A baseline has one document for both comparisons.
pub(crate) fn bench(model: &RunModel) -> Vec<(String, Value)> {
    let mut used = BTreeSet::new();
    let mut files = Vec::new();
    let tables = [
        ("confirmation", model.confirmation.as_ref()),
        ("baselines", model.baselines.as_ref()),
    ];
    let mut done: Vec<(&str, Option<u64>)> = Vec::new();
    for row in tables
        .iter()
        .filter_map(|(_, table)| *table)
        .flat_map(|table| &table.rows)
    {
        let identity = (row.label.as_str(), row.trial);
        if done.contains(&identity) {
            continue;
        }
        done.push(identity);
        files.push((unused_name(row, &mut used), document(model, row, &tables)));
    }
    files
}

/// A safe file name that no other candidate has, also where case does not count.
fn unused_name(row: &Row, used: &mut BTreeSet<String>) -> String {
    let stem = file_name(&row.label);
    let mut name = stem.clone();
    let mut number = 2u64;
    while !used.insert(name.to_ascii_lowercase()) {
        name = format!("{stem}-{number}");
        number += 1;
    }
    format!("{name}.json")
}

fn document(model: &RunModel, row: &Row, tables: &[(&str, Option<&Table>)]) -> Value {
    let mut stages = Map::new();
    for (stage, table) in tables {
        let same = |other: &&Row| other.label == row.label && other.trial == row.trial;
        let found = table.and_then(|table| Some((table, table.rows.iter().find(same)?)));
        if let Some((table, row)) = found {
            stages.insert((*stage).to_owned(), figures(model, table, row));
        }
    }
    let cache = match &model.plan.work {
        Work::Problem { spec, .. } => Some(spec.cache),
        Work::Objective { .. } => None,
    };
    json!({
        "schema": SCHEMA,
        "label": row.label,
        "kernel": row.kernel,
        "trial": row.trial,
        "params": row.params,
        "device": { "name": model.plan.device.name, "uuid": model.plan.device.uuid },
        "cache": cache,
        "method": {
            "interleaved": true,
            "settings": model.plan.measure,
            "quantiles": QUANTILE_DEFINITION,
            "speedup": "median ratio of a round, averaged over processes, with Student's 95 % interval over rounds and processes",
        },
        "stages": stages,
    })
}

/// One stage: the candidate's summary, the samples of every metric, and its checks.
fn figures(model: &RunModel, table: &Table, row: &Row) -> Value {
    let Some(measurement) = row.outcome.measurement() else {
        return json!({ "outcome": row.outcome.kind(), "reason": plain(&reason(&row.outcome)) });
    };
    let metrics: Vec<Value> = measurement
        .metrics
        .iter()
        .map(|metric| {
            let summary = evo_stats::Summary::of(&metric.samples).ok();
            json!({
                "name": metric.name,
                "unit": metric.unit,
                "ranked": metric.name == model.metric.name,
                "p50": metric.value,
                "ci_low": metric.ci_low,
                "ci_high": metric.ci_high,
                "summary": summary,
                "samples": metric.samples,
            })
        })
        .collect();
    json!({
        "outcome": row.outcome.kind(),
        "at": table.at,
        "seed": table.seed,
        "speedup": speedups(model, row),
        "metrics": metrics,
        "error": measurement.error,
        "execution": measurement.execution,
        "recheck_seed": measurement.recheck_seed,
        "converged": measurement.converged,
    })
}
