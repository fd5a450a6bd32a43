//! `tune_log.csv`: one row for each proposal.

use std::collections::BTreeSet;

use evo_stats::quantile;
use evo_types::{ErrorFigures, Measurement, Metric, Outcome};

use crate::ReportError;
use crate::failures::reason;
use crate::model::{RunModel, Trial};
use crate::text::{cell, clip};

const FILE: &str = "tune_log.csv";

/// The longest reason in a cell; the journal has all of it.
const REASON_LIMIT: usize = 300;

/// The file's content. Figures are written in full precision and in the units that the columns
/// name; speedups are by the figures of the search. Every cell is safe to open in a spreadsheet.
pub(crate) fn tune_log(model: &RunModel) -> Result<Vec<u8>, ReportError> {
    let columns = Columns::of(model);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| ReportError::format(FILE, error);
    writer
        .write_record(columns.head(model).iter().map(|name| cell(name)))
        .map_err(failed)?;
    for trial in &model.trials {
        let row = columns.row(model, trial);
        writer
            .write_record(row.iter().map(|text| cell(text)))
            .map_err(failed)?;
    }
    writer
        .into_inner()
        .map_err(|error| ReportError::format(FILE, error))
}

/// The columns that depend on the run.
struct Columns {
    /// Metrics besides the ranked one, with their units.
    metrics: BTreeSet<(String, String)>,
    params: BTreeSet<String>,
    /// Whether the problem quantises its inputs.
    quantised: bool,
}

impl Columns {
    fn of(model: &RunModel) -> Self {
        let metrics = model
            .trials
            .iter()
            .filter_map(Trial::measurement)
            .flat_map(|measurement| &measurement.metrics)
            .filter(|metric| metric.name != model.metric.name)
            .map(|metric| (metric.name.clone(), metric.unit.clone()))
            .collect();
        let params = model
            .trials
            .iter()
            .flat_map(|trial| trial.proposed.params.keys().cloned())
            .collect();
        let quantised = model
            .trials
            .iter()
            .any(|trial| quantisation(trial.outcome()).is_some());
        Self {
            metrics,
            params,
            quantised,
        }
    }

    fn head(&self, model: &RunModel) -> Vec<String> {
        let ranked = column(&model.metric.name, &model.metric.unit);
        let mut head: Vec<String> = ["trial", "attempt", "candidate", "operator", "parents"]
            .into_iter()
            .chain(["outcome", "reason"])
            .map(str::to_owned)
            .collect();
        let figures = ["p50", "ci_low", "ci_high", "p90"];
        head.extend(figures.iter().map(|figure| format!("{ranked}_{figure}")));
        head.extend(["n", "converged", "raced_out"].map(str::to_owned));
        head.extend(self.metrics.iter().map(|(name, unit)| column(name, unit)));
        let references = model.references.iter();
        head.extend(references.map(|reference| format!("speedup_{}", reference.name)));
        let errors = [
            "error_relative",
            "error_worst_row",
            "error_max_abs",
            "error_cosine",
        ];
        head.extend(errors.map(str::to_owned));
        head.extend(["error_bias", "error_gate", "checks"].map(str::to_owned));
        if self.quantised {
            head.push("error_of_quantisation".to_owned());
        }
        head.extend(["wall_s", "device_s", "elapsed_s", "device", "insights"].map(str::to_owned));
        head.extend(self.params.iter().map(|name| format!("param.{name}")));
        head
    }

