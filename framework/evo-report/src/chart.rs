//! A small chart in text: the best figure so far over the trials.

use crate::format::Scale;
use crate::model::RunModel;

const WIDTH: usize = 60;
const HEIGHT: usize = 8;

/// The chart, or `None` where fewer than two trials improved on each other. The vertical scale is
/// logarithmic where all figures are above zero, because speedups are ratios.
pub(crate) fn chart(model: &RunModel) -> Option<String> {
    let steps = &model.improvements;
    let (first, last) = (steps.first()?, steps.last()?);
    if steps.len() < 2 || first.value == last.value {
        return None;
    }
    let logarithmic = steps.iter().all(|step| step.value > 0.0);
    let height = |value: f64| if logarithmic { value.ln() } else { value };
    let (worst, best) = (height(first.value), height(last.value));
    let trials = model.budget.trials.max(last.counted);
    let mut rows = vec![vec![' '; WIDTH]; HEIGHT];
    let mut seen = None;
    for column in 0..WIDTH {
        let trial = counted_at(column, trials);
        let Some(step) = steps.iter().rev().find(|step| step.counted <= trial) else {
            continue;
        };
        let part = (height(step.value) - worst) / (best - worst);
        let level = (part * (HEIGHT - 1) as f64).round() as usize;
        // For times the curve falls, for throughput it rises.
        let row = if model.metric.higher {
            HEIGHT - 1 - level.min(HEIGHT - 1)
        } else {
            level
        };
        let from: usize = seen.unwrap_or(row);
        for cell in rows.iter_mut().take(row.max(from) + 1).skip(row.min(from)) {
            if let Some(cell) = cell.get_mut(column) {
                *cell = '*';
            }
        }
        seen = Some(row);
    }
    Some(with_axes(model, &rows, first.value, last.value, trials))
}

/// How many trials had counted at a column.
fn counted_at(column: usize, trials: u64) -> u64 {
    let share = (column + 1) as f64 / WIDTH as f64;
    (share * trials as f64).ceil() as u64
}

fn with_axes(model: &RunModel, rows: &[Vec<char>], first: f64, last: f64, trials: u64) -> String {
    let scale = Scale::of(first, &model.metric.unit);
    let (top, bottom) = if model.metric.higher {
        (last, first)
    } else {
        (first, last)
    };
    let (top, bottom) = (scale.quantity(top), scale.quantity(bottom));
    let margin = top.chars().count().max(bottom.chars().count());
    let mut lines = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let label = match place {
            0 => top.as_str(),
            _ if place + 1 == rows.len() => bottom.as_str(),
            _ => "",
        };
        let row: String = row.iter().collect();
        lines.push(
            format!("{label:>margin$} |{}", row.trim_end())
                .trim_end()
                .to_owned(),
        );
    }
    let axis = "-".repeat(WIDTH);
    lines.push(format!("{:margin$} +{axis}", ""));
    let end = format!("{trials} trials");
    lines.push(format!("{:margin$}  1{end:>width$}", "", width = WIDTH - 1));
    lines.join("\n")
}
