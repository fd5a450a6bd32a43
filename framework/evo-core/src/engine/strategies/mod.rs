//! Strategies: the registry of presets, and those of them that propose in their own way.
//!
//! A strategy is one file and one row in [`REGISTRY`], and every test that runs over all presets
//! is its contract: legal and distinct proposals, determinism, budgets, exhaustion, failures.
//! A strategy keeps state, which changes when it proposes and when it learns, in the order in
//! which both happen: so a replayed search is the same search.

mod annealing;
mod evolution;
mod local_search;
mod portfolio;
mod quasi_random;
mod surrogate;

use std::fmt;

use rand_chacha::ChaCha8Rng;

use super::history::{Entry, History};
use super::operators::{Context, Draft};
use super::selection::OperatorCredit;
use super::settings::{InformationUse, PopulationKind, Preset};
use crate::space::Space;

/// A draft with the name of what made it.
pub(crate) type Named = (&'static str, Draft);

/// A way to search that keeps its own state.
pub(crate) trait Strategy: fmt::Debug + Send {
    /// What to try next; `None`, or a configuration that was proposed before, where it knows
    /// nothing: uniform sampling takes over then.
    fn propose(&mut self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Named>;

    /// Takes the outcome of any proposal in, its own or another's.
    fn learn(&mut self, _told: &Told<'_>, _rng: &mut ChaCha8Rng) {}

    /// What its parts have earned, for reports; empty where it has none.
    fn credits(&self) -> &[OperatorCredit] {
        &[]
    }
}

/// An outcome as a strategy sees it.
pub(crate) struct Told<'a> {
    pub(crate) history: &'a History,
    /// Where the trial stands in the history.
    pub(crate) place: usize,
    pub(crate) trial: u64,
    /// How many outcomes were told, this one included.
    pub(crate) count: u64,
    /// The reward in 0 to 1, and whether it is the new best; `None` for a repeated execution.
    pub(crate) earned: Option<(f64, bool)>,
}

impl<'a> Told<'a> {
    /// The proposal and its verdict.
    pub(crate) fn entry(&self) -> Option<&'a Entry> {
        self.history.entries().get(self.place)
    }
}

/// Makes a strategy for a space.
pub(crate) type Make = fn(&Space) -> Box<dyn Strategy>;

/// What a preset is.
pub(crate) struct Row {
    pub(crate) preset: Preset,
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) information: InformationUse,
    pub(crate) population: PopulationKind,
    /// Makes the strategy; `None` where the shared operators propose.
    pub(crate) make: Option<Make>,
}

/// The row of a preset.
pub(crate) fn row(preset: Preset) -> &'static Row {
    REGISTRY
        .iter()
        .find(|row| row.preset == preset)
        .unwrap_or(&REGISTRY[0])
}

const fn told(task: bool, history: bool, insights: bool) -> InformationUse {
    InformationUse {
        task,
        history,
        insights,
    }
}

/// The elites that are kept unless a spec says otherwise.
const ELITES: PopulationKind = PopulationKind::Elites { k: 6 };

/// One row for each preset.
pub(crate) static REGISTRY: [Row; 10] = [
    Row {
        preset: Preset::Random,
        name: "random",
        doc: "uniform sampling: the control",
        information: told(false, false, false),
        population: PopulationKind::None,
        make: None,
    },
    Row {
        preset: Preset::Free,
        name: "free",
        doc: "EvoEngineer-Free: the task alone, improving the single best",
        information: told(true, false, false),
        population: PopulationKind::SingleBest,
        make: None,
    },
    Row {
        preset: Preset::Insight,
        name: "insight",
        doc: "EvoEngineer-Insight: the task and insights, improving the single best",
        information: told(true, false, true),
        population: PopulationKind::SingleBest,
        make: None,
    },
    Row {
        preset: Preset::Full,
        name: "full",
        doc: "EvoEngineer-Full: the task, historical solutions and insights, with elites",
        information: told(true, true, true),
        population: ELITES,
        make: None,
    },
    Row {
        preset: Preset::QuasiRandom,
        name: "quasi_random",
        doc: "a low-discrepancy sequence over the valid configurations",
        information: told(false, false, false),
        population: PopulationKind::None,
        make: Some(quasi_random::make),
    },
    Row {
        preset: Preset::LocalSearch,
        name: "local_search",
        doc: "iterated local search: steps to better neighbours, kicks out of local optima",
        information: told(true, false, false),
        population: PopulationKind::SingleBest,
        make: Some(local_search::make),
    },
    Row {
        preset: Preset::DifferentialEvolution,
        name: "differential_evolution",
        doc: "differential evolution (best/1/bin) on the indices of the values",
        information: told(true, true, false),
        population: ELITES,
        make: Some(evolution::make),
    },
    Row {
        preset: Preset::SimulatedAnnealing,
        name: "simulated_annealing",
        doc: "simulated annealing over neighbours, reheated from the best",
        information: told(true, false, false),
        population: PopulationKind::SingleBest,
        make: Some(annealing::make),
    },
    Row {
        preset: Preset::Surrogate,
        name: "surrogate",
        doc: "a Gaussian process with a model of failures, by expected improvement",
        information: told(true, true, false),
        population: ELITES,
        make: Some(surrogate::make),
    },
    Row {
        preset: Preset::Portfolio,
        name: "portfolio",
        doc: "local search, evolution, annealing and the surrogate, chosen by what they earn",
        information: told(true, true, false),
        population: ELITES,
        make: Some(portfolio::make),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_one_row_and_its_serialised_name() {
        assert_eq!(REGISTRY.len(), Preset::ALL.len());
        for (row, preset) in REGISTRY.iter().zip(Preset::ALL) {
            assert_eq!(row.preset, preset);
            let name = ron::to_string(&preset).unwrap();
            assert_eq!(row.name, name);
            assert_eq!(row.name.parse(), Ok(preset));
            assert!(!row.doc.is_empty());
        }
    }
}
