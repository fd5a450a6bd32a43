//! The tables on candidates: figures, parameters, errors.

use std::collections::BTreeSet;

use evo_types::Params;
use serde::Serialize;

use crate::confirmed::Table;
use crate::failures::reason;
use crate::format::{NONE, ratio_with_interval};
use crate::grid::Grid;
use crate::model::{RunModel, Trial};
use crate::text::clip;

/// The top-line tables.
#[derive(Serialize)]
pub(super) struct Result {
    /// Of what the first table is: `confirmation` or `baselines`.
    stage: &'static str,
    interleaved: bool,
    head: Vec<String>,
    rows: Vec<Line>,
    evicted: Vec<Evicted>,
    /// What has to be known of the baselines.
    baselines: Vec<String>,
    rivals: Vec<String>,
    by_kernel: Option<ByKernel>,
    /// The best by the figures of the search, where nothing is confirmed.
    search: Vec<Vec<String>>,
}

/// The best of each tuned candidate, where there are several.
#[derive(Serialize)]
struct ByKernel {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

#[derive(Serialize)]
struct Line {
    cells: Vec<String>,
    winner: bool,
}

#[derive(Serialize)]
struct Evicted {
    name: String,
    kind: &'static str,
    reason: String,
}

pub(super) fn result(model: &RunModel) -> Result {
    let grid = Grid::of(model);
    let table = model.last_comparison();
    Result {
        stage: if model.confirmation.is_some() {
            "confirmation"
        } else {
            "baselines"
        },
        interleaved: !model.is_objective(),
        head: grid.head(),
        rows: table
            .map(|table| lines(model, &grid, table))
            .unwrap_or_default(),
        evicted: table.map(|table| evicted(model, table)).unwrap_or_default(),
        baselines: crate::baselines::remarks(model),
        rivals: table.map(|table| rivals(model, table)).unwrap_or_default(),
        by_kernel: crate::by_kernel::table(model).map(|(head, rows)| ByKernel { head, rows }),
        search: match model.confirmation {
            Some(_) => Vec::new(),
            None => {
                let ranked = model.ranked_trials().into_iter().take(model.plan.top_k);
                ranked
                    .map(|(trial, metric)| grid.trial(trial, metric))
                    .collect()
            }
        },
    }
}

/// The baselines in their order, then the finalists that passed, best first.
fn lines(model: &RunModel, grid: &Grid<'_>, table: &Table) -> Vec<Line> {
    let baselines = table.rows.iter().filter(|row| row.baseline.is_some());
    let finalists = table.finalists(&model.metric);
    let passed = finalists.into_iter().filter(|row| row.figures.is_some());
    baselines
        .chain(passed)
        .map(|row| Line {
            cells: grid.row(table, row),
            winner: table
                .winner()
                .is_some_and(|winner| std::ptr::eq(winner, row)),
        })
        .collect()
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
                (None, _) => "too few rounds to tell",
                (Some(false), _) => "not distinguishable",
                (Some(true), true) => "the winner is better",
                (Some(true), false) => "the winner is worse",
            };
            let shown = ratio_with_interval(rival.estimate, rival.interval);
            Some(format!(
                "{}{default} — {shown}, {verdict}",
                row.name(&model.plan)
            ))
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
            let name = trial.name();
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

/// Every parameter that either configuration has.
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
                value.map_or_else(|| "inactive".to_owned(), ToString::to_string)
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

/// The error of the problem's own quantised inputs, where it quantises them: the greatest that a
/// candidate was told.
pub(super) fn quantisation(model: &RunModel) -> Option<String> {
    let table = model.last_comparison();
    let rows = table.map(|table| table.rows.as_slice()).unwrap_or_default();
    let compared = rows.iter().filter_map(|row| row.outcome.measurement());
    let trials = model.trials.iter().filter_map(|trial| trial.measurement());
    compared
        .chain(trials)
        .filter_map(|found| found.error.as_ref()?.quantisation)
        .reduce(f64::max)
        .map(small)
}

/// The candidates of the confirmation, or of the baselines and the best of the search.
pub(super) fn correctness(model: &RunModel) -> Vec<Correct> {
    let table = model.last_comparison();
    let rows = table.map(|table| table.rows.as_slice()).unwrap_or_default();
    let mut lines: Vec<Correct> = rows
        .iter()
        .filter_map(|row| correct(row.name(&model.plan), row.outcome.measurement()?))
        .collect();
    if model.confirmation.is_none()
        && let Some((trial, _)) = model.best_of_search()
        && let Some(found) = trial.measurement()
    {
        let name = trial.name();
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
