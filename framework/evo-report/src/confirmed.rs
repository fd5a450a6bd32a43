//! Candidates that were compared in interleaved rounds: figures, speedups, the winner.

use evo_journal::{ComparedItem, Comparison, Plan, Reference};
use evo_stats::Summary;
use evo_types::{Outcome, Params};

use crate::model::{
    DEFAULT_OPERATOR, RankedMetric, Trial, baseline_name, find_baseline, is_default,
};
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
    /// The baseline that stands for each reference of the run, by its position in the plan: the one
    /// baseline, or the member of the group with the best median. Absent where none was measured.
    pub standing: Vec<Option<usize>>,
    /// The best of each tuned candidate of which anything passed, best first.
    pub best: Vec<Best>,
}

/// The best configuration of one tuned candidate in a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// The candidate's label.
    pub candidate: String,
    /// Its row.
    pub row: usize,
    /// It against the default configuration of its own candidate, where that passed and is another
    /// one.
    pub default: Option<Rival>,
}

/// One candidate of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What reports call it.
    pub label: String,
    /// Which baseline of the plan it is, if it is one.
    pub baseline: Option<usize>,
    /// The tuned candidate whose configuration it is, by its label.
    pub candidate: Option<String>,
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
    /// How many times better than each reference of the run it is.
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
    /// Works out the statistics of a comparison.
    pub(crate) fn of(
        comparison: &Comparison,
        plan: &Plan,
        references: &[Reference],
        metric: &RankedMetric,
        trials: &[Trial],
    ) -> Self {
        let mut rows: Vec<Row> = comparison
            .items
            .iter()
            .map(|item| Row::of(item, &comparison.processes, plan, metric, trials))
            .collect();
        let standing: Vec<Option<usize>> = references
            .iter()
            .map(|reference| best_baseline(&rows, &reference.members, metric))
            .collect();
        let baselines: Vec<Option<Figures>> = standing
            .iter()
            .map(|position| {
                let position = (*position)?;
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
        let found = |row: &Row| row.baseline.is_none();
        let winner = best_row(&rows, metric, found);
        let rivals = winner
            .map(|place| Rival::all(&rows, place, metric))
            .unwrap_or_default();
        let best = Best::all(&rows, plan, metric);
        Self {
            at: comparison.at,
            seed: comparison.seed,
            rows,
            winner,
            rivals,
            standing,
            best,
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

    /// The baseline that stands for a reference, by their positions.
    pub fn standing_for(&self, reference: usize) -> Option<usize> {
        self.standing.get(reference).copied().flatten()
    }

    /// Of several baselines the one with the best median, by their positions in the plan.
    pub(crate) fn best_of(&self, baselines: &[usize], metric: &RankedMetric) -> Option<&Row> {
        self.baseline(best_baseline(&self.rows, baselines, metric)?)
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

    /// The comparison of the winner with the default configuration of its own candidate, where both
    /// passed.
    pub fn winner_against_default(&self) -> Option<&Rival> {
        let winner = self.winner()?;
        let own = |row: &Row| row.is_default && row.is_of_the_candidate_of(winner);
        self.rivals
            .iter()
            .find(|rival| self.rows.get(rival.row).is_some_and(own))
    }

    /// The default configuration of the winner's candidate, or else the best default.
    pub fn default(&self, metric: &RankedMetric) -> Option<&Row> {
        let defaults = self.finalists(metric).into_iter();
        let mut defaults = defaults.filter(|row| row.is_default).peekable();
        let first = defaults.peek().copied();
        let winner = self.winner();
        let own = defaults.find(|row| winner.is_some_and(|it| row.is_of_the_candidate_of(it)));
        own.or(first)
    }

    /// The winner against the best of another candidate.
    pub(crate) fn rival(&self, row: usize) -> Option<&Rival> {
        self.rivals.iter().find(|rival| rival.row == row)
    }
}

impl Row {
    fn of(
        item: &ComparedItem,
        processes: &[usize],
        plan: &Plan,
        metric: &RankedMetric,
        trials: &[Trial],
    ) -> Self {
        let trial = item.trial.and_then(|number| {
            let mut trials = trials.iter();
            trials.find(|trial| trial.number() == number)
        });
        let found_by_search = item.trial.is_some();
        let baseline = (!found_by_search)
            .then(|| find_baseline(plan, &item.label))
            .flatten();
        Self {
            label: item.label.clone(),
            baseline,
            candidate: trial.map(|trial| trial.proposed.candidate.clone()),
            is_default: trial.is_some_and(|trial| is_default(&trial.proposed))
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
        match (self.baseline, self.trial) {
            (Some(position), _) => baseline_name(plan, position),
            (None, Some(trial)) if !self.label.ends_with(&format!("#{trial}")) => {
                format!("{} #{trial}", self.label)
            }
            _ => self.label.clone(),
        }
    }

    /// How many times better than a reference of the run it is.
    pub fn over(&self, reference: usize) -> Option<&Ratio> {
        self.over.get(reference)?.as_ref()
    }

    /// Whether both are configurations of one tuned candidate, as far as is known.
    fn is_of_the_candidate_of(&self, other: &Self) -> bool {
        self.candidate.is_none() || self.candidate == other.candidate
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

impl Best {
    /// The best of each candidate of the plan, best first.
    fn all(rows: &[Row], plan: &Plan, metric: &RankedMetric) -> Vec<Self> {
        let found = rows.iter().filter(|row| row.baseline.is_none());
        let others = found.filter(|row| row.figures.is_some()).count();
        let family = others.saturating_sub(1);
        let mut all: Vec<(Self, f64)> = plan
            .candidates
            .iter()
            .filter_map(|planned| {
                let own = |row: &Row| row.candidate.as_ref() == Some(&planned.label);
                let place = best_row(rows, metric, own)?;
                let row = rows.get(place)?;
                let default = rows.iter().position(|row| own(row) && row.is_default);
                let default = default.filter(|default| *default != place);
                let best = Self {
                    candidate: planned.label.clone(),
                    row: place,
                    default: default
                        .and_then(|default| Rival::between(rows, place, default, metric, family)),
                };
                Some((best, row.figures.as_ref()?.p50))
            })
            .collect();
        all.sort_by(|(_, left), (_, right)| {
            let order = left.total_cmp(right);
            if metric.higher {
                order.reverse()
            } else {
                order
            }
        });
        all.into_iter().map(|(best, _)| best).collect()
    }
}

/// Of the rows that are wanted and were measured the one with the best median; the first of equals.
fn best_row(rows: &[Row], metric: &RankedMetric, wanted: impl Fn(&Row) -> bool) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, row) in rows.iter().enumerate().filter(|(_, row)| wanted(row)) {
        let Some(figures) = &row.figures else {
            continue;
        };
        if best.is_none_or(|(_, value)| metric.better(figures.p50, value)) {
            best = Some((place, figures.p50));
        }
    }
    best.map(|(place, _)| place)
}

/// Of several baselines the one with the best median, by their positions in the plan.
fn best_baseline(rows: &[Row], baselines: &[usize], metric: &RankedMetric) -> Option<usize> {
    let wanted = |row: &Row| row.baseline.is_some_and(|it| baselines.contains(&it));
    rows.get(best_row(rows, metric, wanted)?)?.baseline
}
