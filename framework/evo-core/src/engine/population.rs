//! Population management: which solutions are kept.

use evo_types::Params;
use serde::Serialize;

use super::settings::PopulationKind;
use crate::space::Config;

/// A measured solution. Failed and wrong ones never become solutions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Solution {
    /// The trial that measured it.
    pub trial: u64,
    /// The configuration.
    pub config: Config,
    /// Its parameters.
    pub params: Params,
    /// The ranked figure in its own unit.
    pub value: f64,
    /// The figure on a logarithmic scale on which smaller is better.
    pub loss: f64,
}

/// The solutions that are kept, best first.
#[derive(Debug, Clone)]
pub(crate) struct Population {
    kind: PopulationKind,
    kept: Vec<Solution>,
}

impl Population {
    pub(crate) fn new(kind: PopulationKind) -> Self {
        Self {
            kind,
            kept: Vec::new(),
        }
    }

    /// The best solution ever offered.
    pub(crate) fn best(&self) -> Option<&Solution> {
        self.kept.first()
    }

    /// Everything that is kept, best first. The best is kept even without a population.
    pub(crate) fn kept(&self) -> &[Solution] {
        &self.kept
    }

    /// The solutions that may become parents.
    pub(crate) fn parents(&self) -> &[Solution] {
        match self.kind {
            PopulationKind::None => &[],
            PopulationKind::SingleBest | PopulationKind::Elites { .. } => &self.kept,
        }
    }

    /// Takes a solution in if it is good enough; says whether it is a new best. Of equal
    /// solutions the earlier one stays ahead.
    pub(crate) fn offer(&mut self, solution: Solution) -> bool {
        let capacity = match self.kind {
            PopulationKind::None | PopulationKind::SingleBest => 1,
            PopulationKind::Elites { k } => k.max(1),
        };
        let place = self.kept.partition_point(|kept| kept.loss <= solution.loss);
        if place >= capacity {
            return false;
        }
        self.kept.insert(place, solution);
        self.kept.truncate(capacity);
        place == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Env, Space};

    fn offer(population: &mut Population, trial: u64, loss: f64) -> bool {
        let text = r#"(name: "t", params: [(name: "A", values: [1, 2])])"#;
        let config = Space::parse(text, "t.ron", &Env::default())
            .unwrap()
            .default_config();
        population.offer(Solution {
            trial,
            config,
            params: Params::new(),
            value: loss,
            loss,
        })
    }

    fn kept(population: &Population) -> Vec<u64> {
        population
            .kept()
            .iter()
            .map(|solution| solution.trial)
            .collect()
    }

    #[test]
    fn elites_are_the_best_in_order_and_the_earlier_of_equals_stays_ahead() {
        let mut elites = Population::new(PopulationKind::Elites { k: 3 });
        let improved: Vec<bool> = [5.0, 4.0, 6.0, 4.0, 7.0, 3.0]
            .iter()
            .enumerate()
            .map(|(trial, loss)| offer(&mut elites, trial as u64, *loss))
            .collect();
        assert_eq!(improved, [true, true, false, false, false, true]);
        assert_eq!(kept(&elites), [5, 1, 3]);
        assert_eq!(elites.parents().len(), 3);
    }

    #[test]
    fn a_single_best_is_one_and_no_population_has_no_parents() {
        for kind in [PopulationKind::SingleBest, PopulationKind::None] {
            let mut population = Population::new(kind);
            for (trial, loss) in [2.0, 1.0, 3.0].into_iter().enumerate() {
                offer(&mut population, trial as u64, loss);
            }
            assert_eq!(kept(&population), [1]);
            let parents = usize::from(kind == PopulationKind::SingleBest);
            assert_eq!(population.parents().len(), parents);
        }
    }
}
