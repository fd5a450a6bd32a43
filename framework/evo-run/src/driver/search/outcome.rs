//! What a session makes of proposals and outcomes: records, what the campaign is told, progress.

use evo_core::engine::{Cost, Proposal};
use evo_journal::{Evaluated, Proposed, Record};
use evo_types::{Direction, Outcome, RejectedBy};

use super::super::session::Session;
use super::super::trial::Judged;
use super::Pending;
use crate::{Event, Observer, Progress, RunError};

/// Attempts after which a trial is given up although the machine stayed up. A program that is
/// killed again and again is hardly the candidate's fault, so this is generous.
const MOST_ATTEMPTS: u32 = 20;

impl Session {
    /// Records an outcome, tells it to the campaign and to whoever watches.
    pub(super) fn settle(
        &mut self,
        proposed: &Proposed,
        evaluated: Evaluated,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        self.check_direction(&evaluated.outcome)?;
        let cost = Cost {
            wall_s: evaluated.wall_s,
            device_s: evaluated.device_s,
        };
        self.campaign
            .tell(evaluated.trial, &evaluated.outcome, cost)
            .map_err(|error| RunError::input(error.to_string()))?;
        self.append(Record::Evaluated(Box::new(evaluated.clone())))?;
        let progress = self.progress(&evaluated);
        observer.on(&Event::Evaluated {
            proposed,
            evaluated: &evaluated,
            progress: &progress,
        });
        self.diagnose_build(proposed, &evaluated, observer)
    }

    /// A metric that says of itself that it is better the other way round would be searched for
    /// its worst.
    fn check_direction(&self, outcome: &Outcome) -> Result<(), RunError> {
        for ranked in self.campaign.settings().ranking.metrics() {
            let metric = outcome.measurement().and_then(|m| m.metric(&ranked.name));
            match metric.map(|metric| metric.direction) {
                Some(Direction::Higher) if !ranked.higher => {
                    return Err(RunError::input(format!(
                        "the metric `{}` is better when it is higher, and this run looks for the lowest",
                        ranked.name
                    ))
                    .hint("set `higher_is_better: true` in the spec"));
                }
                Some(Direction::Lower) if ranked.higher => {
                    return Err(RunError::input(format!(
                        "the metric `{}` is better when it is lower, and this run looks for the highest",
                        ranked.name
                    ))
                    .hint("set `higher_is_better: false` in the spec"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The proposals of an earlier session that have no outcome. One whose evaluation was cut off
    /// begins its next attempt; one that had not begun when the user interrupted, or that was only
    /// built ahead, does not.
    pub(super) fn pending_again(&mut self, lanes: usize) -> Result<Vec<Pending>, RunError> {
        let cut_off = !self.history.interrupted;
        let mut pending = Vec::new();
        for (place, proposed) in self.history.pending().into_iter().enumerate() {
            let mut attempt = self
                .history
                .attempts
                .get(&proposed.trial)
                .copied()
                .unwrap_or(1);
            if cut_off && place < lanes {
                attempt += 1;
                let reason = "the run was cut off during the evaluation".to_owned();
                self.append(Record::Retried {
                    trial: proposed.trial,
                    attempt,
                    rebooted: self.rebooted,
                    reason,
                })?;
            }
            pending.push(Pending { proposed, attempt });
        }
        Ok(pending)
    }

    /// The outcome of a trial that was cut off too often to be run again.
    pub(super) fn quarantine(&self, pending: &Pending) -> Option<Judged> {
        let Pending { proposed, attempt } = pending;
        let reboots = self.history.reboots.get(&proposed.trial).copied();
        let reboots = reboots.unwrap_or(0);
        if reboots < self.plan.limits.attempts && *attempt <= MOST_ATTEMPTS {
            return None;
        }
        let reason = format!(
            "the run was cut off {} times while this configuration was evaluated, {reboots} \
             times because the machine went down",
            attempt - 1
        );
        let by = RejectedBy::Quarantine;
        Some(Judged::free(Outcome::Rejected { by, reason }))
    }

    pub(super) fn describe(&self, proposal: &Proposal) -> Result<Proposed, RunError> {
        let candidate = self
            .plan
            .candidates
            .get(proposal.candidate)
            .ok_or_else(|| {
                RunError::internal(format!("there is no candidate {}", proposal.candidate))
            })?;
        let mut params = proposal.params.clone();
        params.extend(candidate.pinned.clone());
        Ok(Proposed {
            trial: proposal.trial,
            candidate: candidate.label.clone(),
            params,
            id: proposal.id.clone(),
            operator: proposal.origin.operator.clone(),
            parents: proposal.origin.parents.clone(),
            insights: proposal
                .origin
                .insights
                .iter()
                .map(|i| i.statement.clone())
                .collect(),
            proposal: serde_json::to_value(proposal).map_err(|error| {
                RunError::internal(format!("a proposal cannot be written: {error}"))
            })?,
        })
    }

    fn progress(&self, evaluated: &Evaluated) -> Progress {
        let counts = self.campaign.counts().clone();
        let budget = &self.campaign.settings().budget;
        let best = self.campaign.best().map(|(_, solution)| solution.value);
        let pace = counts.wall_s / counts.trials.max(1) as f64;
        let by_trials = budget
            .trials
            .map(|trials| trials.saturating_sub(counts.trials) as f64 * pace);
        let by_wall = budget.wall_s.map(|limit| (limit - counts.wall_s).max(0.0));
        let left_s = by_trials.into_iter().chain(by_wall).reduce(f64::min);
        let speedups = self
            .plan
            .references()
            .into_iter()
            .filter_map(|reference| {
                let (baseline, best) = (self.median_over(&reference.members)?, best?);
                let higher = self.campaign.settings().ranking.better(2.0, 1.0);
                let ratio = if higher {
                    best / baseline
                } else {
                    baseline / best
                };
                Some((self.plan.called(&reference), ratio))
            })
            .collect();
        let metric = evaluated
            .outcome
            .measurement()
            .and_then(|m| m.metric(&self.plan.metric));
        let unit = metric
            .map(|metric| metric.unit.clone())
            .or_else(|| self.unit());
        let budget_trials = budget.trials;
        Progress {
            counts,
            budget_trials,
            left_s,
            best,
            unit: unit.unwrap_or_default(),
            speedups,
        }
    }

    /// The unit of the ranked metric, from the first trial that was measured.
    fn unit(&self) -> Option<String> {
        self.history.evaluated.values().find_map(|evaluated| {
            let measurement = evaluated.outcome.measurement()?;
            measurement
                .metric(&self.plan.metric)
                .map(|metric| metric.unit.clone())
        })
    }
}
