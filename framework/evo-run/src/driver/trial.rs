//! One trial: build, look for a repeat, measure; or evaluate an objective.

use std::time::Instant;

use evo_journal::{BuildFacts, Proposed, Work};
use evo_types::{BuildRequest, ContentHash, Outcome, Params, ProblemSpec};
use evo_wire::{ComponentRef, MeasureJob, Reply, Request};

use super::session::Session;
use crate::plan::unexpected;
use crate::worker::{CallFailure, Patience};
use crate::{Event, Observer, RunError, lock};

/// What became of a trial, and what it cost.
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) execution: Option<ContentHash>,
    pub(super) build: Option<BuildFacts>,
    pub(super) wall_s: f64,
    pub(super) device_s: f64,
}

impl Judged {
    /// An outcome that cost nothing.
    pub(super) fn free(outcome: Outcome) -> Self {
        Self {
            outcome,
            execution: None,
            build: None,
            wall_s: 0.0,
            device_s: 0.0,
        }
    }
}

/// A failed call, sorted: into an outcome of the candidate, the user's wish to stop, or an error
/// of the run.
pub(crate) enum Sorted {
    Outcome(Outcome),
    Interrupted,
    Error(RunError),
}

pub(crate) fn sort(failure: CallFailure) -> Sorted {
    match failure {
        CallFailure::Died {
            phase,
            message,
            output,
            ..
        } => Sorted::Outcome(Outcome::Crashed {
            phase,
            message,
            output,
        }),
        CallFailure::TimedOut { phase, limit_s, .. } => {
            Sorted::Outcome(Outcome::TimedOut { phase, limit_s })
        }
        CallFailure::OutOfMemory { phase, message, .. } => {
            Sorted::Outcome(Outcome::OutOfMemory { phase, message })
        }
        CallFailure::Interrupted => Sorted::Interrupted,
        failure @ (CallFailure::Refused { .. } | CallFailure::Environment(_)) => {
            Sorted::Error(failure.into())
        }
    }
}

impl Session {
    /// Evaluates a proposal. `None`: the user asked to stop at once.
    pub(super) fn judge(
        &mut self,
        proposed: &Proposed,
        observer: &mut dyn Observer,
    ) -> Result<Option<Judged>, RunError> {
        let began = Instant::now();
        let mut waited_s = 0.0;
        let work = self.plan.work.clone();
        let judged = match &work {
            Work::Objective {
                plugin,
                name,
                settings,
            } => {
                let objective = self.component(plugin, name)?;
                self.evaluate_objective(
                    objective,
                    settings,
                    &proposed.params,
                    proposed.trial,
                    observer,
                )?
            }
            Work::Problem { spec, .. } => {
                self.measure_kernel(spec, proposed, &mut waited_s, observer)?
            }
        };
        let Some(mut judged) = judged else {
            return Ok(None);
        };
        if leaves_disorder(&judged.outcome) {
            self.host.recycle();
        }
        self.name_leaked(proposed.trial, observer)?;
        judged.wall_s = (began.elapsed().as_secs_f64() - waited_s).max(0.0);
        if matches!(work, Work::Objective { .. }) {
            // An objective that replays charges what the evaluation cost when it was recorded.
            judged.wall_s = judged.wall_s.max(judged.device_s);
        }
        Ok(Some(judged))
    }

    /// Says so where a candidate has left processes running.
    fn name_leaked(&mut self, trial: u64, observer: &mut dyn Observer) -> Result<(), RunError> {
        match self.host.take_leaked() {
            0 => Ok(()),
            count => {
                let message = format!(
                    "trial {trial} left {count} processes running; they were killed, and the \
                     worker was replaced"
                );
                self.warn(observer, &message)
            }
        }
    }

    /// Asks an objective for one configuration.
    pub(super) fn evaluate_objective(
        &mut self,
        objective: ComponentRef,
        settings: &Params,
        config: &Params,
        trial: u64,
        observer: &mut dyn Observer,
    ) -> Result<Option<Judged>, RunError> {
        let request = Request::Evaluate {
            objective,
            settings: settings.clone(),
            config: config.clone(),
        };
        self.call_for_outcome(request, 0.0, trial, observer)
    }

