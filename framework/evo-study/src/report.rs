//! The report of a study: figures for each space and strategy, and over the spaces.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::contestant::{Name, of_engine};
use crate::score::Axis;
use crate::significance::differences;
use crate::{
    Difference, Figures, Folds, NoiseLoss, Regret, RunRecord, Score, StudySpace, engine_tag,
};

/// A space on which random search needs fewer evaluations than this to go 95 % of its way has no
/// part in mean scores: P is seed noise there.
pub(crate) const LEAST_CUTOFF: u64 = 32;

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
    /// A strategy against the best of the other programs', if that was asked for and there are any.
    pub regret: Option<Regret>,
    /// The choice among variants, each kernel left out once, if that was asked for.
    pub folds: Vec<Folds>,
    /// What noise costs each strategy that ran with it and without it.
    pub noise: Vec<NoiseLoss>,
    /// Records of spaces that were not given.
    pub left_out: usize,
    /// Records that were there before: the same space, strategy, seed and budget.
    pub repeated: usize,
}

impl Report {
    /// Scores records on their spaces after each of some numbers of evaluations. Searches of this
    /// engine in another version or tuning are strategies of their own, named by the engine.
    pub fn new(spaces: &[StudySpace], records: &[RunRecord], budgets: &[u64]) -> Self {
        let mut budgets = budgets.to_vec();
        budgets.sort_unstable();
        budgets.dedup();
        let known: BTreeMap<&str, &StudySpace> =
            spaces.iter().map(|space| (space.name(), space)).collect();
        let names = names(records);
        let mut grouped: BTreeMap<(&str, &str), Vec<&RunRecord>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let (mut left_out, mut repeated) = (0, 0);
        for (record, name) in records.iter().zip(&names) {
            let space = record.space.as_str();
            if !known.contains_key(space) {
                left_out += 1;
            } else if !seen.insert((space, name, record.seed, record.budget)) {
                repeated += 1;
            } else {
                let key = (space, name.as_str());
                grouped.entry(key).or_default().push(record);
            }
        }
        let cells: Vec<Cell> = grouped
            .iter()
            .filter_map(|((space, name), runs)| Some(cell(known.get(space)?, name, runs, &budgets)))
            .collect();
        let names: BTreeSet<&str> = cells.iter().map(|cell| cell.strategy.as_str()).collect();
        let spaces: Vec<&str> = known.into_keys().collect();
        let mut aggregates: Vec<Aggregate> = names
            .into_iter()
            .filter_map(|strategy| over(strategy, &spaces, &cells, &budgets))
            .collect();
        let last = |each: &Aggregate| each.figures.last().map_or(0.0, |figures| figures.mean);
        aggregates.sort_by(|a, b| last(b).total_cmp(&last(a)));
        let differences = budgets
            .iter()
            .flat_map(|budget| differences(&aggregates, *budget))
            .collect();
        let noise = crate::noise_loss::losses(&cells, &budgets);
        Self {
            spaces: spaces.into_iter().map(str::to_owned).collect(),
            budgets,
            aggregates,
            cells,
            differences,
            regret: None,
            folds: Vec::new(),
            noise,
            left_out,
            repeated,
        }
    }
}

/// The strategies of records. Where some of this engine's are of another version or tuning than
/// this program's, their names say of which.
fn names(records: &[RunRecord]) -> Vec<String> {
    let own = engine_tag();
    let tag = |record: &RunRecord| record.engine.clone().unwrap_or("unknown".to_owned());
    let engines = records.iter().filter(|record| Name::own(&record.strategy));
    let engines: BTreeSet<String> = engines.map(tag).collect();
    let name = |record: &RunRecord| {
        let other = Name::own(&record.strategy) && engines.len() > 1 && tag(record) != own;
        if other {
            of_engine(&record.strategy, &tag(record))
        } else {
            record.strategy.clone()
        }
    };
    records.iter().map(name).collect()
}

fn cell(space: &StudySpace, strategy: &str, runs: &[&RunRecord], budgets: &[u64]) -> Cell {
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
    Cell {
        space: space.name().to_owned(),
        strategy: strategy.to_owned(),
        seeds: whole.len(),
        figures: figures.collect(),
        score: space.score(&whole, Axis::Evaluations),
        score_time: space.score(&whole, Axis::Time),
        cutoff: space.cutoff(0.95),
        cpu_ms: 1e3 * sum(|run| run.cpu_s, runs) / evals(runs),
        asks: sum(|run| run.asks as f64, &whole) / evals(&whole),
    }
}

