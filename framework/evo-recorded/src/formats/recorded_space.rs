//! `recorded-space/1`: columns over the recorded configurations.

use std::collections::BTreeMap;

use evo_types::Value;
use serde::Deserialize;

use super::unified;
use crate::error::Reason;
use crate::recording::{Fate, Origin, Parameter, Parts, Row};

#[derive(Deserialize)]
pub(super) struct Document {
    id: Option<String>,
    device: Option<String>,
    params: Vec<Param>,
    #[serde(default)]
    restrictions: Vec<String>,
    #[serde(default)]
    restrictions_exact: bool,
    /// Row-major indices into the Cartesian product, the first parameter slowest.
    config: Vec<u64>,
    /// Milliseconds; null where it failed.
    time: Vec<Option<f64>>,
    #[serde(default)]
    status: Vec<u8>,
    #[serde(default)]
    rel_std: Option<Vec<Option<f64>>>,
    #[serde(default)]
    compile: Option<Vec<Option<f64>>>,
    #[serde(default)]
    bench: Option<Vec<Option<f64>>>,
    #[serde(default)]
    verify: Option<Vec<Option<f64>>>,
    #[serde(default)]
    framework: Option<Vec<Option<f64>>>,
    #[serde(default)]
    extra_columns: Vec<String>,
    #[serde(default)]
    origin: Option<Origin>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Param {
    name: String,
    values: Vec<Value>,
}

pub(super) fn parts(document: Document, name: &str) -> Result<Parts, Reason> {
    let sizes: Vec<usize> = document.params.iter().map(|p| p.values.len()).collect();
    let count = document.config.len();
    if document.time.len() != count {
        return Err(format!(
            "`time` has {} entries, but `config` has {count}",
            document.time.len()
        ));
    }
    let columns = [
        ("compile", &document.compile),
        ("bench", &document.bench),
        ("verify", &document.verify),
        ("framework", &document.framework),
        ("rel_std", &document.rel_std),
    ];
    for (what, column) in columns {
        if let Some(column) = column
            && column.len() != count
        {
            return Err(format!(
                "`{what}` has {} entries, but `config` has {count}",
                column.len()
            ));
        }
    }
    let at = |column: &Option<Vec<Option<f64>>>, row: usize| {
        let column = column.as_ref()?;
        column.get(row).copied().flatten()
    };
    let counters = counters(&document);
    let mut rows = Vec::with_capacity(count);
    for (place, (config, time)) in document.config.iter().zip(&document.time).enumerate() {
        let fate = match time {
            Some(time_ms) => Fate::Measured {
                time_ms: *time_ms,
                deviation: at(&document.rel_std, place),
            },
            None => failure(document.status.get(place).copied()),
        };
        let cost = columns.iter().take(4);
        let cost_ms = cost.filter_map(|(_, column)| at(column, place)).sum();
        let figures = counters
            .iter()
            .map(|(_, column)| column.get(place).copied());
        rows.push(Row {
            choices: choices(*config, &sizes)
                .ok_or_else(|| format!("entry {} of `config` is too large", place + 1))?,
            counters: match fate {
                Fate::Measured { .. } => figures.collect::<Option<_>>().unwrap_or_default(),
                _ => Vec::new(),
            },
            fate,
            cost_ms,
        });
    }
    Ok(Parts {
        name: document.id.unwrap_or_else(|| name.to_owned()),
        device: document.device.unwrap_or_default(),
        params: document
            .params
            .into_iter()
            .map(|param| Parameter {
                name: param.name,
                values: unified(param.values),
            })
            .collect(),
        restrictions: document.restrictions,
        exact: document.restrictions_exact,
        counters: counters.into_iter().map(|(name, _)| name).collect(),
        rows,
        origin: document.origin,
    })
}

/// The digits of a row-major index.
fn choices(config: u64, sizes: &[usize]) -> Option<Vec<u32>> {
    let mut left = config;
    let mut choices = Vec::with_capacity(sizes.len());
    for size in sizes.iter().rev() {
        let size = u64::try_from(*size).ok().filter(|size| *size > 0)?;
        choices.push(u32::try_from(left % size).ok()?);
        left /= size;
    }
    choices.reverse();
    (left == 0).then_some(choices)
}

fn failure(status: Option<u8>) -> Fate {
    match status {
        Some(1) => Fate::BuildFailed("the compilation failed when this was recorded".to_owned()),
        Some(2) => Fate::RunFailed("the kernel failed when this was recorded".to_owned()),
        Some(3) => Fate::Refused("it was invalid when this was recorded".to_owned()),
        _ => Fate::RunFailed("it failed when this was recorded".to_owned()),
    }
}

/// The extra columns that have a number for everything that ran.
fn counters(document: &Document) -> Vec<(String, Vec<f64>)> {
    let column = |name: &String| {
        let column = document.others.get(name)?.as_array()?;
        let ran = document.time.iter().map(Option::is_some);
        let numbers = column.iter().zip(ran).map(|(number, ran)| match ran {
            true => number.as_f64(),
            false => Some(number.as_f64().unwrap_or(f64::NAN)),
        });
        let numbers: Option<Vec<f64>> = numbers.collect();
        let numbers = numbers.filter(|numbers| numbers.len() == document.config.len())?;
        Some((name.clone(), numbers))
    };
    document.extra_columns.iter().filter_map(column).collect()
}
