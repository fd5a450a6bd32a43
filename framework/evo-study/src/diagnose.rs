//! What a search on a recording is told besides times: what rules make of recorded builds and profiles,
//! at the moments at which `evo run` tells it to a search.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evo_core::engine::{Campaign, Source, diagnose};
use evo_core::space::{Rules, Space};
use evo_recorded::{Origin, Recording};
use evo_types::{Params, Value};

/// The source of what builds say.
const BUILD: &str = "build";

/// Evaluations between two profiles, as `evo run` has by default.
const PROFILE_EVERY: u64 = 32;
/// Elites that are profiled then, as in runs.
const PROFILE_ELITES: usize = 3;

/// The space that a recording came from, and the rules of its sources of figures.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) space: Arc<Space>,
    /// The rules of builds.
    build: Rules,
    /// Those of each profiler that has looked at some row.
    profilers: BTreeMap<String, Rules>,
}

impl Told {
    /// # Errors
    /// Rules that cannot be read: where, and why.
    pub(crate) fn new(space: Arc<Space>, origin: &Origin) -> Result<Self, String> {
        let read = |source: &str| match origin.rules.get(source) {
            None => Ok(Rules::default()),
            Some(text) => Rules::parse(text, &format!("<the rules of {source}>"))
                .map_err(|errors| errors.to_string()),
        };
        let profilers = origin.figures.keys().filter(|source| *source != BUILD);
        let profilers = profilers.map(|source| Ok((source.clone(), read(source)?)));
        Ok(Self {
            space,
            build: read(BUILD)?,
            profilers: profilers.collect::<Result<_, String>>()?,
        })
    }
}

/// Tells one search what rules say.
pub(crate) struct Diagnosis<'a> {
    told: &'a Told,
    recording: &'a Recording,
    origin: &'a Origin,
    /// Whether the build of the best before had anything said of it.
    spoke: bool,
    /// The evaluations at the last profile, and the trials that were profiled.
    profiled_at: u64,
    profiled: BTreeSet<u64>,
}

impl<'a> Diagnosis<'a> {
    /// `None` where the recording has nothing but times.
    pub(crate) fn new(told: Option<&'a Told>, recording: &'a Recording) -> Option<Self> {
        Some(Self {
            told: told?,
            recording,
            origin: recording.origin()?,
            spoke: false,
            profiled_at: 0,
            profiled: BTreeSet::new(),
        })
    }

    /// After an outcome: a new best has its build judged, and now and then the best few are profiled.
    pub(crate) fn after(&mut self, campaign: &mut Campaign, trial: u64, evals: u64) {
        let Some(best) = campaign.best_of(0) else {
            return;
        };
        let (best, params) = (best.trial, best.params.clone());
        let Ok(Some(row)) = self.recording.find_active(&params) else {
            return;
        };
        if best == trial {
            let said = self.judge(campaign, BUILD, best, row, &params, self.spoke);
            self.spoke = said.unwrap_or(self.spoke);
        }
        let listens = campaign.settings().information.insights;
        let due = evals.saturating_sub(self.profiled_at) >= PROFILE_EVERY;
        if listens && due {
            self.profile(campaign, evals);
        }
    }

    /// Profiles those of the best few that were not profiled yet.
    fn profile(&mut self, campaign: &mut Campaign, evals: u64) {
        let elites = campaign.elites_of(0).iter().take(PROFILE_ELITES);
        let elites: Vec<_> = elites.map(|it| (it.trial, it.params.clone())).collect();
        for (trial, params) in elites {
            let Ok(Some(row)) = self.recording.find_active(&params) else {
                continue;
            };
            if !self.profiled.insert(trial) {
                continue;
            }
            self.profiled_at = evals;
            for profiler in self.told.profilers.keys() {
                self.judge(campaign, profiler, trial, row, &params, true);
            }
        }
    }

    /// Tells what one source says of a row; `empty`: also where it says nothing. Returns whether it
    /// said something; `None` where it has not looked at the row.
    fn judge(
        &self,
        campaign: &mut Campaign,
        source: &str,
        trial: u64,
        row: usize,
        params: &Params,
        empty: bool,
    ) -> Option<bool> {
        let figures = self.origin.figures_of(source, row)?;
        let of_build = source == BUILD;
        let shipped = match self.told.profilers.get(source) {
            Some(rules) => rules,
            None => &self.told.build,
        };
        let mut known = self.origin.device.clone();
        known.extend(self.origin.problem.clone());
        let numbers = figures.iter();
        known.extend(numbers.map(|(name, figure)| ((*name).to_owned(), Value::Float(*figure))));
        known.extend(params.clone());
        let own: BTreeSet<String> = figures.keys().map(|name| (*name).to_owned()).collect();
        let findings = diagnose(shipped, self.told.space.rules(), &known, &own, of_build);
        let said = !findings.diagnoses.is_empty();
        if said || empty {
            // Of builds, those of the best are told; of profiles, those of every elite.
            let (source, about) = match source {
                BUILD => (Source::Build, None),
                profiler => (Source::Profiler(profiler.to_owned()), Some(trial)),
            };
            campaign.add_insights(0, &source, about, findings.insights(trial, &source));
        }
        Some(said)
    }
}

