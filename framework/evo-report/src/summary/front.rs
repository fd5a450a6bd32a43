//! The Pareto front of a run that ranks by several metrics.

use evo_types::Measurement;
use serde::Serialize;

use crate::format::Scale;
use crate::model::RunModel;

/// The section on the front.
#[derive(Serialize)]
pub(super) struct Section {
    metrics: Vec<String>,
    rows: Vec<Row>,
    /// Measured trials that are not in it.
    beaten: usize,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// What the search has measured.
    searched: Vec<String>,
    /// What the confirmation has; empty where it was not confirmed.
    confirmed: String,
}

#[derive(serde::Deserialize)]
struct Ranked {
    name: String,
    higher: bool,
}

/// `None` where the run ranks by one metric, or nothing was measured.
pub(super) fn section(model: &RunModel) -> Option<Section> {
    let ranked = model.plan.engine.pointer("/ranking/front/metrics")?;
    let ranked: Vec<Ranked> = serde_json::from_value(ranked.clone()).ok()?;
    let figures = |measurement: &Measurement| -> Option<Vec<f64>> {
        let values = ranked.iter();
        values
            .map(|it| {
                let value = measurement.metric(&it.name)?.value;
                Some(if it.higher { -value } else { value })
            })
            .collect()
    };
    let shown = |measurement: &Measurement| -> Vec<String> {
        let metrics = ranked.iter().filter_map(|it| measurement.metric(&it.name));
        metrics
            .map(|metric| Scale::of(metric.value, &metric.unit).quantity(metric.value))
            .collect()
    };
    let measured = model.trials.iter().filter_map(|trial| {
        let measurement = trial.measurement()?;
        Some((trial, measurement, figures(measurement)?))
    });
    let (mut trials, mut points) = (Vec::new(), Vec::new());
    for (trial, measurement, point) in measured {
        trials.push((trial, measurement));
        points.push(point);
    }
    let places = evo_stats::front(&points);
    if places.is_empty() {
        return None;
    }
    let confirmed = |number: u64| -> String {
        let table = model.confirmation.as_ref();
        let mut rows = table.into_iter().flat_map(|table| &table.rows);
        let row = rows.find(|row| row.trial == Some(number));
        let measurement = row.and_then(|row| row.outcome.measurement());
        measurement.map_or_else(String::new, |measurement| shown(measurement).join(", "))
    };
    let rows = places.iter().filter_map(|place| {
        let (trial, measurement) = trials.get(*place)?;
        Some(Row {
            name: trial.name(),
            searched: shown(measurement),
            confirmed: confirmed(trial.number()),
        })
    });
    Some(Section {
        rows: rows.collect(),
        beaten: trials.len() - places.len(),
        metrics: ranked.into_iter().map(|it| it.name).collect(),
    })
}
