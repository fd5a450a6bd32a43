//! What a journal says has been done: the fold that a resumed run starts from.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use evo_core::engine::{Cost, Proposal, Ranked, Ranking, ReplayStep};
use evo_journal::{Comparison, Evaluated, Plan, Profiled, Proposed, Record, Stage};
use evo_types::ContentHash;

use super::diagnose::{BUILD, candidate_of, solution_of, source};
use crate::{JOURNAL, RunError};

/// Everything that has been recorded, folded.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(super) baselines: Option<Comparison>,
    pub(crate) confirmation: Option<Comparison>,
    pub(crate) proposed: Vec<Proposed>,
    pub(crate) evaluated: BTreeMap<u64, Evaluated>,
    /// For each execution the first trial that had it.
    pub(super) executions: BTreeMap<ContentHash, u64>,
    /// Attempts begun by trials that were run more than once.
    pub(super) attempts: BTreeMap<u64, u32>,
    /// How often the machine went down during the evaluation of a trial.
    pub(super) reboots: BTreeMap<u64, u32>,
    /// The machine's start in the session before this one.
    pub(super) boot: String,
    /// Profiler and label of the profiles taken.
    pub(super) profiled: Vec<(String, String)>,
    /// The figures that profiles of each candidate have told.
    pub(super) figures_of_profiles: BTreeMap<String, BTreeSet<String>>,
    /// What people were warned of.
    pub(super) warnings: BTreeSet<String>,
    /// Trials that had an outcome at the last profile.
    pub(super) profiled_at: u64,
    /// Profilers that do not work here, as this session has found.
    pub(super) absent_profilers: BTreeSet<String>,
    /// The last thing that rules are applied to, as long as nothing says what came of it.
    pub(super) undiagnosed: Option<Undiagnosed>,
    /// Whether rules said anything of the last build of each candidate that they were applied to.
    pub(super) spoke: BTreeMap<String, bool>,
    /// Whether the run ended by itself, and was not extended since.
    pub(super) finished: bool,
    /// Whether the last thing that happened was an orderly interruption.
    pub(super) interrupted: bool,
    /// Seconds of run time up to the last record that says so.
    pub(super) elapsed_s: f64,
}

/// Figures to which rules are still to be applied, where a run was cut off in between.
#[derive(Debug)]
pub(super) enum Undiagnosed {
    /// Of the build of this trial.
    Build(u64),
    /// Of a profile.
    Profile(Box<Profiled>),
}

impl History {
    /// Adds one record.
    pub(crate) fn add(&mut self, record: &Record) {
        self.interrupted = matches!(record, Record::Interrupted { .. });
        match record {
            Record::Evaluated(evaluated) => {
                self.undiagnosed = Some(Undiagnosed::Build(evaluated.trial));
            }
            Record::Profiled(profiled) => {
                let profiled = Box::new(profiled.clone());
                self.undiagnosed = Some(Undiagnosed::Profile(profiled));
            }
            Record::Resumed { .. } | Record::Extended { .. } => {}
            _ => self.undiagnosed = None,
        }
        match record {
            Record::Compared(comparison) => {
                self.elapsed_s = comparison.elapsed_s;
                match comparison.stage {
                    Stage::Baselines => self.baselines = Some(comparison.clone()),
                    Stage::Confirmation => self.confirmation = Some(comparison.clone()),
                }
            }
            Record::Proposed(proposed) => self.proposed.push(proposed.clone()),
            Record::Evaluated(evaluated) => {
                self.elapsed_s = evaluated.elapsed_s;
                if let Some(execution) = &evaluated.execution {
                    self.executions
                        .entry(execution.clone())
                        .or_insert(evaluated.trial);
                }
                self.evaluated
                    .insert(evaluated.trial, (**evaluated).clone());
            }
            Record::Retried {
                trial,
                attempt,
                rebooted,
                ..
            } => {
                self.attempts.insert(*trial, *attempt);
                *self.reboots.entry(*trial).or_default() += u32::from(*rebooted);
            }
            Record::Started { environment, .. } => self.boot.clone_from(&environment.boot),
            Record::Resumed { boot, .. } => self.boot.clone_from(boot),
            Record::Profiled(profiled) => {
                self.profiled
                    .push((profiled.profiler.clone(), profiled.label.clone()));
                self.profiled_at = self.evaluated.len() as u64;
                let candidate = candidate_of(&profiled.label).to_owned();
                let figures = self.figures_of_profiles.entry(candidate).or_default();
                figures.extend(profiled.metrics.iter().map(|metric| metric.name.clone()));
            }
            Record::Extended { .. } => {
                // The search goes on, so the finalists will be others.
                self.finished = false;
                self.confirmation = None;
                self.profiled.clear();
            }
            Record::Finished { elapsed_s, .. } => {
                self.finished = true;
                self.elapsed_s = *elapsed_s;
            }
            Record::Diagnosed(diagnosed) if diagnosed.source == BUILD => {
                let candidate = candidate_of(&diagnosed.label).to_owned();
                let speaks = !diagnosed.diagnoses.is_empty();
                self.spoke.insert(candidate, speaks);
            }
            Record::Warning { message, .. } => {
                self.warnings.insert(message.clone());
            }
            Record::Header(_)
            | Record::Diagnosed(_)
            | Record::Snapshot(_)
            | Record::Interrupted { .. } => {}
        }
    }

