//! The top-line table: one row a candidate, the same columns on a terminal and in the summary.

use evo_types::{Measurement, Metric};

use crate::confirmed::{Figures, Row, Table};
use crate::format::{NONE, Scale, number, ratio, ratio_with_interval};
use crate::limits::gflops;
use crate::model::{RunModel, Trial};

/// The metric of a host call from its arguments to its result, conversions included.
const END_TO_END: &str = "end_to_end_time";

/// Which columns there are.
pub(crate) struct Grid<'a> {
    model: &'a RunModel,
    end_to_end: bool,
    throughput: bool,
    /// The references that have a column, by their positions.
    columns: Vec<usize>,
}

impl<'a> Grid<'a> {
    /// The columns that a run has figures for.
    pub(crate) fn of(model: &'a RunModel) -> Self {
        let tables = model.confirmation.iter().chain(&model.baselines);
        let compared = tables
            .flat_map(|table| &table.rows)
            .filter_map(|row| row.outcome.measurement());
        let searched = model.trials.iter().filter_map(Trial::measurement);
        let end_to_end = compared
            .chain(searched)
            .any(|found| end_to_end(found).is_some());
        Self {
            model,
            end_to_end: end_to_end && model.metric.name != END_TO_END,
            throughput: gflops(model, 1.0).is_some(),
            columns: columns(model),
        }
    }

    /// The names of the columns.
    pub(crate) fn head(&self) -> Vec<String> {
        let mut head = vec![
            "candidate".to_owned(),
            String::new(),
            format!("{}, median [95 % CI]", self.model.metric.name),
        ];
        if self.end_to_end {
            head.push("end to end".to_owned());
        }
        if self.throughput {
            head.push("GFLOP/s".to_owned());
        }
        head.extend(self.references());
        head
    }

    /// The names of the columns with ratios: `over A`.
    pub(crate) fn references(&self) -> Vec<String> {
        let columns = self.columns.iter();
        let shown = columns.filter_map(|place| self.model.references.get(*place));
        shown
            .map(|reference| format!("over {}", reference.name))
            .collect()
    }

    /// The cells of a candidate of a comparison.
    pub(crate) fn row(&self, table: &Table, row: &Row) -> Vec<String> {
        let mut cells = vec![
            row.name(&self.model.plan),
            self.role(table, row),
            self.figure(row),
        ];
        cells.extend(self.extra(
            row.figures.as_ref().map(|figures| figures.p50),
            row.outcome.measurement(),
        ));
        cells.extend(self.over(table, row));
        cells
    }

    /// The cells of a trial by the figures of the search.
    pub(crate) fn trial(&self, trial: &Trial, metric: &Metric) -> Vec<String> {
        let scale = Scale::of(metric.value, &metric.unit);
        let interval = metric.ci_low.zip(metric.ci_high);
        let mut cells = vec![
            trial.name(),
            "search".to_owned(),
            scale.with_interval(metric.value, interval),
        ];
        cells.extend(self.extra(Some(metric.value), trial.measurement()));
        cells.extend(self.columns.iter().map(|place| {
            let speedup = self.model.search_speedup(metric.value, *place);
            speedup.map_or_else(
                || NONE.to_owned(),
                |speedup| format!("about {}", ratio(speedup)),
            )
        }));
        cells
    }

    /// How many times better than each reference a candidate is.
    pub(crate) fn over(&self, table: &Table, row: &Row) -> Vec<String> {
        let shown = |place: &usize| match row.over(*place) {
            Some(speedup)
                if row.baseline.is_some() && row.baseline == table.standing_for(*place) =>
            {
                ratio(speedup.estimate)
            }
            Some(speedup) => ratio_with_interval(speedup.estimate, speedup.interval),
            None => NONE.to_owned(),
        };
        self.columns.iter().map(shown).collect()
    }

    /// What a candidate is in a comparison: `winner`, `baseline, best of B`.
    fn role(&self, table: &Table, row: &Row) -> String {
        let is = |place: usize| {
            table
                .rows
                .get(place)
                .is_some_and(|it| std::ptr::eq(it, row))
        };
        let mut words: Vec<String> = Vec::new();
        if table.winner.is_some_and(is) {
            words.push("winner".to_owned());
        }
        if row.is_default {
            words.push("default".to_owned());
        }
        if let Some(position) = row.baseline {
            words.push("baseline".to_owned());
            let group = self
                .model
                .plan
                .baselines
                .get(position)
                .and_then(|it| it.group());
            let standing = table.standing.contains(&Some(position));
            words.extend(
                group
                    .filter(|_| standing)
                    .map(|group| format!("best of {group}")),
            );
        } else if self.model.has_several_candidates() {
            let best = table.best.iter().find(|best| is(best.row));
            let best = best.filter(|best| table.winner != Some(best.row));
            words.extend(best.map(|best| format!("best of {}", best.candidate)));
        }
        if words.is_empty() {
            words.push("finalist".to_owned());
        }
        words.join(", ")
    }

    /// The median of a candidate, or what became of it.
    pub(crate) fn figure(&self, row: &Row) -> String {
        match &row.figures {
            Some(figures) => shown(figures, &self.model.metric.unit),
            None => row.outcome.kind().words().to_owned(),
        }
    }

    /// End-to-end time and throughput, where the run has them.
    fn extra(&self, value: Option<f64>, found: Option<&Measurement>) -> Vec<String> {
        let mut cells = Vec::new();
        if self.end_to_end {
            let metric = found.and_then(end_to_end);
            cells.push(metric.map_or_else(
                || NONE.to_owned(),
                |metric| Scale::of(metric.value, &metric.unit).quantity(metric.value),
            ));
        }
        if self.throughput {
            let rate = value.and_then(|value| gflops(self.model, value));
            cells.push(rate.map_or_else(|| NONE.to_owned(), number));
        }
        cells
    }
}

fn end_to_end(found: &Measurement) -> Option<&Metric> {
    found
        .metric(END_TO_END)
        .filter(|metric| metric.value.is_finite())
}

/// The references of which the last comparison has a figure; all, as long as there is none.
fn columns(model: &RunModel) -> Vec<usize> {
    let table = model.last_comparison();
    (0..model.references.len())
        .filter(|place| table.is_none_or(|table| table.standing_for(*place).is_some()))
        .collect()
}

/// The median with its interval.
pub(crate) fn shown(figures: &Figures, unit: &str) -> String {
    Scale::of(figures.p50, unit).with_interval(figures.p50, figures.interval)
}