    fn measure_kernel(
        &mut self,
        problem: &ProblemSpec,
        proposed: &Proposed,
        waited_s: &mut f64,
        observer: &mut dyn Observer,
    ) -> Result<Option<Judged>, RunError> {
        let candidate = self
            .plan
            .candidates
            .iter()
            .find(|candidate| candidate.label == proposed.candidate)
            .ok_or_else(|| {
                RunError::internal(format!("there is no candidate `{}`", proposed.candidate))
            })?;
        let kernel = self.component(&candidate.plugin, &candidate.kernel)?;
        let request = BuildRequest {
            problem: problem.clone(),
            config: proposed.params.clone(),
            device: self.plan.device.clone(),
        };
        // On a CPU a build disturbs another run's measurement just as a measurement would.
        let waiting = Instant::now();
        let held = lock::device(&self.plan.device.uuid, &self.stop, |holder| {
            observer.on(&Event::WaitingForDevice { holder });
        })?;
        *waited_s = waiting.elapsed().as_secs_f64();
        if held.is_none() {
            return Ok(None);
        }
        let build = Request::Build {
            kernel: kernel.clone(),
            request: request.clone(),
        };
        let trial = proposed.trial;
        let (execution, facts) = match self.call(build, 0.0, Patience::Long, trial, observer) {
            Ok(Reply::Built {
                execution,
                code,
                launch,
                runtime,
                resources,
                ..
            }) => {
                let facts = BuildFacts {
                    code,
                    launch,
                    runtime,
                    figures: resources,
                };
                (execution, facts)
            }
            Ok(Reply::Outcome {
                outcome,
                device_seconds,
            }) => {
                return Ok(Some(Judged {
                    device_s: device_seconds,
                    ..Judged::free(*outcome)
                }));
            }
            Ok(other) => return Err(unexpected("Build", &other)),
            Err(failure) => return judged_failure(failure),
        };
        if let Some(earlier) = self.history.executions.get(&execution).copied() {
            let outcome = Outcome::DuplicateOf { trial: earlier };
            return Ok(Some(Judged {
                execution: Some(execution),
                build: Some(facts),
                ..Judged::free(outcome)
            }));
        }
        let problem = self
            .problem()?
            .ok_or_else(|| RunError::internal("a kernel is measured without a problem"))?;
        let settings = self.measuring.search.clone();
        let job = MeasureJob {
            problem,
            kernel,
            request,
            seed: self.seed_for("trial", trial),
            incumbent: self.incumbent(),
            settings: settings.clone(),
        };
        let seconds = settings.max_seconds + settings.warmup_seconds;
        let judged =
            self.call_for_outcome(Request::Measure(Box::new(job)), seconds, trial, observer)?;
        Ok(judged.map(|judged| Judged {
            execution: Some(execution),
            build: Some(facts),
            ..judged
        }))
    }

    /// The upper bound of the best time so far, for racing; nothing races in a ranking by another
    /// metric than time.
    fn incumbent(&self) -> Option<f64> {
        if self.plan.metric != "kernel_time" {
            return None;
        }
        let (_, best) = self.campaign.best()?;
        let outcome = &self.history.evaluated.get(&best.trial)?.outcome;
        let metric = outcome.measurement()?.metric("kernel_time")?;
        metric.ci_high
    }

    fn call_for_outcome(
        &mut self,
        request: Request,
        measuring_s: f64,
        trial: u64,
        observer: &mut dyn Observer,
    ) -> Result<Option<Judged>, RunError> {
        let began = Instant::now();
        match self.call(request, measuring_s, Patience::Long, trial, observer) {
            Ok(Reply::Outcome {
                outcome,
                device_seconds,
            }) => Ok(Some(Judged {
                device_s: device_seconds,
                ..Judged::free(*outcome)
            })),
            Ok(other) => Err(unexpected("an evaluation", &other)),
            Err(failure) => {
                // A worker that was killed cannot say how long the device was busy.
                let device_s = began.elapsed().as_secs_f64();
                let judged = judged_failure(failure)?;
                Ok(judged.map(|judged| Judged { device_s, ..judged }))
            }
        }
    }

    fn call(
        &mut self,
        request: Request,
        measuring_s: f64,
        patience: Patience,
        trial: u64,
        observer: &mut dyn Observer,
    ) -> Result<Reply, CallFailure> {
        let stop = self.stop.clone();
        self.host
            .call(request, measuring_s, &stop, patience, &mut |phase, _| {
                observer.on(&Event::Phase {
                    phase,
                    subject: format!("trial {trial}"),
                });
            })
    }
}

fn judged_failure(failure: CallFailure) -> Result<Option<Judged>, RunError> {
    match sort(failure) {
        Sorted::Outcome(outcome) => Ok(Some(Judged::free(outcome))),
        Sorted::Interrupted => Ok(None),
        Sorted::Error(error) => Err(error),
    }
}

/// After these the worker's memory may not be what it should be, so it is not used again.
pub(crate) fn leaves_disorder(outcome: &Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::Measured(_)
            | Outcome::Rejected { .. }
            | Outcome::DuplicateOf { .. }
            | Outcome::BuildFailed { .. }
    )
}
