//! The campaign: several candidates tuned side by side under one budget.
//!
//! A candidate is a name with a space of its own; the candidates take turns, and those that are behind
//! get fewer ([`Turns`]). With one candidate a campaign is simply its engine with a budget. This is the interface that a driver uses:
//!
//! ```text
//! loop: match campaign.ask()      Propose(p) -> journal p, evaluate it
//!                                 Wait       -> finish an outstanding evaluation first
//!                                 Exhausted, Stop(reason) -> finish what is outstanding, end
//!       campaign.tell(..)         in the order of the proposals
//! ```
//!
//! **Resume.** The campaign's state is a fold over what was asked and told, so it is never
//! stored. A resuming driver builds a campaign from the recorded spaces, settings and seed and
//! hands [`Campaign::replay`] the journal's records in their order. Each recorded proposal is
//! asked for again and compared, each outcome is told again. Afterwards the proposals that have
//! no outcome are outstanding and are run again. Only proposals advance the campaign: an ask that
//! answered `Wait`, `Exhausted` or `Stop` need not be recorded. The budget decides when to stop
//! and never what to propose, so a run may be resumed with a larger one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use evo_types::Outcome;
use serde::Serialize;

use super::EngineError;
use super::budget::{Budget, Counts, StopReason};
use super::candidate::{CandidateState, Engine};
use super::information::Information;
use super::insights::{Insight, Source};
use super::population::Solution;
use super::proposal::{Ask, Cost, Proposal};
use super::ranking::{Aim, Verdict};
use super::settings::{EngineSettings, Turns};
use crate::space::{Config, Space};

/// The share of turns of the candidate with the best solution.
const WHOLE_SHARE: i64 = 1000;

/// The least share: a candidate that is far behind may still find something.
const LEAST_SHARE: i64 = 50;

/// Turns go with this power of the best figure of all over a candidate's own: one that takes twice the
/// time gets the least share, one that is 10 % behind about half of a whole one.
const RIVALRY: f64 = 6.0;

/// So many initial designs are told of a candidate before its results count.
const FIRST_DESIGNS: u64 = 2;

/// A snapshot for reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CampaignState {
    /// What was asked and told.
    pub counts: Counts,
    /// The index of the candidate that the best solution belongs to, and the solution.
    pub best: Option<(usize, Solution)>,
    /// Why the search is over, if it is.
    pub stopped: Option<StopReason>,
    /// What is known of each candidate.
    pub candidates: Vec<CandidateState>,
}

/// One step of a recorded campaign, in the order in which they happened.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayStep {
    /// The campaign was asked and proposed this.
    Proposed(Proposal),
    /// The campaign was told this.
    Told {
        /// The trial.
        trial: u64,
        /// What became of it.
        outcome: Outcome,
        /// What it cost.
        cost: Cost,
    },
    /// A source from outside said something.
    Insights {
        /// The index of the candidate.
        candidate: usize,
        /// The source.
        source: Source,
        /// The trial whose solution it speaks of; `None` where it speaks of the whole space.
        about: Option<u64>,
        /// The insights.
        insights: Vec<Insight>,
    },
}

/// Several candidates, one budget.
#[derive(Debug)]
pub struct Campaign {
    settings: Arc<EngineSettings>,
    /// How each direction of the search makes one figure of an outcome.
    aims: Vec<Aim>,
    /// The engines of each candidate, one for each direction. They propose in turn, and each learns
    /// from all outcomes.
    candidates: Vec<Vec<Engine>>,
    counts: Counts,
    next_trial: u64,
    /// What each candidate is owed of turns, in parts of a thousand of the share of the best: it grows
    /// by its share with every proposal, and who is owed most pays for one.
    owed: Vec<i64>,
    /// Proposals whose outcome has not been told, oldest first: trial and candidate.
    outstanding: VecDeque<(u64, usize)>,
    /// What became of each trial, in each direction, for duplicates that point to it.
    verdicts: BTreeMap<u64, Vec<Verdict>>,
    /// The candidate with the least loss in each direction, and that loss.
    best: Vec<Option<(usize, f64)>>,
}

impl Campaign {
    /// A campaign over named spaces. Without candidates it is exhausted from the start.
    pub fn new(candidates: Vec<(String, Arc<Space>)>, settings: EngineSettings, seed: u64) -> Self {
        let settings = Arc::new(settings);
        let aims = settings.ranking.directions();
        let engine = |index: usize, name: &str, space: &Arc<Space>| {
            Engine::new(index, name, Arc::clone(space), Arc::clone(&settings), seed)
        };
        let candidates: Vec<Vec<Engine>> = candidates
            .into_iter()
            .enumerate()
            .map(|(index, (name, space))| {
                aims.iter().map(|_| engine(index, &name, &space)).collect()
            })
            .collect();
        Self {
            settings,
            owed: vec![0; candidates.len()],
            candidates,
            best: vec![None; aims.len()],
            aims,
            counts: Counts::default(),
            next_trial: 0,
            outstanding: VecDeque::new(),
            verdicts: BTreeMap::new(),
        }
    }

