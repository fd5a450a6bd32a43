//! Settings: the presets of the EvoEngineer paper (arXiv 2510.03760) and what they are made of.
//!
//! A preset of the paper chooses what information a proposal gets and how the population is kept, and
//! nothing else: all guided presets share one pool of operators and one tuning. The other presets
//! are classical strategies, to compare with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::ranking::Ranking;
use super::strategies;

/// A named way to search: the four of the EvoEngineer paper, which are combinations of information
/// and population over one pool of operators, and after them classical strategies as controls.
/// Each has a row in the registry of strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The control: uniform sampling, no information, no population.
    Random,
    /// The task (I1), improving the single best.
    Free,
    /// The task and insights (I1, I3), improving the single best.
    Insight,
    /// The task, historical solutions and insights (I1, I2, I3), with elites.
    Full,
    /// A low-discrepancy sequence over the valid configurations.
    QuasiRandom,
    /// Iterated local search: steps to better neighbours, and a kick where there are none.
    LocalSearch,
    /// Differential evolution on the indices of the values.
    DifferentialEvolution,
    /// Simulated annealing with reheating.
    SimulatedAnnealing,
    /// A Gaussian process alone, by expected improvement.
    Surrogate,
    /// Several of these strategies, chosen by what they earn.
    Portfolio,
}

impl Preset {
    /// All presets, those of the paper first, from the least information to the most.
    pub const ALL: [Self; 10] = [
        Self::Random,
        Self::Free,
        Self::Insight,
        Self::Full,
        Self::QuasiRandom,
        Self::LocalSearch,
        Self::DifferentialEvolution,
        Self::SimulatedAnnealing,
        Self::Surrogate,
        Self::Portfolio,
    ];

    /// The presets of the EvoEngineer paper.
    pub const EVO_ENGINEER: [Self; 4] = [Self::Random, Self::Free, Self::Insight, Self::Full];

    /// The name that a spec uses.
    pub fn name(self) -> &'static str {
        strategies::row(self).name
    }

    /// How it searches, in one sentence.
    pub fn doc(self) -> &'static str {
        strategies::row(self).doc
    }

    /// What a proposal is told.
    pub fn information(self) -> InformationUse {
        strategies::row(self).information
    }

    /// How solutions are kept.
    pub fn population(self) -> PopulationKind {
        strategies::row(self).population
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == wanted)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::ALL.iter().map(|preset| preset.name()).collect();
                format!(
                    "there is no preset `{text}`; the presets are {}",
                    names.join(", ")
                )
            })
    }
}

/// Which kinds of information proposals get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InformationUse {
    /// I1: the task context. Without it nothing guides the search, not even the default.
    pub task: bool,
    /// I2: historical solutions.
    pub history: bool,
    /// I3: insights.
    pub insights: bool,
}

/// How solutions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PopulationKind {
    /// Nothing is kept but the best, for the report.
    None,
    /// The best solution is the only parent.
    SingleBest,
    /// The best `k` distinct solutions.
    Elites {
        /// How many.
        k: usize,
    },
}

/// Everything that determines a search besides its spaces and its seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineSettings {
    /// The name under which the parts below were chosen.
    pub preset: Preset,
    /// What a proposal is told.
    pub information: InformationUse,
    /// How solutions are kept.
    pub population: PopulationKind,
    /// How solutions are ranked.
    pub ranking: Ranking,
    /// When the search ends. Shared by all candidates of a campaign.
    pub budget: Budget,
    /// Figures shared by all guided presets.
    #[serde(default)]
    pub tuning: Tuning,
}

impl EngineSettings {
    /// The settings of a preset.
    pub fn new(preset: Preset, ranking: Ranking, budget: Budget) -> Self {
        Self {
            preset,
            information: preset.information(),
            population: preset.population(),
            ranking,
            budget,
            tuning: Tuning::default(),
        }
    }

    /// Keeps `k` elites where the population has elites at all.
    pub fn with_elites(mut self, k: usize) -> Self {
        if let PopulationKind::Elites { k: kept } = &mut self.population {
            *kept = k.max(1);
        }
        self
    }
}

/// The figures of the guided search. One set for every preset and every space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Trials of the initial design, the default configuration included.
    pub initial: usize,
    /// Proposals among which the model chooses.
    pub pool: usize,
    /// Trials between two refreshes of the insights, as long as there are few.
    pub refresh: usize,
    /// The share of proposals for which the model chooses among the steps from the historical
    /// solutions alone, where there are several: intensification, for where the model misjudges the
    /// surroundings of the best solutions.
    pub near_share: f64,
    /// The kept solutions, best first, whose whole neighbourhoods the model chooses from.
    pub neighbourhoods: usize,
    /// The greatest number of trials that the model starts with.
    pub model_trials: usize,
    /// The greatest number of trials that the length scales of the model are fitted to.
    pub fit_trials: usize,
    /// Steps of a fit of the length scales. Few are better than many, which overfit.
    pub fit_steps: usize,
    /// The length scale that the model expects of each parameter, as a share of its range, in spaces
    /// of at most eight parameters; it grows with the square root of their number.
    pub length_scale: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            initial: 6,
            pool: 48,
            refresh: 4,
            near_share: 0.25,
            neighbourhoods: 4,
            model_trials: 144,
            fit_trials: 96,
            fit_steps: 6,
            length_scale: 0.5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_differ_in_information_and_population_as_the_paper_says() {
        let rows: Vec<String> = Preset::EVO_ENGINEER
            .iter()
            .map(|preset| {
                let used = preset.information();
                let flags = [used.task, used.history, used.insights].map(u8::from);
                format!("{preset} {flags:?} {:?}", preset.population())
            })
            .collect();
        assert_eq!(
            rows,
            [
                "random [0, 0, 0] None",
                "free [1, 0, 0] SingleBest",
                "insight [1, 0, 1] SingleBest",
                "full [1, 1, 1] Elites { k: 6 }",
            ]
        );
    }

    #[test]
    fn an_unknown_preset_lists_the_known_ones() {
        assert_eq!("Full".parse(), Ok(Preset::Full));
        let error = "best".parse::<Preset>().unwrap_err();
        assert_eq!(
            error,
            "there is no preset `best`; the presets are random, free, insight, full, quasi_random, \
             local_search, differential_evolution, simulated_annealing, surrogate, portfolio"
        );
    }
}