    /// The trials that no other one beats in all of these metrics, by the first one, best first. Of
    /// trials that are equal in all of them the first counts.
    pub(crate) fn front(&self, metrics: &[Ranked]) -> Vec<u64> {
        let figures = |evaluated: &Evaluated| -> Option<Vec<f64>> {
            let measurement = evaluated.outcome.measurement()?;
            let values = metrics.iter();
            values
                .map(|ranked| {
                    let value = measurement.metric(&ranked.name)?.value;
                    Some(if ranked.higher { -value } else { value })
                })
                .collect()
        };
        let (trials, points): (Vec<u64>, Vec<Vec<f64>>) = self
            .evaluated
            .values()
            .filter_map(|evaluated| Some((evaluated.trial, figures(evaluated)?)))
            .unzip();
        let front = evo_stats::front(&points).into_iter();
        front
            .filter_map(|place| trials.get(place).copied())
            .collect()
    }

    /// The trials that were measured, the best first by the search's own measurement.
    pub(crate) fn ranked(&self, ranking: &Ranking, metric: &str) -> Vec<u64> {
        let mut measured: Vec<(u64, f64)> = self
            .evaluated
            .values()
            .filter_map(|evaluated| {
                let metric = evaluated.outcome.measurement()?.metric(metric)?;
                Some((evaluated.trial, metric.value))
            })
            .collect();
        measured.sort_by(|(_, a), (_, b)| {
            if ranking.better(*a, *b) {
                Ordering::Less
            } else if ranking.better(*b, *a) {
                Ordering::Greater
            } else {
                Ordering::Equal
            }
        });
        measured.into_iter().map(|(trial, _)| trial).collect()
    }

    /// The proposals that have no outcome, oldest first.
    pub(super) fn pending(&self) -> Vec<Proposed> {
        self.proposed
            .iter()
            .filter(|proposed| !self.evaluated.contains_key(&proposed.trial))
            .cloned()
            .collect()
    }
}

/// The journal of a run.
///
/// # Errors
/// Where there is no run in the folder.
pub(super) fn journal_of(run: &Path) -> Result<PathBuf, RunError> {
    let file = run.join(JOURNAL);
    if file.is_file() {
        return Ok(file);
    }
    Err(RunError::input(format!(
        "{}: there is no run in this folder ({JOURNAL} is missing)",
        run.display()
    ))
    .hint("name a folder that `evo run` made, such as runs/<name>"))
}

/// A run that may be under way: its plan, its spec in RON, and what has happened. `purpose` says what
/// there is nothing for where it has no plan yet: "to start from".
///
/// # Errors
/// Where there is no run in the folder, or its journal cannot be read or has no plan.
pub(crate) fn read_run(run: &Path, purpose: &str) -> Result<(Plan, String, History), RunError> {
    let journal = evo_journal::read(&journal_of(run)?)?;
    let (plan, spec) = plan_of(&journal.records).ok_or_else(|| {
        RunError::input(format!(
            "{}: the run ended before it had a plan, so there is nothing {purpose}",
            run.display()
        ))
    })?;
    let mut history = History::default();
    for record in &journal.records {
        history.add(record);
    }
    Ok((plan, spec, history))
}

/// The plan of a journal, with the budget of the last extension, and the spec's text.
pub(super) fn plan_of(records: &[Record]) -> Option<(Plan, String)> {
    let mut found = None;
    for record in records {
        match record {
            Record::Started { plan, spec, .. } => found = Some(((**plan).clone(), spec.clone())),
            Record::Extended { budget, .. } => {
                if let Some((plan, _)) = &mut found {
                    set_budget(plan, budget);
                }
            }
            _ => {}
        }
    }
    found
}

/// Replaces the budget in a plan's engine settings.
pub(super) fn set_budget(plan: &mut Plan, budget: &serde_json::Value) {
    if let Some(engine) = plan.engine.as_object_mut() {
        engine.insert("budget".to_owned(), budget.clone());
    }
}

/// The steps with which the engine is brought to where the journal stands.
pub(super) fn replay_steps(plan: &Plan, records: &[Record]) -> Result<Vec<ReplayStep>, RunError> {
    let mut steps = Vec::new();
    // Candidates of trials, by their places in the plan.
    let mut candidates: BTreeMap<u64, usize> = BTreeMap::new();
    for record in records {
        match record {
            Record::Diagnosed(diagnosed) => {
                let candidate = diagnosed.trial.and_then(|trial| candidates.get(&trial));
                if let (Some(told), Some(candidate)) = (&diagnosed.told, candidate) {
                    let insights = serde_json::from_value(told.clone()).map_err(|error| {
                        RunError::environment(format!(
                            "what the journal says of {} cannot be read: {error}",
                            diagnosed.label
                        ))
                    })?;
                    steps.push(ReplayStep::Insights {
                        candidate: *candidate,
                        source: source(&diagnosed.source),
                        about: solution_of(&diagnosed.source, diagnosed.trial),
                        insights,
                    });
                }
            }
            Record::Proposed(proposed) => {
                let proposal: Proposal = serde_json::from_value(proposed.proposal.clone())
                    .map_err(|error| {
                        RunError::environment(format!(
                            "the journal's proposal of trial {} cannot be read: {error}",
                            proposed.trial
                        ))
                    })?;
                let mut labels = plan.candidates.iter().map(|planned| &planned.label);
                if let Some(place) = labels.position(|label| *label == proposed.candidate) {
                    candidates.insert(proposed.trial, place);
                }
                steps.push(ReplayStep::Proposed(proposal));
            }
            Record::Evaluated(evaluated) => steps.push(ReplayStep::Told {
                trial: evaluated.trial,
                outcome: evaluated.outcome.clone(),
                cost: Cost {
                    wall_s: evaluated.wall_s,
                    device_s: evaluated.device_s,
                },
            }),
            _ => {}
        }
    }
    Ok(steps)
}