    /// A campaign of one candidate.
    pub fn single(name: &str, space: Arc<Space>, settings: EngineSettings, seed: u64) -> Self {
        Self::new(vec![(name.to_owned(), space)], settings, seed)
    }

    /// What to evaluate next.
    pub fn ask(&mut self) -> Ask {
        if let Some(reason) = self.stop_reason() {
            return Ask::Stop(reason);
        }
        if self.counts.must_wait(&self.settings.budget) {
            return Ask::Wait;
        }
        let shares = self.shares();
        let owed = |place: &usize| self.owed[*place] + shares[*place];
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.sort_by_key(|place| std::cmp::Reverse(owed(place)));
        for turn in order {
            if let Some(proposal) = propose(&mut self.candidates[turn], self.next_trial) {
                for (owed, share) in self.owed.iter_mut().zip(&shares) {
                    *owed += share;
                }
                self.owed[turn] -= shares.iter().sum::<i64>();
                self.outstanding.push_back((self.next_trial, turn));
                self.next_trial += 1;
                self.counts.proposed += 1;
                return Ask::Propose(proposal);
            }
        }
        Ask::Exhausted
    }

    /// The share of turns of each candidate, in parts of a thousand of the best one's.
    fn shares(&self) -> Vec<i64> {
        let best = self.best.first().copied().flatten().map(|(_, loss)| loss);
        let first_trials = FIRST_DESIGNS * self.settings.tuning.initial as u64;
        let share = |engine: &Engine| {
            if self.settings.turns == Turns::Even || engine.told() < first_trials {
                return WHOLE_SHARE;
            }
            // Losses are logarithms: their difference is that of a ratio.
            let behind = match (engine.best_loss(), best) {
                (Some(own), Some(best)) => own - best,
                _ => f64::INFINITY,
            };
            let share = WHOLE_SHARE as f64 * (-RIVALRY * behind).exp();
            (share as i64).clamp(LEAST_SHARE, WHOLE_SHARE)
        };
        let first = self.candidates.iter().filter_map(|engines| engines.first());
        first.map(share).collect()
    }

    /// Tells what became of the oldest outstanding proposal and what it cost.
    ///
    /// # Errors
    /// Outcomes are told in the order of the proposals, once each; a duplicate names an earlier
    /// trial that was told; a measurement has the ranked metrics. The campaign is unchanged after
    /// an error.
    pub fn tell(&mut self, trial: u64, outcome: &Outcome, cost: Cost) -> Result<(), EngineError> {
        let (expected, candidate) = match self.outstanding.front() {
            Some((expected, candidate)) => (Some(*expected), *candidate),
            None => (None, 0),
        };
        if expected != Some(trial) {
            return Err(EngineError::OutOfOrder { trial, expected });
        }
        let (verdicts, duplicate_of) = match outcome {
            Outcome::DuplicateOf { trial: earlier } => {
                let known = self.verdicts.get(earlier).cloned();
                let verdicts = known.ok_or(EngineError::UnknownOriginal {
                    trial,
                    original: *earlier,
                })?;
                (verdicts, Some(*earlier))
            }
            _ => {
                let judged = self.aims.iter().map(|aim| aim.judge(trial, outcome));
                (judged.collect::<Result<Vec<_>, _>>()?, None)
            }
        };
        self.outstanding.pop_front();
        let failed = duplicate_of.is_none() && outcome.measurement().is_none();
        let why = failed.then(|| outcome.summary());
        if let Some(engines) = self.candidates.get_mut(candidate) {
            for (engine, verdict) in engines.iter_mut().zip(&verdicts) {
                engine.learn(trial, *verdict, duplicate_of, why.as_deref());
            }
        }
        let improved = duplicate_of.is_none() && self.improves(candidate, &verdicts);
        self.verdicts.insert(trial, verdicts);
        self.counts.add(outcome, cost, improved);
        Ok(())
    }

    /// Whether an outcome is better than all before it, in any direction.
    fn improves(&mut self, candidate: usize, verdicts: &[Verdict]) -> bool {
        let mut improved = false;
        for (best, verdict) in self.best.iter_mut().zip(verdicts) {
            if let Some(loss) = verdict.loss()
                && best.is_none_or(|(_, best)| loss < best)
            {
                *best = Some((candidate, loss));
                improved = true;
            }
        }
        improved
    }

    /// Why the search is over, if it is. Outcomes of outstanding proposals may still be told.
    pub fn stop_reason(&self) -> Option<StopReason> {
        let best = self.best().map(|(_, solution)| solution.value);
        self.counts
            .stop_reason(&self.settings.budget, &self.settings.ranking, best)
    }

    /// Replaces the budget, as when a finished run is extended.
    pub fn set_budget(&mut self, budget: Budget) {
        let mut settings = (*self.settings).clone();
        settings.budget = budget;
        self.settings = Arc::new(settings);
    }

