//! The tables on candidates: figures, parameters, errors.

use std::collections::BTreeSet;

use evo_types::Params;
use serde::Serialize;

use crate::confirmed::{Row, Table};
use crate::failures::reason;
use crate::format::{NONE, Scale, number, ratio, ratio_with_interval};
use crate::model::{RunModel, Trial, baseline_name};
use crate::terminal::{figure, has_throughput, over, throughput_of};
use crate::text::clip;

/// The top-line table.
#[derive(Serialize)]
pub(super) struct Result {
    /// Whether it is of the confirmation, of the baselines alone, or empty.
    stage: &'static str,
    metric: String,
    throughput: bool,
    baselines: Vec<String>,
    rows: Vec<Line>,
    evicted: Vec<Evicted>,
    rivals: Vec<String>,
    /// The best by the figures of the search, where nothing is confirmed.
    search: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    note: String,
    figure: String,
    throughput: String,
    over: Vec<String>,
    winner: bool,
}

#[derive(Serialize)]
struct Evicted {
    name: String,
    kind: &'static str,
    reason: String,
}

pub(super) fn result(model: &RunModel) -> Result {
    let (stage, table) = match (&model.confirmation, &model.baselines) {
        (Some(table), _) => ("confirmation", Some(table)),
        (None, Some(table)) => ("baselines", Some(table)),
        (None, None) => ("none", None),
    };
    let baselines = model.plan.baselines.iter().enumerate();
    Result {
        stage,
        metric: model.metric.name.clone(),
        throughput: has_throughput(model),
        baselines: baselines
            .map(|(place, planned)| baseline_name(place, planned))
            .collect(),
        rows: table.map(|table| lines(model, table)).unwrap_or_default(),
        evicted: table.map(|table| evicted(model, table)).unwrap_or_default(),
        rivals: table.map(|table| rivals(model, table)).unwrap_or_default(),
        search: if model.confirmation.is_none() {
            best_of_search(model)
        } else {
            Vec::new()
        },
    }
}

/// The baselines in their order, then the finalists, best first.
fn lines(model: &RunModel, table: &Table) -> Vec<Line> {
    let baselines = table.rows.iter().filter(|row| row.baseline.is_some());
    let finalists = table.finalists(&model.metric);
    let passed = finalists.into_iter().filter(|row| row.figures.is_some());
    baselines
        .chain(passed)
        .map(|row| line(model, table, row))
        .collect()
}

fn line(model: &RunModel, table: &Table, row: &Row) -> Line {
    let winner = table
        .winner()
        .is_some_and(|winner| std::ptr::eq(winner, row));
    let mut notes = Vec::new();
    if winner {
        notes.push("winner");
    }
    if row.is_default {
        notes.push("default");
    }
    Line {
        name: row.name(&model.plan),
        note: notes.join(", "),
        figure: figure(model, row),
        throughput: throughput_of(model, row),
        over: (0..model.plan.baselines.len())
            .map(|place| over(row, place))
            .collect(),
        winner,
    }
}

fn evicted(model: &RunModel, table: &Table) -> Vec<Evicted> {
    table
        .evicted()
        .map(|row| Evicted {
            name: row.name(&model.plan),
            kind: row.outcome.kind().words(),
            reason: clip(&reason(&row.outcome), 300),
        })
        .collect()
}

/// The winner against each other finalist, and whether they are told apart.
fn rivals(model: &RunModel, table: &Table) -> Vec<String> {
    table
        .rivals
        .iter()
        .filter_map(|rival| {
            let row = table.rows.get(rival.row)?;
            let default = if row.is_default {
                ", the default configuration"
            } else {
                ""
            };
            let verdict = match (rival.distinguishable, rival.estimate > 1.0) {
                (false, _) => "not distinguishable",
                (true, true) => "the winner is better",
                (true, false) => "the winner is worse",
            };
            let shown = ratio_with_interval(rival.estimate, Some(rival.interval));
            Some(format!(
                "{}{default} — {shown}, {verdict}",
                row.name(&model.plan)
            ))
        })
        .collect()
}

