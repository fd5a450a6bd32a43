//! Running the searches of a study.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use evo_core::engine::{
    Ask, Budget, Campaign, Cost, EngineSettings, Genotype, Preset, Proposal, Ranking,
};
use evo_core::space::Space;
use evo_recorded::{Fate, Row};
use evo_types::{
    Direction, Measurement, Metric, Outcome, Phase, RejectedBy, WrongKind, WrongResult,
};
use rayon::prelude::*;

use crate::{PREFIX, RunLog, RunRecord, StudyError, StudySpace};

/// Records that are written together.
const BATCH: usize = 64;

/// The longest that a record waits to be written.
const WAIT: Duration = Duration::from_secs(2);

/// Proposals for each evaluation after which a search is given up: what it proposes was not
/// recorded.
const MOST_ASKS: u64 = 40;

/// Which searches to run.
#[derive(Debug, Clone)]
pub struct Study {
    /// The strategies.
    pub strategies: Vec<Preset>,
    /// The seeds.
    pub seeds: std::ops::Range<u64>,
    /// Evaluations of each search.
    pub budget: u64,
    /// Searches at a time; 0 for one on each CPU.
    pub threads: usize,
}

/// How far a study is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Searches that are recorded.
    pub done: usize,
    /// Searches of the whole study.
    pub all: usize,
}

impl Study {
    /// Runs what the log does not have yet. `stop` ends it early, after the searches under way.
    ///
    /// # Errors
    /// A log that cannot be written, or a space that the engine cannot read.
    pub fn run(
        &self,
        spaces: &[StudySpace],
        log: &mut RunLog,
        stop: &(dyn Fn() -> bool + Sync),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), StudyError> {
        let known: BTreeSet<(String, String, u64)> = log
            .records()
            .iter()
            .filter(|record| record.budget == self.budget)
            .map(|record| (record.space.clone(), record.strategy.clone(), record.seed))
            .collect();
        // The strategies of one seed share the space with its start: reading it costs milliseconds.
        let mut units: Vec<(&StudySpace, u64, Vec<Preset>)> = Vec::new();
        for seed in self.seeds.clone() {
            for space in spaces {
                let mut left = self.strategies.clone();
                left.retain(|preset| {
                    !known.contains(&(space.name().to_owned(), strategy_name(*preset), seed))
                });
                if !left.is_empty() {
                    units.push((space, seed, left));
                }
            }
        }
        let left: usize = units.iter().map(|(_, _, left)| left.len()).sum();
        let seeds = usize::try_from(self.seeds.end.saturating_sub(self.seeds.start)).unwrap_or(0);
        let all = seeds * spaces.len() * self.strategies.len();
        let mut state = Progress {
            done: all - left,
            all,
        };
        progress(state);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build()
            .map_err(|error| StudyError::Input(format!("no threads can be started: {error}")))?;
        let (sender, receiver) = mpsc::channel();
        let given_up = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let given_up = &given_up;
            let searches = scope.spawn(move || {
                pool.install(|| {
                    units
                        .into_par_iter()
                        .try_for_each(|(space, seed, presets)| {
                            let parsed = space.space(seed)?;
                            for preset in presets {
                                if stop() || given_up.load(Ordering::Relaxed) {
                                    break;
                                }
                                let record = search(space, &parsed, preset, seed, self.budget)?;
                                // The receiver is gone only where the log cannot be written.
                                let _ = sender.send(record);
                            }
                            Ok(())
                        })
                })
            });
            let written = collect(&receiver, log, &mut state, progress);
            given_up.store(written.is_err(), Ordering::Relaxed);
            drop(receiver);
            let searched = searches.join().unwrap_or_else(|_| {
                let message = "a search ended in a panic".to_owned();
                Err(StudyError::Input(message))
            });
            written.and(searched)
        })
    }
}

