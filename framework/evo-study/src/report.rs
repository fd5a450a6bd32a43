//! The report of a study: figures for each space and strategy, and over the spaces.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::score::Axis;
use crate::significance::differences;
use crate::{Difference, Figures, RunRecord, Score, StudySpace};

/// A space on which random search needs fewer evaluations than this to go 95 % of its way has no
/// part in mean scores: P is seed noise there.
const LEAST_CUTOFF: u64 = 32;

/// One strategy on one space.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The space.
    pub space: String,
    /// The strategy.
    pub strategy: String,
    /// Seeds.
    pub seeds: usize,
    /// Ratios at the budgets that the runs reach.
    pub figures: Vec<Figures>,
    /// P over evaluations.
    pub score: Option<Score>,
    /// P over recorded time.
    pub score_time: Option<Score>,
    /// The evaluations at which the budget axis of P ends.
    pub cutoff: u64,
    /// Milliseconds of CPU time for each evaluation.
    pub cpu_ms: f64,
    /// Proposals for each evaluation.
    pub asks: f64,
}

/// One strategy over all spaces: means of the spaces' means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Aggregate {
    /// The strategy.
    pub strategy: String,
    /// Fewest seeds on a space.
    pub seeds: usize,
    /// Ratios at the budgets that all runs reach.
    pub figures: Vec<Figures>,
    /// P over evaluations.
    pub score: Option<Score>,
    /// P over recorded time.
    pub score_time: Option<Score>,
    /// Milliseconds of CPU time for each evaluation.
    pub cpu_ms: f64,
}

impl Aggregate {
    /// The figures at a budget.
    pub fn at(&self, budget: u64) -> Option<&Figures> {
        self.figures.iter().find(|each| each.budget == budget)
    }

    #[cfg(test)]
    pub(crate) fn bare(strategy: &str, figures: Vec<Figures>) -> Self {
        Self {
            strategy: strategy.to_owned(),
            seeds: 20,
            figures,
            score: None,
            score_time: None,
            cpu_ms: 0.0,
        }
    }
}

/// A study's results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The spaces, by name.
    pub spaces: Vec<String>,
    /// The evaluations after which searches are looked at, ascending.
    pub budgets: Vec<u64>,
    /// Strategies that ran on every space, the best at the largest budget first.
    pub aggregates: Vec<Aggregate>,
    /// Every space and strategy.
    pub cells: Vec<Cell>,
    /// All pairs of the strategies over all spaces, at each budget; strategies with fewer than ten
    /// seeds are left out.
    pub differences: Vec<Difference>,
    /// Records of spaces that were not given.
    pub left_out: usize,
}

impl Report {
    /// Scores records on their spaces after each of some numbers of evaluations.
    pub fn new(spaces: &[StudySpace], records: &[RunRecord], budgets: &[u64]) -> Self {
        let mut budgets = budgets.to_vec();
        budgets.sort_unstable();
        budgets.dedup();
        let mut grouped: BTreeMap<(&str, &str), Vec<&RunRecord>> = BTreeMap::new();
        let known: BTreeMap<&str, &StudySpace> =
            spaces.iter().map(|space| (space.name(), space)).collect();
        let mut left_out = 0;
        for record in records {
            if known.contains_key(record.space.as_str()) {
                let key = (record.space.as_str(), record.strategy.as_str());
                grouped.entry(key).or_default().push(record);
            } else {
                left_out += 1;
            }
        }
        let cells: Vec<Cell> = grouped
            .iter()
            .filter_map(|((space, _), runs)| Some(cell(known.get(space)?, runs, &budgets)))
            .collect();
        let mut strategies: Vec<&str> = cells.iter().map(|cell| cell.strategy.as_str()).collect();
        strategies.sort_unstable();
        strategies.dedup();
        let mut aggregates: Vec<Aggregate> = strategies
            .into_iter()
            .filter_map(|strategy| aggregate(strategy, &cells, spaces.len(), &budgets))
            .collect();
        let last = |each: &Aggregate| each.figures.last().map_or(0.0, |figures| figures.mean);
        aggregates.sort_by(|a, b| last(b).total_cmp(&last(a)));
        let differences = budgets
            .iter()
            .flat_map(|budget| differences(&aggregates, *budget))
            .collect();
        Self {
            spaces: spaces.iter().map(|space| space.name().to_owned()).collect(),
            budgets,
            aggregates,
            cells,
            differences,
            left_out,
        }
    }
}

