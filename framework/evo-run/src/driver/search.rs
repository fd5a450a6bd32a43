//! The search loop: ask, record, evaluate, record, tell.

use std::collections::VecDeque;

use evo_core::engine::{Ask, Cost, Proposal};
use evo_journal::{Evaluated, Proposed, Record};
use evo_types::{Direction, Outcome, OutcomeKind, RejectedBy};

use super::session::{Session, now};
use super::trial::Judged;
use crate::{Event, Observer, Progress, RunError};

/// How the search loop ended.
pub(super) enum SearchEnd {
    /// By itself, for this reason.
    Ended(String),
    /// By the user.
    Interrupted,
}

/// Attempts after which a trial is given up although the machine stayed up. A program that is
/// killed again and again is hardly the candidate's fault, so this is generous.
const MOST_ATTEMPTS: u32 = 20;

/// A proposal that waits for its evaluation.
struct Pending {
    proposed: Proposed,
    attempt: u32,
}

impl Session {
    /// Evaluates what is pending and asks for more until the campaign ends. Outcomes are told in
    /// the order of the proposals, so that the proposals do not depend on timing.
    pub(super) fn search(&mut self, observer: &mut dyn Observer) -> Result<SearchEnd, RunError> {
        let mut queue = self.pending_again()?;
        let mut ended = None;
        let mut deaths = 0;
        loop {
            while ended.is_none() && queue.len() < self.plan.ahead && !self.stop.requested() {
                match self.campaign.ask() {
                    Ask::Propose(proposal) => {
                        let proposed = self.describe(&proposal)?;
                        self.append(Record::Proposed(proposed.clone()))?;
                        observer.on(&Event::Proposed(&proposed));
                        queue.push_back(Pending {
                            proposed,
                            attempt: 1,
                        });
                    }
                    Ask::Wait => break,
                    Ask::Exhausted => {
                        ended = Some("every valid configuration has been tried".to_owned());
                    }
                    Ask::Stop(reason) => ended = Some(reason.to_string()),
                }
            }
            if self.stop.requested() {
                return Ok(SearchEnd::Interrupted);
            }
            let Some(pending) = queue.pop_front() else {
                return Ok(match ended {
                    Some(reason) => SearchEnd::Ended(reason),
                    None => SearchEnd::Interrupted,
                });
            };
            let Some(evaluated) = self.evaluate(&pending, observer)? else {
                return Ok(SearchEnd::Interrupted);
            };
            deaths = if kills(&evaluated.outcome) {
                deaths + 1
            } else {
                0
            };
            self.settle(&pending.proposed, evaluated, observer)?;
            if deaths >= self.plan.limits.crashes_in_a_row {
                return Err(RunError::environment(format!(
                    "the last {deaths} trials in a row killed their worker: the environment seems \
                     to be broken"
                ))
                .hint(
                    "`tune_log.csv` in the run folder says how each one ended; raise \
                     `limits: (crashes_in_a_row: N)` if so many crashes are to be expected",
                ));
            }
        }
    }

    /// Records an outcome, tells it to the campaign and to whoever watches.
    fn settle(
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
        Ok(())
    }

    /// A metric that says of itself that it is better the other way round would be searched for
    /// its worst.
    fn check_direction(&self, outcome: &Outcome) -> Result<(), RunError> {
        let metric = outcome
            .measurement()
            .and_then(|m| m.metric(&self.plan.metric));
        let higher = self.campaign.settings().ranking.better(2.0, 1.0);
        match metric.map(|metric| metric.direction) {
            Some(Direction::Higher) if !higher => Err(RunError::input(format!(
                "the metric `{}` is better when it is higher, and this run looks for the lowest",
                self.plan.metric
            ))
            .hint("set `higher_is_better: true` in the spec")),
            Some(Direction::Lower) if higher => Err(RunError::input(format!(
                "the metric `{}` is better when it is lower, and this run looks for the highest",
                self.plan.metric
            ))
            .hint("set `higher_is_better: false` in the spec")),
            _ => Ok(()),
        }
    }

    /// The proposals of an earlier session that have no outcome. One whose evaluation was cut off
    /// begins its next attempt; one that had not begun when the user interrupted does not.
    fn pending_again(&mut self) -> Result<VecDeque<Pending>, RunError> {
        let cut_off = !self.history.interrupted;
        let mut queue = VecDeque::new();
        for proposed in self.history.pending() {
            let mut attempt = self
                .history
                .attempts
                .get(&proposed.trial)
                .copied()
                .unwrap_or(1);
            if cut_off {
                attempt += 1;
                let reason = "the run was cut off during the evaluation".to_owned();
                self.append(Record::Retried {
                    trial: proposed.trial,
                    attempt,
                    rebooted: self.rebooted,
                    reason,
                })?;
            }
            queue.push_back(Pending { proposed, attempt });
        }
        Ok(queue)
    }

    fn evaluate(
        &mut self,
        pending: &Pending,
        observer: &mut dyn Observer,
    ) -> Result<Option<Evaluated>, RunError> {
        let Pending { proposed, attempt } = pending;
        let reboots = self
            .history
            .reboots
            .get(&proposed.trial)
            .copied()
            .unwrap_or(0);
        let judged = if reboots >= self.plan.limits.attempts || *attempt > MOST_ATTEMPTS {
            let reason = format!(
                "the run was cut off {} times while this configuration was evaluated, {reboots} \
                 times because the machine went down",
                attempt - 1
            );
            Judged::free(Outcome::Rejected {
                by: RejectedBy::Quarantine,
                reason,
            })
        } else {
            match self.judge(proposed, observer)? {
                Some(judged) => judged,
                None => return Ok(None),
            }
        };
        Ok(Some(Evaluated {
            trial: proposed.trial,
            attempt: *attempt,
            outcome: judged.outcome,
            execution: judged.execution,
            build: judged.build,
            wall_s: judged.wall_s,
            device_s: judged.device_s,
            device: self.plan.device.uuid.clone(),
            elapsed_s: self.elapsed_s(),
            at: now(),
        }))
    }

    fn describe(&self, proposal: &Proposal) -> Result<Proposed, RunError> {
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
            .baselines
            .iter()
            .filter_map(|baseline| {
                let (baseline_value, best) = (self.baseline_median(&baseline.label)?, best?);
                let higher = self.campaign.settings().ranking.better(2.0, 1.0);
                let ratio = if higher {
                    best / baseline_value
                } else {
                    baseline_value / best
                };
                Some((baseline.label.clone(), ratio))
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

/// Whether the outcome is one that ends its worker.
fn kills(outcome: &Outcome) -> bool {
    matches!(
        outcome.kind(),
        OutcomeKind::Crashed | OutcomeKind::TimedOut | OutcomeKind::OutOfMemory
    )
}
