//! Kernel Tuner's cache file: one entry per configuration, under its values joined by commas.

use std::collections::BTreeMap;

use evo_types::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::{spread, unified};
use crate::error::Reason;
use crate::recording::{Fate, Parameter, Parts, Row};

/// What an entry has besides its parameters and figures of its own.
const KNOWN: [&str; 9] = [
    "time",
    "times",
    "compile_time",
    "verification_time",
    "benchmark_time",
    "framework_time",
    "strategy_time",
    "timestamp",
    "core_freqs",
];

#[derive(Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    device_name: String,
    #[serde(default)]
    kernel_name: String,
    tune_params_keys: Vec<String>,
    tune_params: BTreeMap<String, Vec<Value>>,
    cache: BTreeMap<String, BTreeMap<String, Json>>,
}

/// The tuner appends to its file and closes it at the end, so the file of a tuning that was cut
/// off lacks the last two braces. `None` where that is not what is wrong with the text.
pub(super) fn closed(text: &str) -> Option<String> {
    let closed = format!("{}}}}}", text.trim_end().trim_end_matches(','));
    let whole = serde_json::from_str::<IgnoredAny>(&closed).is_ok();
    (whole && text.contains("\"cache\"")).then_some(closed)
}

pub(super) fn parts(document: Document, name: &str) -> Result<Parts, Reason> {
    let mut params = Vec::new();
    for key in &document.tune_params_keys {
        let values = document
            .tune_params
            .get(key)
            .ok_or_else(|| format!("`tune_params` has no values for `{key}`"))?;
        params.push(Parameter {
            name: key.clone(),
            values: unified(values.clone()),
        });
    }
    let mut rows = Vec::with_capacity(document.cache.len());
    let mut listed = Vec::new();
    for (key, entry) in &document.cache {
        let row = row(entry, &params).map_err(|why| format!("the entry `{key}`: {why}"))?;
        let own = |name: &&String| {
            !KNOWN.contains(&name.as_str()) && !document.tune_params_keys.contains(name)
        };
        let figures = entry.iter().filter(|(name, _)| own(name));
        let figures = figures.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        listed.push(figures.collect());
        rows.push(row);
    }
    let counters = super::counted(&mut rows, listed);
    let kernel = document.kernel_name;
    Ok(Parts {
        name: if kernel.is_empty() {
            name.to_owned()
        } else {
            kernel
        },
        device: document.device_name,
        params,
        restrictions: Vec::new(),
        exact: false,
        counters,
        rows,
        origin: None,
    })
}

fn row(entry: &BTreeMap<String, Json>, params: &[Parameter]) -> Result<Row, Reason> {
    let choices = params
        .iter()
        .map(|param| {
            let value = entry
                .get(&param.name)
                .and_then(|value| serde_json::from_value::<Value>(value.clone()).ok())
                .ok_or_else(|| format!("it has no value of `{}`", param.name))?;
            let equal = |known: &Value| {
                *known == value
                    || known
                        .as_float()
                        .is_some_and(|k| Some(k) == value.as_float())
            };
            let place = param.values.iter().position(equal);
            place
                .and_then(|place| u32::try_from(place).ok())
                .ok_or_else(|| format!("{value} is no value of `{}`", param.name))
        })
        .collect::<Result<Vec<u32>, Reason>>()?;
    let figure = |name: &str| entry.get(name).and_then(Json::as_f64).unwrap_or(0.0);
    let costs = [
        "compile_time",
        "verification_time",
        "benchmark_time",
        "framework_time",
    ];
    Ok(Row {
        choices,
        fate: fate(entry)?,
        cost_ms: costs.iter().map(|name| figure(name)).sum(),
        counters: Vec::new(),
    })
}

fn fate(entry: &BTreeMap<String, Json>) -> Result<Fate, Reason> {
    let time = entry.get("time").ok_or("it has no `time`")?;
    if let Some(time_ms) = time.as_f64() {
        let runs = entry.get("times").and_then(Json::as_array);
        let runs: Vec<f64> = runs
            .into_iter()
            .flatten()
            .filter_map(Json::as_f64)
            .collect();
        return Ok(Fate::Measured {
            time_ms,
            deviation: spread(&runs).and_then(|(_, deviation)| deviation),
        });
    }
    // Newer files keep the name of the failure under a key of its own.
    let error = entry.get("__error__").unwrap_or(time);
    let error = error.as_str().unwrap_or("an unknown failure");
    let message = format!("recorded as {error}");
    Ok(match error {
        "InvalidConfig" => Fate::Refused(message),
        "CompilationFailedConfig" => Fate::BuildFailed(message),
        _ => Fate::RunFailed(message),
    })
}
