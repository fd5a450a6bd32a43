//! One trial: what a worker is asked for it, and what its answers mean.

use std::time::Instant;

use evo_core::engine::Ranked;
use evo_journal::{BuildFacts, Plan, Proposed, Work};
use evo_types::{BuildRequest, ContentHash, DeviceFacts, Outcome, Params, RejectedBy};
use evo_wire::{ComponentRef, MeasureJob, Reply, Request};

use super::session::Session;
use super::statics;
use crate::plan::unexpected;
use crate::worker::{CallFailure, Patience};
use crate::{Event, Observer, RunError};

/// What became of a trial, and what it cost.
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) execution: Option<ContentHash>,
    pub(super) build: Option<BuildFacts>,
    pub(super) wall_s: f64,
    pub(super) device_s: f64,
    /// Whether an objective that replays has charged these seconds, and nothing ran.
    pub(super) charged: bool,
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
            charged: false,
        }
    }

    /// The outcome of what was built so.
    pub(super) fn with(self, built: Built) -> Self {
        Self {
            execution: Some(built.execution),
            build: Some(built.facts),
            ..self
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

/// What a build was found to be.
pub(super) struct Built {
    pub(super) execution: ContentHash,
    pub(super) facts: BuildFacts,
}

/// What became of a build.
pub(super) enum BuildEnd {
    Built(Built),
    Judged(Judged),
    Interrupted,
}

impl Session {
    /// Says so where a candidate has left processes running.
    pub(super) fn name_leaked(
        &mut self,
        trial: u64,
        leaked: usize,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        if leaked == 0 {
            return Ok(());
        }
        let message = format!(
            "trial {trial} left {leaked} processes running; they were killed, and the worker was \
             replaced"
        );
        self.warn(observer, &message)
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

    /// The build of a proposal, as a request.
    pub(super) fn build_request(&self, proposed: &Proposed) -> Result<Request, RunError> {
        let (kernel, request) = self.kernel_request(proposed, &self.plan.device)?;
        Ok(Request::Build { kernel, request })
    }

    /// The measurement of a proposal on a device, as a request, and the seconds of timed launches
    /// that it allows.
    pub(super) fn measure_request(
        &self,
        proposed: &Proposed,
        device: &DeviceFacts,
    ) -> Result<(Request, f64), RunError> {
        if let Work::Objective {
            plugin,
            name,
            settings,
        } = &self.plan.work
        {
            let request = Request::Evaluate {
                objective: self.component(plugin, name)?,
                settings: settings.clone(),
                config: proposed.params.clone(),
            };
            return Ok((request, 0.0));
        }
        let problem = self
            .problem()?
            .ok_or_else(|| RunError::internal("a kernel is measured without a problem"))?;
        let (kernel, request) = self.kernel_request(proposed, device)?;
        let settings = self.measuring.search.clone();
        let seconds = settings.max_seconds + settings.warmup();
        let job = MeasureJob {
            problem,
            kernel,
            request,
            seed: self.seed_for("trial", proposed.trial),
            incumbent: self.incumbent(),
            settings,
        };
        Ok((Request::Measure(Box::new(job)), seconds))
    }

    fn kernel_request(
        &self,
        proposed: &Proposed,
        device: &DeviceFacts,
    ) -> Result<(ComponentRef, BuildRequest), RunError> {
        let candidate = self
            .plan
            .candidates
            .iter()
            .find(|candidate| candidate.label == proposed.candidate)
            .ok_or_else(|| {
                RunError::internal(format!("there is no candidate `{}`", proposed.candidate))
            })?;
        let Work::Problem { spec, .. } = &self.plan.work else {
            return Err(RunError::internal("an objective has no kernel"));
        };
        let request = BuildRequest {
            problem: spec.clone(),
            config: proposed.params.clone(),
            device: device.clone(),
        };
        Ok((
            self.component(&candidate.plugin, &candidate.kernel)?,
            request,
        ))
    }

    /// What a worker's answer to a build means.
    pub(super) fn build_end(
        &self,
        answer: Result<Reply, CallFailure>,
    ) -> Result<BuildEnd, RunError> {
        match answer {
            Ok(Reply::Built {
                execution,
                code,
                launch,
                runtime,
                resources,
                log,
                ..
            }) => {
                let Plan { device, limits, .. } = &self.plan;
                let objection = statics::objection(device, &resources, &launch, &log, limits);
                let facts = BuildFacts {
                    code,
                    launch,
                    runtime,
                    figures: resources,
                };
                let built = Built { execution, facts };
                Ok(match objection {
                    None => BuildEnd::Built(built),
                    Some(reason) => {
                        let by = RejectedBy::Artifact;
                        let rejected = Judged::free(Outcome::Rejected { by, reason });
                        BuildEnd::Judged(rejected.with(built))
                    }
                })
            }
            Ok(Reply::Outcome { outcome, .. }) => Ok(BuildEnd::Judged(Judged::free(*outcome))),
            Ok(other) => Err(unexpected("Build", &other)),
            Err(failure) => Ok(match judged_failure(failure)? {
                Some(judged) => BuildEnd::Judged(judged),
                None => BuildEnd::Interrupted,
            }),
        }
    }

    /// The upper bound of the best time so far, for racing; nothing races in a ranking by another
    /// metric than time.
    fn incumbent(&self) -> Option<f64> {
        if *self.campaign.settings().ranking.metrics() != [Ranked::lower("kernel_time")] {
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
        let answer = self.call(request, measuring_s, Patience::Long, trial, observer);
        judged_answer(answer, began.elapsed().as_secs_f64())
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

/// What a worker's answer to a measurement or an evaluation means; it took so many seconds. `None`:
/// the user asked to stop.
pub(super) fn judged_answer(
    answer: Result<Reply, CallFailure>,
    seconds: f64,
) -> Result<Option<Judged>, RunError> {
    match answer {
        Ok(Reply::Outcome {
            outcome,
            device_seconds,
            charged,
            spent: _,
        }) => Ok(Some(Judged {
            device_s: device_seconds,
            charged,
            ..Judged::free(*outcome)
        })),
        Ok(other) => Err(unexpected("an evaluation", &other)),
        Err(failure) => {
            let judged = judged_failure(failure)?;
            // A worker that was killed cannot say how long the device was busy.
            Ok(judged.map(|judged| Judged {
                device_s: seconds,
                ..judged
            }))
        }
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