fn cell(space: &StudySpace, runs: &[&RunRecord], budgets: &[u64]) -> Cell {
    let longest = runs.iter().map(|run| run.budget).max().unwrap_or(0);
    let of = |budget: u64| -> Vec<&RunRecord> {
        let chosen = runs.iter().filter(|run| run.budget == budget);
        chosen.copied().collect()
    };
    let whole = of(longest);
    let figures = budgets.iter().filter(|budget| **budget <= longest);
    let figures = figures.map(|budget| {
        // A strategy that looks at its budget was run once for each.
        let own = of(*budget);
        space.figures(if own.is_empty() { &whole } else { &own }, *budget)
    });
    let sum = |part: fn(&RunRecord) -> f64, runs: &[&RunRecord]| -> f64 {
        runs.iter().map(|run| part(run)).sum()
    };
    let evals = |runs: &[&RunRecord]| sum(|run| run.evals as f64, runs).max(1.0);
    let first = runs.first();
    Cell {
        space: space.name().to_owned(),
        strategy: first.map_or_else(String::new, |run| run.strategy.clone()),
        seeds: whole.len(),
        figures: figures.collect(),
        score: space.score(&whole, Axis::Evaluations),
        score_time: space.score(&whole, Axis::Time),
        cutoff: space.cutoff(0.95),
        cpu_ms: 1e3 * sum(|run| run.cpu_s, runs) / evals(runs),
        asks: sum(|run| run.asks as f64, &whole) / evals(&whole),
    }
}

/// `None` for a strategy that did not run on every space.
fn aggregate(strategy: &str, cells: &[Cell], spaces: usize, budgets: &[u64]) -> Option<Aggregate> {
    let own: Vec<&Cell> = cells
        .iter()
        .filter(|cell| cell.strategy == strategy)
        .collect();
    if own.len() < spaces || own.is_empty() {
        return None;
    }
    let n = own.len() as f64;
    let mut figures = Vec::new();
    for &budget in budgets {
        let at = |cell: &&Cell| {
            cell.figures
                .iter()
                .find(|each| each.budget == budget)
                .copied()
        };
        let each: Option<Vec<Figures>> = own.iter().map(at).collect();
        let Some(each) = each else { continue };
        figures.push(Figures {
            budget,
            mean: each.iter().map(|figures| figures.mean).sum::<f64>() / n,
            standard_error: combined(each.iter().map(|figures| figures.standard_error)),
            near: each.iter().map(|figures| figures.near).sum::<f64>() / n,
        });
    }
    let scored = |part: fn(&Cell) -> Option<Score>| {
        let wide = own.iter().filter(|cell| cell.cutoff >= LEAST_CUTOFF);
        let scores: Option<Vec<Score>> = wide.map(|cell| part(cell)).collect();
        let scores = scores.filter(|scores| !scores.is_empty())?;
        Some(Score {
            value: scores.iter().map(|score| score.value).sum::<f64>() / scores.len() as f64,
            standard_error: combined(scores.iter().map(|score| score.standard_error)),
        })
    };
    Some(Aggregate {
        strategy: strategy.to_owned(),
        seeds: own.iter().map(|cell| cell.seeds).min().unwrap_or(0),
        figures,
        score: scored(|cell| cell.score),
        score_time: scored(|cell| cell.score_time),
        cpu_ms: own.iter().map(|cell| cell.cpu_ms).sum::<f64>() / n,
    })
}

/// The standard error of a mean of independent means.
fn combined(errors: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let errors: Vec<f64> = errors.collect::<Option<_>>()?;
    let squares: f64 = errors.iter().map(|error| error * error).sum();
    Some(squares.sqrt() / errors.len() as f64)
}
