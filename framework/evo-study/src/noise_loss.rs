//! What noise costs a strategy: its figures without noise less those with noise.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::Cell;
use crate::contestant::Name;
use crate::report::over;

/// The loss at one budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Loss {
    /// The evaluations.
    pub budget: u64,
    /// The mean ratio without noise.
    pub without: f64,
    /// The mean ratio with noise.
    pub with: f64,
    /// The former less the latter.
    pub loss: f64,
    /// Its standard error over the seeds; absent for one seed.
    pub standard_error: Option<f64>,
}

/// What noise costs one strategy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoiseLoss {
    /// The strategy with its noise, as in the records.
    pub strategy: String,
    /// Whether the answer was confirmed by further measurements.
    pub confirmed: bool,
    /// Fewest seeds on a space, with noise and without.
    pub seeds: usize,
    /// The spaces on which it ran both ways.
    pub spaces: Vec<String>,
    /// The loss at each budget.
    pub losses: Vec<Loss>,
}

/// The losses of all strategies that ran with noise and without, the least at the largest budget first.
pub(crate) fn losses(cells: &[Cell], budgets: &[u64]) -> Vec<NoiseLoss> {
    let of = |name: &str| -> BTreeSet<&str> {
        let own = cells.iter().filter(|cell| cell.strategy == name);
        own.map(|cell| cell.space.as_str()).collect()
    };
    let names: BTreeSet<&str> = cells.iter().map(|cell| cell.strategy.as_str()).collect();
    let mut found = Vec::new();
    for strategy in names {
        let name = Name::read(strategy);
        if name.noise.is_none() {
            continue;
        }
        let noiseless = name.noiseless();
        let (noisy, plain) = (of(strategy), of(&noiseless));
        let spaces: Vec<&str> = noisy.intersection(&plain).copied().collect();
        let with = over(strategy, &spaces, cells, budgets);
        let without = over(&noiseless, &spaces, cells, budgets);
        let Some((with, without)) = with.zip(without) else {
            continue;
        };
        let at = |budget: &u64| {
            let (with, without) = (with.at(*budget)?, without.at(*budget)?);
            let errors = with.standard_error.zip(without.standard_error);
            Some(Loss {
                budget: *budget,
                without: without.mean,
                with: with.mean,
                loss: without.mean - with.mean,
                standard_error: errors.map(|(a, b)| a.hypot(b)),
            })
        };
        found.push(NoiseLoss {
            strategy: strategy.to_owned(),
            confirmed: name.confirmed,
            seeds: with.seeds.min(without.seeds),
            losses: budgets.iter().filter_map(at).collect(),
            spaces: spaces.into_iter().map(str::to_owned).collect(),
        });
    }
    let last = |each: &NoiseLoss| each.losses.last().map_or(f64::INFINITY, |loss| loss.loss);
    found.sort_by(|a, b| last(a).total_cmp(&last(b)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::cell;

    #[test]
    fn a_loss_is_over_the_spaces_of_both_and_has_both_errors() {
        let cells = [
            cell("a", "x", &[(32, 0.9)], None),
            cell("b", "x", &[(32, 0.5)], None),
            cell("a", "x@noise=1", &[(32, 0.8)], None),
            cell("a", "x@noise=1+confirm", &[(32, 0.88)], None),
            cell("a", "y@noise=1", &[(32, 0.8)], None),
        ];
        let found = losses(&cells, &[32]);
        let names: Vec<(&str, bool)> = found
            .iter()
            .map(|each| (each.strategy.as_str(), each.confirmed))
            .collect();
        assert_eq!(names, [("x@noise=1+confirm", true), ("x@noise=1", false)]);
        assert_eq!(found[0].spaces, ["a"]);
        let loss = found[1].losses[0];
        assert!((loss.loss - 0.1).abs() < 1e-9);
        assert!(
            (loss.standard_error.unwrap() - 0.01).abs() < 1e-9,
            "{loss:?}"
        );
    }
}
