//! The formats, one file each, and what they share.

mod kernel_tuner;
mod ktt;
mod recorded_space;
pub(crate) mod t1;
mod t4;

use evo_types::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::Reason;
use crate::recording::{Parameter, Parts, Row};

/// The keys by which a format is known.
#[derive(Deserialize)]
struct Keys {
    format: Option<String>,
    tune_params: Option<IgnoredAny>,
    cache: Option<IgnoredAny>,
    results: Option<IgnoredAny>,
    #[serde(rename = "Results")]
    ktt_results: Option<IgnoredAny>,
    #[serde(rename = "ConfigurationSpace")]
    t1: Option<IgnoredAny>,
}

/// Reads a text in whichever format it is.
pub(crate) fn parts(text: &str, name: &str) -> Result<Parts, Reason> {
    let keys: Keys = match serde_json::from_str(text) {
        Ok(keys) => keys,
        Err(error) => match kernel_tuner::closed(text) {
            Some(closed) => return read(&closed, name, kernel_tuner::parts),
            None => return Err(format!("{error} (a recording is one JSON object)")),
        },
    };
    match keys.format.as_deref() {
        Some("recorded-space/1") => return read(text, name, recorded_space::parts),
        Some(other) => {
            return Err(format!(
                "its format is `{other}`; the one that can be read is `recorded-space/1`"
            ));
        }
        None => {}
    }
    if keys.cache.is_some() && keys.tune_params.is_some() {
        read(text, name, kernel_tuner::parts)
    } else if keys.ktt_results.is_some() {
        read(text, name, ktt::parts)
    } else if keys.results.is_some() {
        read(text, name, t4::parts)
    } else if keys.t1.is_some() {
        Err(
            "it is a T1 definition of a space, without measurements: name the results as `file`, \
             and this one as `space`"
                .to_owned(),
        )
    } else {
        Err(
            "it is no recording that is known: neither recorded-space/1, nor a Kernel Tuner cache \
             file, nor T4 or KTT results"
                .to_owned(),
        )
    }
}

fn read<'de, D: Deserialize<'de>>(
    text: &'de str,
    name: &str,
    parts: impl FnOnce(D, &str) -> Result<Parts, Reason>,
) -> Result<Parts, Reason> {
    parts(json(text)?, name)
}

/// Reads JSON; an error has its line and column.
pub(crate) fn json<'de, D: Deserialize<'de>>(text: &'de str) -> Result<D, Reason> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// A list of values made of one type: where there are floats among integers, all are floats.
pub(crate) fn unified(mut values: Vec<Value>) -> Vec<Value> {
    if values.iter().any(|value| matches!(value, Value::Float(_))) {
        for value in &mut values {
            if let Value::Int(int) = value {
                *value = Value::Float(*int as f64);
            }
        }
    }
    values
}

/// A configuration as results list it.
type Listed = Vec<(String, Value)>;

/// The parameters of results that only list configurations: the values that occur, in ascending
/// order, with the configurations as indices.
fn collected(configs: &[Listed]) -> Result<(Vec<Parameter>, Vec<Vec<u32>>), Reason> {
    let first = configs.first().ok_or("it has no results")?;
    let mut params = Vec::new();
    let mut choices = vec![Vec::with_capacity(first.len()); configs.len()];
    for (name, _) in first {
        let column = configs
            .iter()
            .enumerate()
            .map(|(place, config)| {
                let found = config.iter().find(|(key, _)| key == name);
                found
                    .map(|(_, value)| value.clone())
                    .ok_or_else(|| format!("result {} has no parameter `{name}`", place + 1))
            })
            .collect::<Result<Vec<Value>, Reason>>()?;
        let column = unified(column);
        let mut values = column.clone();
        values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        values.dedup();
        for (row, value) in choices.iter_mut().zip(&column) {
            let place = values.iter().position(|known| known == value);
            row.push(place.and_then(|p| u32::try_from(p).ok()).unwrap_or(0));
        }
        let name = name.clone();
        params.push(Parameter { name, values });
    }
    if let Some(place) = configs.iter().position(|c| c.len() != first.len()) {
        return Err(format!(
            "result {} has other parameters than the first",
            place + 1
        ));
    }
    Ok((params, choices))
}

/// Mean and relative standard deviation (of the sample) of several runs.
fn spread(runs: &[f64]) -> Option<(f64, Option<f64>)> {
    if runs.is_empty() {
        return None;
    }
    let n = runs.len() as f64;
    let mean = runs.iter().sum::<f64>() / n;
    let square = |run: &f64| (run - mean) * (run - mean);
    let deviation = (runs.len() > 1 && mean > 0.0)
        .then(|| (runs.iter().map(square).sum::<f64>() / (n - 1.0)).sqrt() / mean);
    Some((mean, deviation))
}

/// Milliseconds in a unit of time as files spell it.
fn milliseconds(unit: &str) -> Result<f64, Reason> {
    match unit.to_ascii_lowercase().as_str() {
        "ns" | "nanosecond" | "nanoseconds" => Ok(1e-6),
        "us" | "microsecond" | "microseconds" => Ok(1e-3),
        // The second spelling is that of files in use.
        "ms" | "millisecond" | "milliseconds" | "miliseconds" => Ok(1.0),
        "s" | "second" | "seconds" => Ok(1e3),
        other => Err(format!("`{other}` is no unit of time that is known")),
    }
}

/// Keeps the counters that every measured row has.
fn counted(rows: &mut [Row], listed: Vec<Vec<(String, f64)>>) -> Vec<String> {
    let measured = |row: &Row| row.fate.time_ms().is_some();
    let of_measured = || rows.iter().zip(&listed).filter(|(row, _)| measured(row));
    let Some((_, first)) = of_measured().next() else {
        return Vec::new();
    };
    let find = |list: &[(String, f64)], name: &str| {
        let found = list.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value).filter(|v| v.is_finite())
    };
    let names: Vec<String> = first
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| of_measured().all(|(_, list)| find(list, name).is_some()))
        .collect();
    for (row, list) in rows.iter_mut().zip(&listed) {
        if measured(row) {
            row.counters = names.iter().filter_map(|name| find(list, name)).collect();
        }
    }
    names
}
