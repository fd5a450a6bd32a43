//! `<profiler>/summary.json`: what each profiler saw, and what rules made of it, for scripts.

use std::collections::BTreeMap;

use evo_journal::{Diagnosed, Profiled, profiler_folder};
use serde_json::{Map, Value, json};

use crate::model::RunModel;

/// The version of the keys.
const SCHEMA: u32 = 1;

/// The documents by the folders of the profilers.
pub(crate) fn profiles(model: &RunModel) -> Vec<(String, Value)> {
    let mut by_profiler: BTreeMap<&str, Vec<&Profiled>> = BTreeMap::new();
    for profiled in &model.profiles {
        let own = by_profiler.entry(profiled.profiler.as_str()).or_default();
        // A candidate that was profiled again, as in an extended run.
        own.retain(|earlier| earlier.label != profiled.label);
        own.push(profiled);
    }
    let documents = by_profiler.into_iter().map(|(profiler, seen)| {
        let candidates: Vec<Value> = seen.into_iter().map(|it| candidate(model, it)).collect();
        let document = json!({
            "schema": SCHEMA,
            "profiler": profiler,
            "candidates": candidates,
        });
        (profiler_folder(profiler), document)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profiler_has_a_folder_that_is_none_of_the_runs_own() {
        let folders = [
            ("profiler-ncu/ncu", "ncu"),
            ("knobs/outside", "knobs-outside"),
            ("profiler-bench/bench", "profiler-bench-bench"),
            ("profiler-lock/lock", "profiler-lock-lock"),
            ("../x/y", "---x-y"),
            ("", "-"),
        ];
        for (profiler, folder) in folders {
            assert_eq!(profiler_folder(profiler), folder);
        }
    }
}
