//! A strategy against the best of the other programs', for each figure.
//!
//! The regret is what is missing to the optimum: 1 less the ratio, or 1 less the share of runs within
//! 1 %. The share of a peer's regret that a strategy closes is 1 less the quotient of the two regrets.
//! The best peer is another one for each figure. Peers are compared over all spaces that the
//! strategy and any peer have; one that lacks some of these is compared apart, over those it has.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::contestant::Name;
use crate::report::over;
use crate::{Aggregate, Cell, PREFIX, Report, StudyError};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "figure", content = "budget", rename_all = "snake_case")]
pub enum Column {
    /// The mean ratio after so many evaluations.
    Ratio(u64),
    /// The share of runs within 1 % of the optimum after so many evaluations.
    Near(u64),
    /// P over evaluations.
    Score,
    /// P over recorded time.
    ScoreTime,
}

/// A mean with its standard error over the seeds; absent for one seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Its standard error.
    pub standard_error: Option<f64>,
}

/// One figure of a strategy beside a peer's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versus {
    /// What is compared.
    pub column: Column,
    /// The strategy's figure.
    pub own: Estimate,
    /// The peer.
    pub peer: String,
    /// The peer's fewest seeds on a space.
    pub peer_seeds: usize,
    /// The peer's figure.
    pub best: Estimate,
    /// Whether the strategy is better by more than both standard errors together; absent where one
    /// of them is not known.
    pub better: Option<bool>,
    /// The share of the peer's regret that is closed: of ratios and shares.
    pub closed: Option<f64>,
    /// How many times the peer's figure the own one is: of P, where the peer's is above 0.
    pub factor: Option<f64>,
}

/// A peer that lacks spaces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Partial {
    /// The spaces that both have.
    pub spaces: Vec<String>,
    /// Every figure, over these.
    pub columns: Vec<Versus>,
}

/// A strategy against the best peer for each figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Regret {
    /// The strategy.
    pub strategy: String,
    /// Its fewest seeds on a space.
    pub seeds: usize,
    /// The spaces of the comparison.
    pub spaces: Vec<String>,
    /// The given spaces that have no part in it: the strategy or every peer lacks them.
    pub missing: Vec<String>,
    /// Each figure with the peer that is best in it.
    pub columns: Vec<Versus>,
    /// Peers that lack some of the spaces.
    pub partial: Vec<Partial>,
}

impl Report {
    /// Adds the comparison of a strategy of this engine with the peers: the strategies of other
    /// programs with the same noise. Without peers there is none.
    ///
    /// # Errors
    /// A strategy that has no runs; which have.
    pub fn with_regret(mut self, strategy: &str) -> Result<Self, StudyError> {
        let whole = format!("{PREFIX}{strategy}");
        let names: BTreeSet<&str> = self.cells.iter().map(|c| c.strategy.as_str()).collect();
        let chosen = names.get(strategy).or_else(|| names.get(whole.as_str()));
        let Some(chosen) = chosen.copied() else {
            let own = names.iter().copied().filter(|name| Name::own(name));
            return Err(StudyError::Input(format!(
                "there are no runs of `{strategy}` to compare with other tuners; there are runs of {}",
                own.collect::<Vec<_>>().join(", ")
            )));
        };
        self.regret = regret(chosen, &self.cells, &self.spaces, &self.budgets);
        Ok(self)
    }
}

fn regret(strategy: &str, cells: &[Cell], all: &[String], budgets: &[u64]) -> Option<Regret> {
    let noise = Name::read(strategy).noise;
    let of = |name: &str| -> BTreeSet<&str> {
        let own = cells.iter().filter(|cell| cell.strategy == name);
        own.map(|cell| cell.space.as_str()).collect()
    };
    let peers: BTreeSet<&str> = cells
        .iter()
        .map(|cell| cell.strategy.as_str())
        .filter(|name| !Name::own(name) && Name::read(name).noise == noise)
        .collect();
    let own = of(strategy);
    let of_peers: BTreeSet<&str> = peers.iter().flat_map(|peer| of(peer)).collect();
    let spaces: Vec<&str> = own.intersection(&of_peers).copied().collect();
    let ours = over(strategy, &spaces, cells, budgets)?;
    let (mut whole, mut partial) = (Vec::new(), Vec::new());
    for peer in peers {
        let theirs = of(peer);
        let shared: Vec<&str> = own.intersection(&theirs).copied().collect();
        let Some(figures) = over(peer, &shared, cells, budgets) else {
            continue;
        };
        if shared.len() == spaces.len() {
            whole.push(figures);
        } else if let Some(ours) = over(strategy, &shared, cells, budgets) {
            let columns = columns(&ours, &[figures]);
            let spaces = shared.iter().map(|space| (*space).to_owned()).collect();
            partial.push(Partial { spaces, columns });
        }
    }
    let missing = all.iter().filter(|space| !spaces.contains(&space.as_str()));
    Some(Regret {
        strategy: strategy.to_owned(),
        seeds: ours.seeds,
        missing: missing.cloned().collect(),
        columns: columns(&ours, &whole),
        spaces: spaces.into_iter().map(str::to_owned).collect(),
        partial,
    })
}