    /// Adds facts about the problem and the device to a candidate's task context.
    pub fn add_notes(&mut self, candidate: usize, notes: Vec<String>) {
        for engine in self.engines_of(candidate) {
            engine.add_notes(notes.clone());
        }
    }

    /// Has configurations tried right after a candidate's first proposal: what is known to be good
    /// elsewhere. They have to be valid; to be called before the first proposal is asked for.
    pub fn start_with(&mut self, candidate: usize, configs: Vec<Config>) {
        for engine in self.engines_of(candidate) {
            engine.start_with(configs.clone());
        }
    }

    /// Takes insights from outside, such as those of a profiler, in the place of what the same source
    /// said before about the same trial's solution (`None`: about the whole space). What it said of
    /// solutions that are kept is kept with them. They change later proposals, so a driver records them
    /// as [`ReplayStep::Insights`].
    pub fn add_insights(
        &mut self,
        candidate: usize,
        source: &Source,
        about: Option<u64>,
        insights: Vec<Insight>,
    ) {
        for engine in self.engines_of(candidate) {
            engine.add_insights(source, about, insights.clone());
        }
    }

    fn engines_of(&mut self, candidate: usize) -> &mut [Engine] {
        self.candidates
            .get_mut(candidate)
            .map_or(&mut [], Vec::as_mut_slice)
    }

    /// The engine of a candidate for all metrics alike.
    fn engine(&self, candidate: usize) -> Option<&Engine> {
        self.candidates.get(candidate)?.first()
    }

    /// What was asked and told.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The settings.
    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// The trials whose outcomes are awaited, oldest first.
    pub fn outstanding(&self) -> impl Iterator<Item = u64> {
        self.outstanding.iter().map(|(trial, _)| *trial)
    }

    /// The candidate with the best solution, and the solution; of several metrics by all of them alike.
    pub fn best(&self) -> Option<(usize, &Solution)> {
        let (candidate, _) = self.best.first().copied().flatten()?;
        let solution = self.engine(candidate)?.best()?;
        Some((candidate, solution))
    }

    /// The best solution of a candidate.
    pub fn best_of(&self, candidate: usize) -> Option<&Solution> {
        self.engine(candidate)?.best()
    }

    /// The solutions of a candidate that are kept, best first: the best alone where the preset keeps no
    /// elites.
    pub fn elites_of(&self, candidate: usize) -> &[Solution] {
        self.engine(candidate).map_or(&[], Engine::elites)
    }

    /// The space of a candidate.
    pub fn space(&self, candidate: usize) -> Option<&Space> {
        self.engine(candidate).map(Engine::space)
    }

    /// What the next proposal for a candidate is told.
    pub fn information(&self, candidate: usize) -> Option<&Information> {
        self.engine(candidate).map(Engine::information)
    }

    /// A snapshot for reports.
    pub fn state(&self) -> CampaignState {
        CampaignState {
            counts: self.counts.clone(),
            best: self
                .best()
                .map(|(candidate, solution)| (candidate, solution.clone())),
            stopped: self.stop_reason(),
            candidates: (0..self.candidates.len())
                .filter_map(|candidate| self.engine(candidate).map(Engine::state))
                .collect(),
        }
    }

    /// Folds recorded steps into a fresh campaign; see the module's text on resume.
    ///
    /// # Errors
    /// A proposal that differs from the recorded one, or an outcome that cannot be told, means
    /// that the record belongs to another engine version, space, setting or seed.
    pub fn replay(
        &mut self,
        steps: impl IntoIterator<Item = ReplayStep>,
    ) -> Result<(), EngineError> {
        for step in steps {
            match step {
                ReplayStep::Proposed(recorded) => match self.ask() {
                    Ask::Propose(proposal) if proposal == recorded => {}
                    Ask::Propose(proposal) => {
                        let (recorded, proposed) = (Box::new(recorded), Box::new(proposal));
                        return Err(EngineError::Diverged { recorded, proposed });
                    }
                    _ => {
                        return Err(EngineError::Ended {
                            trial: recorded.trial,
                        });
                    }
                },
                ReplayStep::Told {
                    trial,
                    outcome,
                    cost,
                } => self.tell(trial, &outcome, cost)?,
                ReplayStep::Insights {
                    candidate,
                    source,
                    about,
                    insights,
                } => {
                    self.add_insights(candidate, &source, about, insights);
                }
            }
        }
        Ok(())
    }
}

/// The proposal of the engine whose turn it is, which the others adopt.
fn propose(engines: &mut [Engine], trial: u64) -> Option<Proposal> {
    let made = engines.first().map_or(0, Engine::proposed);
    let turn = made.checked_rem(engines.len())?;
    let proposal = engines.get_mut(turn)?.propose(trial)?;
    for (place, engine) in engines.iter_mut().enumerate() {
        if place != turn {
            engine.adopt(&proposal);
        }
    }
    Some(proposal)
}
