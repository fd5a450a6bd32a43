//! `<profiler>/summary.json`: what each profiler saw, and what rules made of it, for scripts.

use std::collections::BTreeMap;

use evo_journal::{Diagnosed, Profiled};
use serde_json::{Map, Value, json};

use crate::model::RunModel;

/// The version of the keys.
const SCHEMA: u32 = 1;

/// The documents by the folder's name, which is the profiler's.
pub(crate) fn profiles(model: &RunModel) -> Vec<(String, Value)> {
    let mut by_profiler: BTreeMap<&str, Vec<&Profiled>> = BTreeMap::new();
    for profiled in &model.profiles {
        let own = by_profiler.entry(profiled.profiler.as_str()).or_default();
        // A candidate that was profiled again, as in an extended run.
        own.retain(|earlier| earlier.label != profiled.label);
        own.push(profiled);
    }
    let documents = by_profiler.into_iter().map(|(profiler, seen)| {
        let name = profiler.rsplit_once('/').map_or(profiler, |(_, name)| name);
        let candidates: Vec<Value> = seen.into_iter().map(|it| candidate(model, it)).collect();
        let document = json!({
            "schema": SCHEMA,
            "profiler": profiler,
            "candidates": candidates,
        });
        (file_name(name), document)
    });
    documents.collect()
}

fn candidate(model: &RunModel, profiled: &Profiled) -> Value {
    let metrics: Map<String, Value> = profiled
        .metrics
        .iter()
        .map(|metric| {
            let value = json!({ "value": metric.value, "unit": metric.unit });
            (metric.name.clone(), value)
        })
        .collect();
    let said = |diagnosed: &&Diagnosed| {
        diagnosed.source == profiled.profiler && diagnosed.label == profiled.label
    };
    let diagnosed = model.diagnoses.iter().rfind(said);
    json!({
        "candidate": profiled.label,
        "trial": profiled.trial,
        "metrics": metrics,
        "failure": profiled.failure,
        "diagnoses": diagnosed.map(|it| &it.diagnoses),
        "unjudged": diagnosed.map(|it| &it.unjudged),
    })
}

/// A profiler's name as a folder's: a plugin chooses it, and it must not be one of a run's own.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let plain: String = name.chars().map(plain).take(100).collect();
    match plain.as_str() {
        "" | "bench" | "reports" => format!("profiler-{plain}"),
        _ => plain,
    }
}
