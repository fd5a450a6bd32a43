//! KTT's own results.

use evo_types::Value;
use serde::Deserialize;

use super::{collected, counted, milliseconds};
use crate::error::Reason;
use crate::recording::{Fate, Parts, Row};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Document {
    metadata: Metadata,
    results: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    #[serde(default)]
    device: String,
    time_unit: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    status: String,
    configuration: Vec<Pair>,
    #[serde(default)]
    kernel_name: String,
    #[serde(default)]
    total_duration: f64,
    #[serde(default)]
    total_overhead: f64,
    /// Part of the total overhead, but the searcher's and not the configuration's.
    #[serde(default)]
    searcher_overhead: f64,
    #[serde(default)]
    computation_results: Vec<Computation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pair {
    name: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Computation {
    #[serde(default)]
    profiling_data: Option<Profile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Profile {
    #[serde(default)]
    counters: Vec<Counter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Counter {
    name: String,
    value: serde_json::Value,
}

pub(super) fn parts(document: Document, name: &str) -> Result<Parts, Reason> {
    let scale = milliseconds(&document.metadata.time_unit)?;
    let config = |entry: &Entry| {
        let pairs = entry.configuration.iter();
        pairs.map(|p| (p.name.clone(), p.value.clone())).collect()
    };
    let configs: Vec<_> = document.results.iter().map(config).collect();
    let (params, choices) = collected(&configs)?;
    let kernel = document.results.first().map(|e| e.kernel_name.clone());
    let mut listed = Vec::with_capacity(choices.len());
    let mut rows: Vec<Row> = Vec::with_capacity(choices.len());
    for (entry, choices) in document.results.into_iter().zip(choices) {
        let ran = entry.status == "Ok";
        let ours = (entry.total_overhead - entry.searcher_overhead).max(0.0);
        rows.push(Row {
            choices,
            fate: if ran {
                Fate::Measured {
                    time_ms: entry.total_duration * scale,
                    deviation: None,
                }
            } else {
                failure(&entry.status)
            },
            cost_ms: (ours + if ran { entry.total_duration } else { 0.0 }) * scale,
            counters: Vec::new(),
        });
        // Counters of several kernels in one configuration cannot be told apart by their names.
        let profile = match entry.computation_results.as_slice() {
            [only] => only.profiling_data.as_ref(),
            _ => None,
        };
        let counters = profile.map_or(&[][..], |profile| &profile.counters).iter();
        listed.push(
            counters
                .filter_map(|counter| Some((counter.name.clone(), counter.value.as_f64()?)))
                .collect(),
        );
    }
    let counters = counted(&mut rows, listed);
    Ok(Parts {
        name: kernel
            .filter(|kernel| !kernel.is_empty())
            .unwrap_or_else(|| name.to_owned()),
        device: document.metadata.device,
        params,
        counters,
        rows,
        ..Parts::default()
    })
}

fn failure(status: &str) -> Fate {
    let message = format!("recorded with the status {status}");
    match status {
        "CompilationFailed" => Fate::BuildFailed(message),
        "ValidationFailed" => Fate::WrongResult(message),
        "DeviceLimitsExceeded" => Fate::Refused(message),
        _ => Fate::RunFailed(message),
    }
}