fn best_of_search(model: &RunModel) -> Vec<Line> {
    let ranked = model.ranked_trials().into_iter().take(model.plan.top_k);
    ranked
        .map(|(trial, metric)| {
            let scale = Scale::of(metric.value, &model.metric.unit);
            let speedup = |place| {
                let speedup = model.search_speedup(metric.value, place);
                speedup.map_or_else(
                    || NONE.to_owned(),
                    |speedup| format!("about {}", ratio(speedup)),
                )
            };
            let throughput = crate::limits::gflops(model, metric.value);
            Line {
                name: format!("{}, trial {}", trial.proposed.candidate, trial.number()),
                note: "search".to_owned(),
                figure: scale.with_interval(metric.value, metric.ci_low.zip(metric.ci_high)),
                throughput: throughput.map_or_else(|| NONE.to_owned(), number),
                over: (0..model.plan.baselines.len()).map(speedup).collect(),
                winner: false,
            }
        })
        .collect()
}

/// The winning parameters beside the default ones.
#[derive(Serialize)]
pub(super) struct Winning {
    name: String,
    confirmed: bool,
    has_default: bool,
    params: Vec<Param>,
    changed: usize,
}

#[derive(Serialize)]
struct Param {
    name: String,
    default: String,
    winner: String,
    changed: bool,
}

pub(super) fn winning(model: &RunModel) -> Option<Winning> {
    let confirmed = model.confirmation.as_ref().and_then(Table::winner);
    let (name, params, trial) = match confirmed {
        Some(row) => (
            row.name(&model.plan),
            &row.params,
            row.trial.and_then(|number| model.trial(number)),
        ),
        None => {
            let (trial, _) = model.best_of_search()?;
            let name = format!("{}, trial {}", trial.proposed.candidate, trial.number());
            (name, &trial.proposed.params, Some(trial))
        }
    };
    let default = trial
        .and_then(|trial| model.default_trial(&trial.proposed.candidate))
        .map(|default: &Trial| &default.proposed.params);
    let params = beside(params, default);
    Some(Winning {
        name,
        confirmed: confirmed.is_some(),
        has_default: default.is_some(),
        changed: params.iter().filter(|param| param.changed).count(),
        params,
    })
}

/// Every parameter that either configuration has. An inactive one shows as a dash.
fn beside(winner: &Params, default: Option<&Params>) -> Vec<Param> {
    let names: BTreeSet<&String> = winner
        .keys()
        .chain(default.into_iter().flatten().map(|(name, _)| name))
        .collect();
    names
        .into_iter()
        .map(|name| {
            let (ours, theirs) = (
                winner.get(name),
                default.and_then(|params| params.get(name)),
            );
            let word = |value: Option<&evo_types::Value>| {
                value.map_or_else(|| NONE.to_owned(), ToString::to_string)
            };
            Param {
                name: name.clone(),
                default: word(theirs),
                winner: word(ours),
                changed: default.is_some() && ours != theirs,
            }
        })
        .collect()
}

/// The errors of a candidate against its gate.
#[derive(Serialize)]
pub(super) struct Correct {
    name: String,
    relative: String,
    gate: String,
    share: String,
    worst_row: String,
    max_abs: String,
    cosine: String,
    bias: String,
    checks: u32,
    recheck_seed: String,
}

/// The candidates of the confirmation, or of the baselines and the best of the search.
pub(super) fn correctness(model: &RunModel) -> Vec<Correct> {
    let table = model.confirmation.as_ref().or(model.baselines.as_ref());
    let rows = table.map(|table| table.rows.as_slice()).unwrap_or_default();
    let mut lines: Vec<Correct> = rows
        .iter()
        .filter_map(|row| correct(row.name(&model.plan), row.outcome.measurement()?))
        .collect();
    if model.confirmation.is_none()
        && let Some((trial, _)) = model.best_of_search()
        && let Some(found) = trial.measurement()
    {
        let name = format!("{}, trial {}", trial.proposed.candidate, trial.number());
        lines.extend(correct(name, found));
    }
    lines
}

fn correct(name: String, found: &evo_types::Measurement) -> Option<Correct> {
    let error = found.error.as_ref()?;
    Some(Correct {
        name,
        relative: small(error.relative),
        gate: small(error.gate),
        share: format!("{:.0} %", 100.0 * error.relative / error.gate),
        worst_row: small(error.worst_row),
        max_abs: small(error.max_abs),
        cosine: format!("{:.7}", error.cosine),
        bias: small(error.bias),
        checks: error.checks,
        recheck_seed: found
            .recheck_seed
            .map_or_else(|| NONE.to_owned(), |seed| seed.to_string()),
    })
}

/// An error figure: two significant digits.
fn small(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:.1e}")
    }
}
