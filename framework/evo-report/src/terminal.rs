//! The short table at the end of `evo run`.

use std::path::Path;

use evo_types::OutcomeKind;

use crate::confirmed::{Row, Table};
use crate::failures::counts_in_words;
use crate::format::{NONE, Scale, count, number, ratio, ratio_with_interval, seconds_per, span};
use crate::headline::headline;
use crate::limits::gflops;
use crate::model::{RunModel, State, baseline_letter};
use crate::text::{clip, plain};

/// The end of `evo run` on a terminal: what was compared with times, intervals and speedups, the
/// trials, the verdict, and where the summary is. Plain text of several lines.
pub fn final_table(model: &RunModel, folder: &Path) -> String {
    let mut lines = vec![headline(model), String::new()];
    let table = align(&cells(model));
    if !table.is_empty() {
        lines.extend(table);
        lines.push(String::new());
    }
    lines.push(counts_line(model));
    if let Some(target) = model.target() {
        lines.push(plain(&target.line()));
    }
    lines.extend(state_line(model));
    if !model.warnings.is_empty() {
        let warnings = count(model.warnings.len() as u64, "warning");
        lines.push(format!("{warnings}: see the summary"));
    }
    lines.push(format!(
        "summary: {}",
        folder.join("reports").join("summary.md").display()
    ));
    lines.push(String::new());
    lines.join("\n")
}

fn cells(model: &RunModel) -> Vec<Vec<String>> {
    let Some(table) = model.confirmation.as_ref().or(model.baselines.as_ref()) else {
        return Vec::new();
    };
    let throughput = has_throughput(model);
    let mut head = vec![
        String::new(),
        "candidate".to_owned(),
        format!("{} [95 % CI]", model.metric.name),
    ];
    if throughput {
        head.push("GFLOP/s".to_owned());
    }
    let baselines = 0..model.plan.baselines.len();
    head.extend(baselines.map(|place| format!("over {}", baseline_letter(place))));
    let mut rows = vec![head];
    for (role, row) in shown(table) {
        let mut cells = vec![
            role.to_owned(),
            clip(&row.name(&model.plan), 32),
            figure(model, row),
        ];
        if throughput {
            cells.push(throughput_of(model, row));
        }
        cells.extend((0..model.plan.baselines.len()).map(|place| over(row, place)));
        rows.push(cells);
    }
    rows
}

/// The rows of the short table with their roles.
fn shown(table: &Table) -> Vec<(&'static str, &Row)> {
    let mut rows: Vec<(&str, &Row)> = table
        .rows
        .iter()
        .filter(|row| row.baseline.is_some())
        .map(|row| ("baseline", row))
        .collect();
    let winner = table.winner();
    let default = table.rows.iter().find(|row| row.is_default);
    if winner.is_none_or(|winner| !winner.is_default) {
        rows.extend(default.map(|row| ("default", row)));
    }
    rows.extend(winner.map(|row| ("winner", row)));
    rows
}

/// Whether figures can be turned into GFLOP/s.
pub(crate) fn has_throughput(model: &RunModel) -> bool {
    seconds_per(&model.metric.unit).is_some() && gflops(model, 1.0).is_some()
}

/// A candidate's throughput.
pub(crate) fn throughput_of(model: &RunModel, row: &Row) -> String {
    let figures = row.figures.as_ref();
    figures
        .and_then(|figures| gflops(model, figures.p50))
        .map_or_else(|| NONE.to_owned(), number)
}

/// A candidate's figure with its interval, or what became of it.
pub(crate) fn figure(model: &RunModel, row: &Row) -> String {
    match &row.figures {
        Some(figures) => {
            Scale::of(figures.p50, &model.metric.unit).with_interval(figures.p50, figures.interval)
        }
        None => row.outcome.kind().words().to_owned(),
    }
}

/// A candidate's speedup over a baseline.
pub(crate) fn over(row: &Row, baseline: usize) -> String {
    match row.over(baseline) {
        Some(speedup) if row.baseline == Some(baseline) => ratio(speedup.estimate),
        Some(speedup) => ratio_with_interval(speedup.estimate, speedup.interval),
        None => NONE.to_owned(),
    }
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

/// `64 of 64 trials: 52 measured, 12 wrong result; 9 duplicates; 2m 5s`.
pub(crate) fn counts_line(model: &RunModel) -> String {
    let used = &model.budget;
    let of = used
        .limits
        .trials
        .map(|limit| format!(" of {limit}"))
        .unwrap_or_default();
    let duplicates = match model.count(OutcomeKind::DuplicateOf) {
        0 => String::new(),
        duplicates => format!("; {} besides", count(duplicates, "duplicate")),
    };
    format!(
        "{}{of} trials: {}{duplicates}; {}",
        used.trials,
        counts_in_words(model),
        span(model.elapsed_s)
    )
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
