//! Which of the tuned candidates is best, and by how much: one line for each, from the confirmation.

use evo_journal::PlannedCandidate;
use serde_json::{Value, json};

use crate::confirmed::{Best, Row, Table};
use crate::format::{NONE, ratio_with_interval};
use crate::grid::Grid;
use crate::json::{rival, speedups};
use crate::model::RunModel;
use crate::ratio::Rival;

/// The head and the rows of the table; `None` unless several candidates are tuned and confirmed.
pub(crate) fn table(model: &RunModel) -> Option<(Vec<String>, Vec<Vec<String>>)> {
    let table = model.confirmation.as_ref()?;
    if !model.has_several_candidates() || table.best.is_empty() {
        return None;
    }
    let grid = Grid::of(model);
    let mut head = ["kernel", "best"].map(str::to_owned).to_vec();
    head.push(format!("{}, median [95 % CI]", model.metric.name));
    head.extend(["over the winner", "verdict"].map(str::to_owned));
    head.extend(grid.references());
    head.push("over its own default".to_owned());
    let best = table.best.iter();
    let mut rows: Vec<Vec<String>> = best
        .filter_map(|best| cells(model, table, &grid, best))
        .collect();
    rows.extend(missing(model, table).map(|planned| {
        let mut cells = vec![planned.label.clone(), "nothing passed".to_owned()];
        cells.resize(head.len(), NONE.to_owned());
        cells
    }));
    Some((head, rows))
}

/// The candidates of which nothing passed.
fn missing<'a>(
    model: &'a RunModel,
    table: &'a Table,
) -> impl Iterator<Item = &'a PlannedCandidate> {
    let passed = |label: &String| table.best.iter().any(|best| best.candidate == *label);
    let candidates = model.plan.candidates.iter();
    candidates.filter(move |planned| !passed(&planned.label))
}

fn cells(model: &RunModel, table: &Table, grid: &Grid<'_>, best: &Best) -> Option<Vec<String>> {
    let row = table.rows.get(best.row)?;
    let against = table.rival(best.row).map(Rival::seen_from_the_other);
    let mut cells = vec![
        best.candidate.clone(),
        row.name(&model.plan),
        grid.figure(row),
        against.map_or_else(|| NONE.to_owned(), |(it, ci)| ratio_with_interval(it, ci)),
        verdict(table, best).to_owned(),
    ];
    cells.extend(grid.over(table, row));
    cells.push(over_default(row, best));
    Some(cells)
}

fn over_default(row: &Row, best: &Best) -> String {
    match &best.default {
        _ if row.is_default => "is the default".to_owned(),
        Some(default) => {
            let shown = ratio_with_interval(default.estimate, default.interval);
            let same = default.distinguishable == Some(false);
            let told = if same { ", not distinguishable" } else { "" };
            format!("{shown}{told}")
        }
        None => NONE.to_owned(),
    }
}

/// The best of a candidate against the winner.
fn verdict(table: &Table, best: &Best) -> &'static str {
    if table.winner == Some(best.row) {
        return "winner";
    }
    match table.rival(best.row) {
        Some(rival) => match (rival.distinguishable, rival.estimate > 1.0) {
            (None, _) => "too few rounds to tell",
            (Some(false), _) => "not distinguishable",
            (Some(true), true) => "slower",
            (Some(true), false) => "faster",
        },
        None => NONE,
    }
}

/// The same for scripts.
pub(crate) fn json(model: &RunModel) -> Vec<Value> {
    let Some(table) = &model.confirmation else {
        return Vec::new();
    };
    let entry = |best: &Best| {
        let row = table.rows.get(best.row)?;
        let figures = row.figures.as_ref()?;
        let against = table.rival(best.row);
        let over_winner = against.map(|against| {
            let (estimate, interval) = against.seen_from_the_other();
            json!({
                "estimate": estimate,
                "ci_low": interval.map(|interval| interval.0),
                "ci_high": interval.map(|interval| interval.1),
                "distinguishable": against.distinguishable,
            })
        });
        Some(json!({
            "candidate": best.candidate,
            "label": row.label,
            "trial": row.trial,
            "value": figures.p50,
            "ci_low": figures.interval.map(|interval| interval.0),
            "ci_high": figures.interval.map(|interval| interval.1),
            "speedup": speedups(model, row),
            "over_winner": over_winner,
            "over_default": best.default.as_ref().map(rival),
            "verdict": verdict(table, best),
        }))
    };
    table.best.iter().filter_map(entry).collect()
}