/// Writes records as they come, in batches.
fn collect(
    receiver: &mpsc::Receiver<RunRecord>,
    log: &mut RunLog,
    state: &mut Progress,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StudyError> {
    let mut batch = Vec::new();
    loop {
        let received = receiver.recv_timeout(WAIT);
        let ended = received == Err(RecvTimeoutError::Disconnected);
        let waited = received.is_err();
        if let Ok(record) = received {
            batch.push(record);
            state.done += 1;
        }
        if waited || batch.len() >= BATCH {
            log.append(std::mem::take(&mut batch))?;
            progress(*state);
        }
        if ended {
            return Ok(());
        }
    }
}

/// The name of a strategy in run records.
pub(crate) fn strategy_name(preset: Preset) -> String {
    format!("{PREFIX}{preset}")
}

/// One search.
pub(crate) fn search(
    space: &StudySpace,
    parsed: &std::sync::Arc<Space>,
    preset: Preset,
    seed: u64,
    budget: u64,
) -> Result<RunRecord, StudyError> {
    let fail = |message: String| StudyError::Search {
        space: space.name().to_owned(),
        message,
    };
    let limits = Budget {
        // Counted here: what was never recorded is no evaluation.
        duplicates_in_a_row: u64::MAX,
        ..Budget::default()
    };
    let settings = EngineSettings::new(preset, Ranking::lower("time"), limits);
    let mut record = RunRecord {
        space: space.name().to_owned(),
        strategy: strategy_name(preset),
        seed,
        budget,
        evals: 0,
        cpu_s: 0.0,
        asks: 0,
        improve: Vec::new(),
    };
    let begin = cpu_seconds();
    let mut campaign = Campaign::single(space.name(), parsed.clone(), settings, seed);
    let (mut cost_ms, mut best) = (0.0, f64::INFINITY);
    while record.evals < budget && record.asks < budget.saturating_mul(MOST_ASKS) {
        let Ask::Propose(proposal) = campaign.ask() else {
            break;
        };
        record.asks += 1;
        let row = choices(&proposal).and_then(|choices| space.recording.find(&choices));
        let row = row.and_then(|place| space.recording.rows().get(place));
        let mut cost = Cost::default();
        if let Some(row) = row {
            record.evals += 1;
            cost_ms += row.cost_ms;
            cost.wall_s = row.cost_ms / 1e3;
            cost.device_s = cost.wall_s;
            if let Some(time) = row.fate.time_ms().filter(|time| *time < best) {
                best = time;
                let tenths = (cost_ms * 10.0).round() / 10.0;
                record.improve.push((record.evals, tenths, time));
            }
        }
        campaign
            .tell(proposal.trial, &outcome(row), cost)
            .map_err(|error| fail(error.to_string()))?;
    }
    record.cpu_s = ((cpu_seconds() - begin) * 1e5).round() / 1e5;
    Ok(record)
}

/// The indices of a proposal's values. Recorded spaces have no conditional parameters.
fn choices(proposal: &Proposal) -> Option<Vec<u32>> {
    match &proposal.genotype {
        Genotype::Config(choices) => choices.iter().copied().collect(),
        _ => None,
    }
}

/// What a trial is told.
fn outcome(row: Option<&Row>) -> Outcome {
    let rejected = |reason: &str| Outcome::Rejected {
        by: RejectedBy::Kernel,
        reason: reason.to_owned(),
    };
    let Some(row) = row else {
        return rejected("it was never recorded");
    };
    match &row.fate {
        Fate::Measured { time_ms, .. } => Outcome::Measured(Measurement {
            metrics: vec![Metric::new("time", "ms", Direction::Lower, *time_ms)],
            error: None,
            execution: None,
            recheck_seed: None,
            raced_out: false,
            converged: true,
        }),
        Fate::Refused(reason) => rejected(reason),
        Fate::BuildFailed(message) => Outcome::BuildFailed {
            message: message.clone(),
            log: String::new(),
        },
        Fate::RunFailed(message) => Outcome::Crashed {
            phase: Phase::Evaluate,
            message: message.clone(),
            output: String::new(),
        },
        Fate::WrongResult(message) => Outcome::WrongResult(WrongResult {
            wrong: WrongKind::Inaccurate,
            message: message.clone(),
            error: None,
            seed: 0,
            after_timing: false,
        }),
        Fate::TimedOut(_) => Outcome::TimedOut {
            phase: Phase::Evaluate,
            limit_s: row.cost_ms / 1e3,
        },
    }
}

/// CPU time of this thread.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
