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

    /// After an outcome: a new best has its build judged, and now and then the best is profiled.
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
        if listens && due && self.profiled.insert(best) {
            self.profiled_at = evals;
            let told = self.told;
            for profiler in told.profilers.keys() {
                self.judge(campaign, profiler, best, row, &params, true);
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
            let source = match source {
                BUILD => Source::Build,
                profiler => Source::Profiler(profiler.to_owned()),
            };
            campaign.add_insights(0, &source, findings.insights(trial, &source));
        }
        Some(said)
    }
}
