//! T4: the results format of the auto-tuning community (schema 1.0.0).

use std::collections::BTreeMap;

use evo_types::Value;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{collected, counted, milliseconds, spread};
use crate::error::Reason;
use crate::recording::{Fate, Parts, Row};

#[derive(Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    metadata: Metadata,
    results: Vec<Entry>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    timeunit: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    configuration: BTreeMap<String, Value>,
    #[serde(default)]
    times: Times,
    #[serde(default)]
    invalidity: String,
    #[serde(default)]
    measurements: Vec<Figure>,
    #[serde(default)]
    objectives: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Times {
    #[serde(default, alias = "compilation_time")]
    compilation: f64,
    #[serde(default)]
    framework: f64,
    #[serde(default)]
    validation: f64,
    #[serde(default)]
    runtimes: Vec<f64>,
}

#[derive(Deserialize)]
struct Figure {
    name: String,
    value: Json,
    #[serde(default)]
    unit: String,
}

pub(super) fn parts(document: Document, name: &str) -> Result<Parts, Reason> {
    let unit = document.metadata.timeunit.as_deref();
    let config = |entry: &Entry| {
        let pairs = entry.configuration.iter();
        pairs.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let configs: Vec<_> = document.results.iter().map(config).collect();
    let (params, choices) = collected(&configs)?;
    let mut rows = Vec::with_capacity(choices.len());
    let mut listed = Vec::with_capacity(choices.len());
    for (place, (entry, choices)) in document.results.iter().zip(choices).enumerate() {
        let row =
            row(entry, choices, unit).map_err(|why| format!("result {}: {why}", place + 1))?;
        rows.push(row);
        let figures = entry.measurements.iter();
        let figures = figures.filter(|figure| !entry.objectives.contains(&figure.name));
        let figures = figures.filter_map(|f| Some((f.name.clone(), f.value.as_f64()?)));
        listed.push(figures.collect());
    }
    let counters = counted(&mut rows, listed);
    Ok(Parts {
        name: name.to_owned(),
        params,
        counters,
        rows,
        ..Parts::default()
    })
}

fn row(entry: &Entry, choices: Vec<u32>, unit: Option<&str>) -> Result<Row, Reason> {
    let objective = entry
        .objectives
        .first()
        .and_then(|name| entry.measurements.iter().find(|f| f.name == *name));
    let unit = match (unit, objective) {
        (Some(unit), _) => unit,
        (None, Some(figure)) if !figure.unit.is_empty() => figure.unit.as_str(),
        _ => {
            return Err(
                "its unit of time is not known: give `metadata.timeunit`, or a unit to the \
                 measurement of the objective"
                    .to_owned(),
            );
        }
    };
    let scale = milliseconds(unit)?;
    let runs = spread(&entry.times.runtimes);
    let fate = if matches!(entry.invalidity.as_str(), "" | "correct") {
        let figure = objective.and_then(|figure| figure.value.as_f64());
        let time = figure.or(runs.map(|(mean, _)| mean));
        Fate::Measured {
            time_ms: time.ok_or("it is correct, but has no time")? * scale,
            deviation: runs.and_then(|(_, deviation)| deviation),
        }
    } else {
        failure(&entry.invalidity)
    };
    let times = &entry.times;
    let ran: f64 = times.runtimes.iter().sum();
    Ok(Row {
        choices,
        fate,
        cost_ms: (times.compilation + times.framework + times.validation + ran) * scale,
        counters: Vec::new(),
    })
}

fn failure(invalidity: &str) -> Fate {
    let message = format!("recorded as invalid: {invalidity}");
    match invalidity {
        "constraints" => Fate::Refused(message),
        "compile" => Fate::BuildFailed(message),
        "correctness" => Fate::WrongResult(message),
        "timeout" => Fate::TimedOut(message),
        _ => Fate::RunFailed(message),
    }
}
