//! Settings: the presets of the EvoEngineer paper (arXiv 2510.03760) and what they are made of.
//!
//! A preset of the paper chooses what information a proposal gets and how the population is kept, and
//! nothing else: all guided presets share one pool of operators and one tuning. The other presets
//! are classical strategies, to compare with.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

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

/// How the candidates of a campaign take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turns {
    /// One after the other: every candidate is tuned as much as the others.
    #[default]
    Even,
    /// Once each has had its first trials, in proportion to a power of how well the best of each does
    /// beside the best of all: trials go where they can still win.
    ByResult,
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
    /// How several candidates take turns; even in records of earlier versions.
    #[serde(default)]
    pub turns: Turns,
    /// Figures shared by all guided presets. Settings whose figures fail [`Tuning::check`] are not
    /// read.
    #[serde(default, deserialize_with = "checked")]
    pub tuning: Tuning,
}

impl EngineSettings {
    /// The settings of a preset. The control has even turns: it is guided by nothing.
    pub fn new(preset: Preset, ranking: Ranking, budget: Budget) -> Self {
        Self {
            preset,
            information: preset.information(),
            population: preset.population(),
            ranking,
            budget,
            turns: if preset == Preset::Random {
                Turns::Even
            } else {
                Turns::ByResult
            },
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
///
/// The ranges are those in which a figure has a meaning and a proposal comes within seconds;
/// [`check`](Self::check) knows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Trials of the initial design, the default configuration included; 1 to 4096. Where more than
    /// twelve parameters are searched, the design has at least one trial for each, unless configurations are
    /// named to start with.
    pub initial: usize,
    /// Proposals among which the model chooses; 1 to 4096.
    pub pool: usize,
    /// Trials between two refreshes of the insights, as long as there are few; 1 to 4096.
    pub refresh: usize,
    /// The share of proposals for which the model chooses among the steps from the historical
    /// solutions alone, where there are several: intensification, for where the model misjudges the
    /// surroundings of the best solutions. 0 to 1.
    pub near_share: f64,
    /// The kept solutions, best first, whose whole neighbourhoods the model chooses from; 0, for none
    /// of them, to 4096.
    pub neighbourhoods: usize,
    /// The greatest number of trials that the model starts with; 2 to 2048.
    pub model_trials: usize,
    /// The greatest number of trials that the length scales of the model are fitted to; 2 to 2048.
    pub fit_trials: usize,
    /// Steps of a fit of the length scales. Few are better than many, which overfit. 0, for no fit, to
    /// 256.
    pub fit_steps: usize,
    /// The length scale that the model expects of each parameter, as a share of its range, in spaces
    /// of at most eight parameters; it grows with the square root of their number. 0.01 to 100.
    pub length_scale: f64,
    /// Whether what builds and profiles say is among the insights; without it they come from the history
    /// of trials alone.
    pub diagnoses: bool,
}

impl Tuning {
    /// Whether every figure is within its range.
    ///
    /// # Errors
    /// The first field that is not, its value and its range.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            initial,
            pool,
            refresh,
            near_share,
            neighbourhoods,
            model_trials,
            fit_trials,
            fit_steps,
            length_scale,
            diagnoses: _,
        } = self;
        within("initial", initial, &(1..=4096))?;
        // Of each proposal, in drafts.
        within("pool", pool, &(1..=4096))?;
        within("refresh", refresh, &(1..=4096))?;
        within("near_share", near_share, &(0.0..=1.0))?;
        within("neighbourhoods", neighbourhoods, &(0..=4096))?;
        // A model needs two trials; its memory grows with their square, and a fit's time with the cube.
        within("model_trials", model_trials, &(2..=2048))?;
        within("fit_trials", fit_trials, &(2..=2048))?;
        within("fit_steps", fit_steps, &(0..=256))?;
        within("length_scale", length_scale, &(0.01..=100.0))
    }
}

/// Not a number is within no range.
fn within<T: PartialOrd + fmt::Display>(
    field: &str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<(), String> {
    if range.contains(value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(format!(
        "`{field}` is {value}, but must be between {least} and {most}"
    ))
}

/// Reads a tuning whose figures can be used.
fn checked<'de, D: Deserializer<'de>>(source: D) -> Result<Tuning, D::Error> {
    let tuning = Tuning::deserialize(source)?;
    tuning.check().map_err(D::Error::custom)?;
    Ok(tuning)
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
            diagnoses: true,
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

    /// A tuning with one field changed.
    fn with(field: &str, value: impl Into<serde_json::Value>) -> serde_json::Value {
        let mut tuning = serde_json::to_value(Tuning::default()).unwrap();
        tuning[field] = value.into();
        tuning
    }

    #[test]
    fn a_tuning_is_checked_at_both_ends_of_every_range() {
        Tuning::default().check().unwrap();
        let check = |value| serde_json::from_value::<Tuning>(value).unwrap().check();
        let ranges: [(&str, u64, u64); 7] = [
            ("initial", 1, 4096),
            ("pool", 1, 4096),
            ("refresh", 1, 4096),
            ("neighbourhoods", 0, 4096),
            ("model_trials", 2, 2048),
            ("fit_trials", 2, 2048),
            ("fit_steps", 0, 256),
        ];
        for (field, least, most) in ranges {
            for inside in [least, most] {
                assert_eq!(check(with(field, inside)), Ok(()), "{field}");
            }
            for outside in least.checked_sub(1).into_iter().chain([most + 1]) {
                let error = check(with(field, outside)).unwrap_err();
                let expected =
                    format!("`{field}` is {outside}, but must be between {least} and {most}");
                assert_eq!(error, expected);
            }
        }
        let ranges: [(&str, f64, f64); 2] =
            [("near_share", 0.0, 1.0), ("length_scale", 0.01, 100.0)];
        for (field, least, most) in ranges {
            for inside in [least, most] {
                assert_eq!(check(with(field, inside)), Ok(()), "{field}");
            }
            for outside in [least - 1e-6, most + 1e-6, -1.0] {
                let error = check(with(field, outside)).unwrap_err();
                let expected =
                    format!("`{field}` is {outside}, but must be between {least} and {most}");
                assert_eq!(error, expected);
            }
        }
        let unknown = Tuning {
            length_scale: f64::NAN,
            ..Tuning::default()
        };
        let error = unknown.check().unwrap_err();
        assert!(error.starts_with("`length_scale` is NaN, but"), "{error}");
    }

    /// A recorded plan's settings reach the engine as they were read.
    #[test]
    fn settings_with_a_tuning_that_makes_no_sense_are_not_read() {
        let settings = EngineSettings::new(Preset::Full, Ranking::lower("t"), Budget::default());
        let mut text = serde_json::to_value(&settings).unwrap();
        assert_eq!(
            serde_json::from_value::<EngineSettings>(text.clone()).unwrap(),
            settings
        );
        text["tuning"] = with("pool", 1_000_000_000_000_u64);
        let error = serde_json::from_value::<EngineSettings>(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`pool` is 1000000000000, but must be between 1 and 4096"
        );
    }
}
