//! Candidates that were compared in interleaved rounds: figures, speedups, the winner.

use std::collections::BTreeSet;

use evo_journal::{ComparedItem, Comparison, Plan};
use evo_stats::Summary;
use evo_types::{Outcome, Params};

use crate::model::{DEFAULT_OPERATOR, RankedMetric, baseline_name, find_baseline};
use crate::ratio::{Ratio, Rival};

/// A comparison with its statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// When, in seconds since the Unix epoch.
    pub at: f64,
    /// The seed of its checks.
    pub seed: u64,
    /// The candidates, in the order of the comparison.
    pub rows: Vec<Row>,
    /// The row of the winner: of the candidates that the search found and that passed, the one
    /// with the best median. Ties go to the first.
    pub winner: Option<usize>,
    /// The winner against every other candidate that the search found and that passed.
    pub rivals: Vec<Rival>,
}

/// One candidate of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What reports call it.
    pub label: String,
    /// Which baseline of the plan it is, if it is one.
    pub baseline: Option<usize>,
    /// Whether it is the default configuration of its space.
    pub is_default: bool,
    /// The trial, for one that the search found.
    pub trial: Option<u64>,
    /// The kernel.
    pub kernel: String,
    /// All its parameters.
    pub params: Params,
    /// What became of it.
    pub outcome: Outcome,
    /// The figures of the ranked metric, where it was measured.
    pub figures: Option<Figures>,
    /// How many times better than each baseline of the plan it is.
    pub over: Vec<Option<Ratio>>,
}

/// The figures of one candidate, in the unit of the metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The median.
    pub p50: f64,
    /// The 95 % interval of the median.
    pub interval: Option<(f64, f64)>,
    /// What is known from the samples; absent where there are none.
    pub summary: Option<Summary>,
    /// The samples, one a round.
    pub samples: Vec<f64>,
    /// How many of them were taken in each process.
    pub processes: Vec<usize>,
}

impl Table {
    /// Works out the statistics of a comparison. `defaults` are the trials that are default
    /// configurations.
    pub(crate) fn of(
        comparison: &Comparison,
        plan: &Plan,
        metric: &RankedMetric,
        defaults: &BTreeSet<u64>,
    ) -> Self {
        let mut rows: Vec<Row> = comparison
            .items
            .iter()
            .map(|item| Row::of(item, &comparison.processes, plan, metric, defaults))
            .collect();
        let baselines: Vec<Option<Figures>> = (0..plan.baselines.len())
            .map(|position| {
                let row = rows.iter().find(|row| row.baseline == Some(position))?;
                row.figures.clone()
            })
            .collect();
        for row in &mut rows {
            row.over = baselines
                .iter()
                .map(|baseline| Ratio::of(row.figures.as_ref()?, baseline.as_ref()?, metric))
                .collect();
        }
        let winner = winner(&rows, metric);
        let rivals = winner
            .map(|place| Rival::all(&rows, place, metric))
            .unwrap_or_default();
        Self {
            at: comparison.at,
            seed: comparison.seed,
            rows,
            winner,
            rivals,
        }
    }

    /// The winner's row.
    pub fn winner(&self) -> Option<&Row> {
        self.rows.get(self.winner?)
    }

    /// The row of a baseline, by its position in the plan.
    pub fn baseline(&self, position: usize) -> Option<&Row> {
        self.rows.iter().find(|row| row.baseline == Some(position))
    }

    /// The candidates that the search found, best first; those that failed come last.
    pub fn finalists(&self, metric: &RankedMetric) -> Vec<&Row> {
        let mut finalists: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| row.baseline.is_none())
            .collect();
        let loss = |row: &Row| {
            row.figures.as_ref().map_or(f64::INFINITY, |figures| {
                if metric.higher {
                    -figures.p50
                } else {
                    figures.p50
                }
            })
        };
        finalists.sort_by(|left, right| loss(left).total_cmp(&loss(right)));
        finalists
    }

    /// The candidates that the search found and that failed the confirmation.
    pub fn evicted(&self) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(|row| row.baseline.is_none() && row.figures.is_none())
    }

    /// The comparison of the winner with the default configuration, where both passed.
    pub fn winner_against_default(&self) -> Option<&Rival> {
        self.rivals
            .iter()
            .find(|rival| self.rows.get(rival.row).is_some_and(|row| row.is_default))
    }
}

impl Row {
    fn of(
        item: &ComparedItem,
        processes: &[usize],
        plan: &Plan,
        metric: &RankedMetric,
        defaults: &BTreeSet<u64>,
    ) -> Self {
        let found_by_search = item.trial.is_some();
        let baseline = (!found_by_search)
            .then(|| find_baseline(plan, &item.label))
            .flatten();
        Self {
            label: item.label.clone(),
            baseline,
            is_default: item.trial.is_some_and(|trial| defaults.contains(&trial))
                || (baseline.is_none() && item.label == DEFAULT_OPERATOR),
            trial: item.trial,
            kernel: item.kernel.clone(),
            params: item.params.clone(),
            outcome: item.outcome.clone(),
            figures: Figures::of(&item.outcome, processes, metric),
            over: Vec::new(),
        }
    }

    /// The name by which reports call it: `A (math)`, or the label with its
    /// trial: `tiled #12`.
    pub fn name(&self, plan: &Plan) -> String {
        let planned = self
            .baseline
            .and_then(|place| Some((place, plan.baselines.get(place)?)));
        match (planned, self.trial) {
            (Some((place, planned)), _) => baseline_name(place, planned),
            (None, Some(trial)) if !self.label.ends_with(&format!("#{trial}")) => {
                format!("{} #{trial}", self.label)
            }
            _ => self.label.clone(),
        }
    }

    /// How many times better than a baseline of the plan it is.
    pub fn over(&self, baseline: usize) -> Option<&Ratio> {
        self.over.get(baseline)?.as_ref()
    }
}

impl Figures {
    fn of(outcome: &Outcome, processes: &[usize], metric: &RankedMetric) -> Option<Self> {
        let figure = metric.of(outcome.measurement()?)?;
        let summary = Summary::of(&figure.samples).ok();
        let stored = figure.ci_low.zip(figure.ci_high);
        let computed = || {
            summary
                .as_ref()?
                .median_ci
                .map(|interval| (interval.low, interval.high))
        };
        Some(Self {
            p50: figure.value,
            interval: stored.or_else(computed),
            summary,
            samples: figure.samples.clone(),
            processes: processes.to_vec(),
        })
    }
}

fn winner(rows: &[Row], metric: &RankedMetric) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, row) in rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.baseline.is_none())
    {
        let Some(figures) = &row.figures else {
            continue;
        };
        if best.is_none_or(|(_, value)| metric.better(figures.p50, value)) {
            best = Some((place, figures.p50));
        }
    }
    best.map(|(place, _)| place)
}
