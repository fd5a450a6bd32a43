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