/// Every figure that a strategy has, beside that of the peer which is best in it.
fn columns(ours: &Aggregate, peers: &[Aggregate]) -> Vec<Versus> {
    let budgets: Vec<u64> = ours.figures.iter().map(|figures| figures.budget).collect();
    let ratios = budgets.iter().map(|budget| Column::Ratio(*budget));
    let near = budgets.last().map(|budget| Column::Near(*budget));
    let all = ratios.chain(near).chain([Column::Score, Column::ScoreTime]);
    all.filter_map(|column| versus(column, ours, peers))
        .collect()
}

fn versus(column: Column, ours: &Aggregate, peers: &[Aggregate]) -> Option<Versus> {
    let own = estimate(column, ours)?;
    let others = peers
        .iter()
        .filter_map(|peer| Some((peer, estimate(column, peer)?)));
    let (peer, best) = others.max_by(|(_, a), (_, b)| a.value.total_cmp(&b.value))?;
    let errors = own.standard_error.zip(best.standard_error);
    let of_one = matches!(column, Column::Ratio(_) | Column::Near(_));
    Some(Versus {
        column,
        own,
        peer: peer.strategy.clone(),
        peer_seeds: peer.seeds,
        best,
        better: errors.map(|(a, b)| own.value - best.value > a + b),
        closed: (of_one && best.value < 1.0).then(|| 1.0 - (1.0 - own.value) / (1.0 - best.value)),
        factor: (!of_one && best.value > 0.0).then(|| own.value / best.value),
    })
}

fn estimate(column: Column, of: &Aggregate) -> Option<Estimate> {
    let (value, standard_error) = match column {
        Column::Ratio(budget) => of.at(budget).map(|f| (f.mean, f.standard_error)),
        Column::Near(budget) => of.at(budget).map(|f| (f.near, f.near_error)),
        Column::Score => of.score.map(|score| (score.value, score.standard_error)),
        Column::ScoreTime => of
            .score_time
            .map(|score| (score.value, score.standard_error)),
    }?;
    Some(Estimate {
        value,
        standard_error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::cell;

    fn figure(regret: &Regret, column: Column) -> &Versus {
        let found = regret.columns.iter().find(|each| each.column == column);
        found.unwrap()
    }

    /// Spaces a, b and c: `evo_full` and two peers on a and b, a third peer on b alone, and c
    /// without peers.
    fn cells() -> Vec<Cell> {
        vec![
            cell("a", "evo_full", &[(32, 0.8), (64, 0.98)], Some(0.6)),
            cell("b", "evo_full", &[(32, 0.9), (64, 1.0)], Some(0.8)),
            cell("c", "evo_full", &[(32, 0.1), (64, 0.1)], Some(0.0)),
            cell("a", "evo_random", &[(32, 1.0), (64, 1.0)], Some(1.0)),
            cell("b", "evo_random", &[(32, 1.0), (64, 1.0)], Some(1.0)),
            cell("a", "x", &[(32, 0.8), (64, 0.8)], Some(0.5)),
            cell("b", "x", &[(32, 0.8), (64, 0.8)], Some(0.2)),
            cell("a", "y", &[(32, 0.7), (64, 0.9)], Some(-0.1)),
            cell("b", "y", &[(32, 0.7), (64, 0.9)], Some(-0.1)),
            cell("b", "z", &[(32, 0.95), (64, 0.95)], Some(0.4)),
            cell("a", "x@noise=1", &[(32, 1.0), (64, 1.0)], Some(1.0)),
        ]
    }

    #[test]
    fn each_figure_has_its_best_peer_and_the_share_closed() {
        let all: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let regret = regret("evo_full", &cells(), &all, &[32, 64]).unwrap();
        assert_eq!(regret.spaces, ["a", "b"]);
        assert_eq!(regret.missing, ["c"]);
        let first = figure(&regret, Column::Ratio(32));
        assert_eq!((first.peer.as_str(), first.best.value), ("x", 0.8));
        assert!((first.closed.unwrap() - 0.25).abs() < 1e-9, "{first:?}");
        let last = figure(&regret, Column::Ratio(64));
        assert_eq!(last.peer, "y");
        assert!((last.closed.unwrap() - 0.9).abs() < 1e-9, "{last:?}");
        // 0.09 is more than twice the error 0.01 / sqrt(2) of each.
        assert_eq!(last.better, Some(true));
        let score = figure(&regret, Column::Score);
        assert_eq!((score.peer.as_str(), score.factor), ("x", Some(2.0)));
        assert_eq!(score.closed, None);
        let partial = &regret.partial[0];
        assert_eq!(partial.spaces, ["b"]);
        assert_eq!(partial.columns[0].peer, "z");
        assert!(
            (partial.columns[0].closed.unwrap() + 1.0).abs() < 1e-9,
            "worse than z"
        );
        assert_eq!(partial.columns[0].better, Some(false));
    }

    #[test]
    fn without_peers_there_is_no_comparison() {
        let own: Vec<Cell> = cells()
            .into_iter()
            .filter(|c| Name::own(&c.strategy))
            .collect();
        assert_eq!(regret("evo_full", &own, &["a".to_owned()], &[32]), None);
    }
}
