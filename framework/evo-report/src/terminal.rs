//! The short table at the end of `evo run`.

use evo_types::OutcomeKind;

use crate::baselines::remarks;
use crate::confirmed::Row;
use crate::failures::counts_in_words;
use crate::format::{count, span};
use crate::grid::Grid;
use crate::headline::headline;
use crate::model::{RunModel, State};
use crate::text::{clip, plain};

/// The end of `evo run` on a terminal: what was compared with times, intervals and speedups, the
/// trials, and the verdict. Plain text of several lines; the last one ends with a line break.
pub fn final_table(model: &RunModel) -> String {
    let mut lines = vec![headline(model), String::new()];
    let table = align(&cells(model));
    if !table.is_empty() {
        lines.extend(table);
        lines.push(String::new());
    }
    let remarks = remarks(model);
    if !remarks.is_empty() {
        lines.extend(remarks.iter().map(|remark| plain(remark)));
        lines.push(String::new());
    }
    lines.push(counts_line(model));
    if let Some(target) = model.target() {
        lines.push(plain(&target.line()));
    }
    lines.extend(dead_line(model));
    lines.extend(state_line(model));
    if !model.warnings.is_empty() {
        let warnings = count(model.warnings.len() as u64, "warning");
        lines.push(format!("{warnings}: see the summary"));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The baselines, the default configurations, the best of each tuned candidate and the winner;
/// without a confirmation the baselines and the best of the search.
fn cells(model: &RunModel) -> Vec<Vec<String>> {
    let grid = Grid::of(model);
    let mut rows = vec![grid.head()];
    if let Some(table) = model.last_comparison() {
        let wanted = |row: &&Row| {
            let is = |place: usize| {
                table
                    .rows
                    .get(place)
                    .is_some_and(|it| std::ptr::eq(it, *row))
            };
            let best = table.best.iter().any(|best| is(best.row));
            row.baseline.is_some() || row.is_default || best || table.winner.is_some_and(is)
        };
        // The winner last, where the eye rests.
        let mut chosen: Vec<&Row> = table.rows.iter().filter(wanted).collect();
        chosen.sort_by_key(|row| {
            table
                .winner()
                .is_some_and(|winner| std::ptr::eq(winner, *row))
        });
        rows.extend(chosen.into_iter().map(|row| grid.row(table, row)));
    }
    if model.confirmation.is_none() {
        let best = model.best_of_search();
        rows.extend(best.map(|(trial, metric)| grid.trial(trial, metric)));
    }
    for cell in rows.iter_mut().flatten() {
        *cell = clip(cell, 40);
    }
    if rows.len() == 1 { Vec::new() } else { rows }
}

/// Columns padded to their widest cell.
fn align(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

/// `64 of 64 trials: 52 measured, 12 wrong result; 9 duplicates, 2 rejected besides; 2m 5s`.
pub(crate) fn counts_line(model: &RunModel) -> String {
    let used = &model.budget;
    let of = used
        .limits
        .trials
        .map(|limit| format!(" of {limit}"))
        .unwrap_or_default();
    let duplicates = match model.count(OutcomeKind::DuplicateOf) {
        0 => None,
        duplicates => Some(count(duplicates, "duplicate")),
    };
    let rejected = match model.count(OutcomeKind::Rejected) {
        0 => None,
        rejected => Some(format!("{rejected} rejected")),
    };
    let free: Vec<String> = duplicates.into_iter().chain(rejected).collect();
    let free = if free.is_empty() {
        String::new()
    } else {
        format!("; {} besides", free.join(", "))
    };
    format!(
        "{}{of} trials: {}{free}; {}",
        used.trials,
        counts_in_words(model),
        span(model.elapsed_s)
    )
}

/// `never changed the execution: PAD (7 pairs)`, for the parameters that turned out to be dead.
fn dead_line(model: &RunModel) -> Option<String> {
    let candidates = model.knobs();
    let dead: Vec<String> = candidates
        .iter()
        .flat_map(|candidate| candidate.knobs.dead())
        .map(|knob| format!("{} ({})", knob.name, count(knob.pairs as u64, "pair")))
        .collect();
    (!dead.is_empty()).then(|| plain(&format!("never changed the execution: {}", dead.join(", "))))
}

fn state_line(model: &RunModel) -> Option<String> {
    match &model.state {
        State::Finished { reason } => Some(format!("ended: {}", plain(reason))),
        State::Interrupted { by } => Some(format!(
            "interrupted by {}: `evo resume` goes on",
            plain(by)
        )),
        State::Unfinished => Some("not finished: `evo resume` goes on".to_owned()),
    }
}