/// A strategy over some spaces; `None` where it did not run on each of them.
pub(crate) fn over(
    strategy: &str,
    spaces: &[&str],
    cells: &[Cell],
    budgets: &[u64],
) -> Option<Aggregate> {
    let own: Vec<&Cell> = cells
        .iter()
        .filter(|cell| cell.strategy == strategy && spaces.contains(&cell.space.as_str()))
        .collect();
    if own.len() < spaces.len() || own.is_empty() {
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
            near_error: combined(each.iter().map(|figures| figures.near_error)),
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
pub(crate) fn combined(errors: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let errors: Vec<f64> = errors.collect::<Option<_>>()?;
    let squares: f64 = errors.iter().map(|error| error * error).sum();
    Some(squares.sqrt() / errors.len() as f64)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::BUDGETS;

    /// A cell of twenty seeds with errors of 0.01 / sqrt(2), with nothing within 1 %.
    pub(crate) fn cell(
        space: &str,
        strategy: &str,
        means: &[(u64, f64)],
        score: Option<f64>,
    ) -> Cell {
        let standard_error = Some(0.01 / 2f64.sqrt());
        let figures = means.iter().map(|(budget, mean)| Figures {
            budget: *budget,
            mean: *mean,
            standard_error,
            near: 0.0,
            near_error: Some(0.0),
        });
        let score = score.map(|value| Score {
            value,
            standard_error,
        });
        Cell {
            space: space.to_owned(),
            strategy: strategy.to_owned(),
            seeds: 20,
            figures: figures.collect(),
            score,
            score_time: None,
            cutoff: LEAST_CUTOFF,
            cpu_ms: 0.5,
            asks: 1.0,
        }
    }

    /// A report that has these cells and nothing else.
    pub(crate) fn report(cells: Vec<Cell>) -> Report {
        let mut report = Report::new(&[], &[], &[32, 64]);
        let spaces: BTreeSet<String> = cells.iter().map(|cell| cell.space.clone()).collect();
        report.spaces = spaces.into_iter().collect();
        report.cells = cells;
        report
    }

    fn record(strategy: &str, seed: u64, engine: Option<&str>) -> RunRecord {
        RunRecord {
            space: "one".to_owned(),
            strategy: strategy.to_owned(),
            seed,
            budget: 256,
            evals: 2,
            cpu_s: 0.001,
            asks: 2,
            improve: vec![(1, 10.0, 2.0)],
            engine: engine.map(str::to_owned),
            recording: None,
        }
    }

    fn one() -> StudySpace {
        let text = r#"{"format": "recorded-space/1", "id": "one",
            "params": [{"name": "A", "values": [0, 1]}], "restrictions": [],
            "restrictions_exact": true, "config": [0, 1], "time": [1, 2], "status": [0, 0]}"#;
        StudySpace::new(evo_recorded::Recording::parse(text, "x").unwrap()).unwrap()
    }

    #[test]
    fn two_engines_are_two_strategies() {
        let own = engine_tag();
        let records = [
            record("evo_full", 0, Some(&own)),
            record("evo_full", 0, Some("0-ab")),
            record("evo_full", 0, None),
            record("kt_pso", 0, None),
        ];
        let names = |records: &[RunRecord]| -> Vec<String> {
            let report = Report::new(&[one()], records, &BUDGETS);
            report.cells.iter().map(|c| c.strategy.clone()).collect()
        };
        assert_eq!(
            names(&records),
            [
                "evo_full",
                "evo_full (engine 0-ab)",
                "evo_full (engine unknown)",
                "kt_pso"
            ]
        );
        // A log of one other engine has nothing to be mixed with.
        assert_eq!(names(&records[1..2]), ["evo_full"]);
    }

    #[test]
    fn a_run_that_is_there_twice_counts_once() {
        let records = [
            record("x", 0, None),
            record("x", 1, None),
            record("x", 0, None),
        ];
        let report = Report::new(&[one()], &records, &BUDGETS);
        assert_eq!((report.cells[0].seeds, report.repeated), (2, 1));
    }
}