#[cfg(test)]
// A test says what is wrong by failing.
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use evo_core::engine::{Ask, Budget, Cost, EngineSettings, Preset, Ranking, Source, Tuning};
    use evo_types::{Direction, Measurement, Metric, Outcome};

    use super::*;
    use crate::StudySpace;

    /// `WAIT` makes everything slower, and a figure of the build says so; a profiler sees more.
    fn space() -> StudySpace {
        let rows = 0..16;
        let waits = rows
            .clone()
            .map(|row| f64::from(row / 4))
            .collect::<Vec<f64>>();
        let document = serde_json::json!({
            "format": "recorded-space/1",
            "id": "planted",
            "params": [
                {"name": "WAIT", "values": [0, 1, 2, 3]},
                {"name": "PAD", "values": [0, 1, 2, 3]},
            ],
            "config": rows.clone().collect::<Vec<i32>>(),
            "time": rows.map(|row| f64::from(1 + row / 4)).collect::<Vec<f64>>(),
            "origin": {
                "space": "(name: \"planted\", params: [(name: \"WAIT\", values: [0, 1, 2, 3], default: 3), \
                    (name: \"PAD\", values: [0, 1, 2, 3])], rules: [(id: \"waits\", levers: \
                    [(param: \"WAIT\", action: lower)]), (id: \"pads\", levers: [(param: \"PAD\", \
                    action: set(0))])])",
                "device": {"LIMIT": 0},
                "rules": {
                    "build": "(rules: [(id: \"waits\", when: \"wait_instructions > LIMIT\", \
                        says: \"{wait_instructions} waits\", severity: 0.9)])",
                    "profiler-p/p": "(rules: [(id: \"pads\", when: \"padding >= 0\", says: \"p\")])",
                },
                "figures": {
                    "build": {"wait_instructions": waits},
                    "profiler-p/p": {"padding": vec![1.0; 16]},
                },
            },
        });
        StudySpace::new(Recording::parse(&document.to_string(), "x").unwrap()).unwrap()
    }

    /// What a search of so many evaluations believes at its end, by source.
    fn believed(diagnoses: bool, evals: u64) -> (Vec<String>, u64) {
        let space = space();
        let budget = Budget::default();
        let mut settings = EngineSettings::new(Preset::Full, Ranking::lower("time"), budget);
        settings.tuning = Tuning {
            diagnoses,
            ..Tuning::default()
        };
        let parsed = space.space(1).unwrap();
        let mut campaign = Campaign::single("planted", parsed, settings, 1);
        let mut diagnosis = Diagnosis::new(space.told.as_ref(), &space.recording).unwrap();
        let mut first_best = evals;
        for done in 1..=evals {
            let Ask::Propose(proposal) = campaign.ask() else {
                break;
            };
            let row = space
                .recording
                .find_active(&proposal.params)
                .unwrap()
                .unwrap();
            let time = space.recording.rows()[row].fate.time_ms().unwrap();
            if time < 1.5 {
                first_best = first_best.min(done);
            }
            let outcome = Outcome::Measured(Measurement {
                metrics: vec![Metric::new("time", "ms", Direction::Lower, time)],
                error: None,
                execution: None,
                recheck_seed: None,
                raced_out: false,
                converged: true,
            });
            campaign
                .tell(proposal.trial, &outcome, Cost::default())
                .unwrap();
            // As if profiles were due at once.
            diagnosis.profiled_at = 0;
            diagnosis.after(&mut campaign, proposal.trial, done + PROFILE_EVERY);
        }
        let insights = campaign.information(0).unwrap().insights.clone();
        let outside = insights
            .iter()
            .filter(|it| matches!(it.source, Source::Build | Source::Profiler(_)));
        let words = outside
            .map(|it| format!("{}: {}", it.source, it.lever))
            .collect();
        (words, first_best)
    }

    #[test]
    fn builds_and_profiles_of_the_best_are_told() {
        // The default waits longest.
        let (told, _) = believed(true, 1);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told.iter()
                .any(|it| it.contains("build") && it.contains("lower WAIT")),
            "{told:?}"
        );
        assert!(
            told.iter()
                .any(|it| it.contains("profiler") && it.contains("set PAD=0")),
            "{told:?}"
        );
        let (told, _) = believed(false, 1);
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn the_word_on_a_build_is_taken_back_where_it_does_not_hold_any_more() {
        // All 16: the best does not wait.
        let (told, _) = believed(true, 16);
        assert!(!told.iter().any(|it| it.contains("build")), "{told:?}");
    }

    #[test]
    fn figures_that_do_not_fit_the_rows_are_refused() {
        let text = |figures: serde_json::Value| {
            serde_json::json!({
                "format": "recorded-space/1", "params": [{"name": "A", "values": [1, 2]}],
                "config": [0, 1], "time": [1.0, 2.0],
                "origin": {"space": "", "figures": figures},
            })
            .to_string()
        };
        let error = Recording::parse(&text(serde_json::json!({"build": {"x": [1.0]}})), "x");
        let error = error.unwrap_err();
        assert!(
            error.contains("`x` of build has 1 entries, but there are 2"),
            "{error}"
        );
        Recording::parse(&text(serde_json::json!({"build": {"x": [1.0, null]}})), "x").unwrap();
    }
}