    fn row(&self, model: &RunModel, trial: &Trial) -> Vec<String> {
        let proposed = &trial.proposed;
        let parents: Vec<String> = proposed.parents.iter().map(u64::to_string).collect();
        let measurement = trial.measurement();
        let mut row = vec![
            proposed.trial.to_string(),
            trial.attempts().to_string(),
            proposed.candidate.clone(),
            proposed.operator.clone(),
            parents.join(" "),
            trial
                .outcome()
                .map_or("pending", |outcome| outcome.kind().words())
                .to_owned(),
            trial.outcome().map(why).unwrap_or_default(),
        ];
        let ranked = measurement.and_then(|found| model.metric.of(found));
        row.extend(ranked_cells(measurement, ranked));
        row.extend(self.metrics.iter().map(|(name, unit)| {
            let found = measurement.and_then(|found| {
                found
                    .metrics
                    .iter()
                    .find(|metric| metric.name == *name && metric.unit == *unit)
            });
            figure(found.map(|metric| metric.value))
        }));
        row.extend((0..model.references.len()).map(|place| {
            figure(ranked.and_then(|metric| model.search_speedup(metric.value, place)))
        }));
        row.extend(error_cells(trial.outcome()));
        if self.quantised {
            row.push(figure(quantisation(trial.outcome())));
        }
        let evaluated = trial.evaluated.as_ref();
        row.push(figure(evaluated.map(|evaluated| evaluated.wall_s)));
        row.push(figure(evaluated.map(|evaluated| evaluated.device_s)));
        row.push(figure(evaluated.map(|evaluated| evaluated.elapsed_s)));
        row.push(
            evaluated
                .map(|evaluated| evaluated.device.clone())
                .unwrap_or_default(),
        );
        row.push(proposed.insights.join("; "));
        row.extend(self.params.iter().map(|name| {
            proposed
                .params
                .get(name)
                .map(ToString::to_string)
                .unwrap_or_default()
        }));
        row
    }
}

fn why(outcome: &Outcome) -> String {
    clip(&reason(outcome), REASON_LIMIT)
}

/// A column's name from a metric's name and unit: `kernel_time_us`, `dram_GB_per_s`.
fn column(name: &str, unit: &str) -> String {
    let unit = unit
        .replace('/', "_per_")
        .replace('%', "percent")
        .replace(' ', "_");
    if unit.is_empty() {
        name.to_owned()
    } else {
        format!("{name}_{unit}")
    }
}

fn ranked_cells(measurement: Option<&Measurement>, ranked: Option<&Metric>) -> [String; 7] {
    let flag = |flag: fn(&Measurement) -> bool| {
        measurement
            .map(|found| flag(found).to_string())
            .unwrap_or_default()
    };
    [
        figure(ranked.map(|metric| metric.value)),
        figure(ranked.and_then(|metric| metric.ci_low)),
        figure(ranked.and_then(|metric| metric.ci_high)),
        figure(ranked.and_then(|metric| quantile(&metric.samples, 0.9))),
        ranked
            .map(|metric| metric.samples.len().to_string())
            .unwrap_or_default(),
        flag(|found| found.converged),
        flag(|found| found.raced_out),
    ]
}

/// The error figures, also those of a wrong result.
fn error_of(outcome: Option<&Outcome>) -> Option<&ErrorFigures> {
    match outcome {
        Some(Outcome::Measured(found)) => found.error.as_ref(),
        Some(Outcome::WrongResult(wrong)) => wrong.error.as_ref(),
        _ => None,
    }
}

/// The error of the problem's own quantised inputs.
fn quantisation(outcome: Option<&Outcome>) -> Option<f64> {
    error_of(outcome)?.quantisation
}

fn error_cells(outcome: Option<&Outcome>) -> Vec<String> {
    let error = error_of(outcome);
    let columns: [fn(&ErrorFigures) -> f64; 6] = [
        |error| error.relative,
        |error| error.worst_row,
        |error| error.max_abs,
        |error| error.cosine,
        |error| error.bias,
        |error| error.gate,
    ];
    let mut cells: Vec<String> = columns
        .iter()
        .map(|column| figure(error.map(column)))
        .collect();
    cells.push(
        error
            .map(|error| error.checks.to_string())
            .unwrap_or_default(),
    );
    cells
}

/// A figure that reads back as the same double; empty where there is none.
fn figure(value: Option<f64>) -> String {
    value
        .filter(|value| value.is_finite())
        .map(|value| value.to_string())
        .unwrap_or_default()
}
