//! Builds the configurations of an audit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use evo_core::space::Space;
use evo_journal::{BuildFacts, Plan, PlannedCandidate};
use evo_types::{BuildRequest, Outcome, Params, ProblemSpec, RejectedBy};
use evo_wire::{ComponentRef, Reply, Request};

use super::plan::Planned;
use super::{AuditEvent, BuiltConfig, FailedConfig};
use crate::driver::{Sorted, leaves_disorder, objection, sort};
use crate::plan::{component, unexpected};
use crate::worker::{Host, Patience};
use crate::{RunError, Stop, lock};

/// What became of each configuration, by its place; missing where the user stopped it.
pub(super) struct Builds(Vec<Option<Built>>);

type Built = Result<BuiltConfig, FailedConfig>;

impl Builds {
    /// A configuration that was built.
    pub(super) fn built(&self, place: usize) -> Option<&BuiltConfig> {
        self.0.get(place)?.as_ref()?.as_ref().ok()
    }

    pub(super) fn finish(self) -> (Vec<BuiltConfig>, Vec<FailedConfig>) {
        let (mut built, mut failed) = (Vec::new(), Vec::new());
        for build in self.0.into_iter().flatten() {
            match build {
                Ok(config) => built.push(config),
                Err(config) => failed.push(config),
            }
        }
        (built, failed)
    }
}

/// Builds them until all are done or the user stops it: for a GPU side by side on all CPUs, for a CPU
/// in their order.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a plan and who is told"
)]
pub(super) fn build_all(
    plan: &Plan,
    problem: &ProblemSpec,
    candidate: &PlannedCandidate,
    space: &Space,
    planned: &Planned,
    host: &mut Host,
    stop: &Stop,
    watch: &mut dyn FnMut(&AuditEvent<'_>),
) -> Result<Builds, RunError> {
    let configs = planned.configs.iter().map(|config| {
        let mut params = space.to_params(config);
        params.extend(candidate.pinned.clone());
        params
    });
    let job = Job {
        plan,
        problem,
        candidate,
        kernel: component(plan, &candidate.plugin, &candidate.kernel)?,
        configs: configs.collect(),
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let workers = cores.min(job.configs.len());
    if plan.device.kind == "cpu" || workers < 2 {
        job.in_turn(host, stop, watch)
    } else {
        job.side_by_side(workers, host, stop, watch)
    }
}

/// The builds of one candidate.
struct Job<'a> {
    plan: &'a Plan,
    problem: &'a ProblemSpec,
    candidate: &'a PlannedCandidate,
    kernel: ComponentRef,
    /// All parameters of each.
    configs: Vec<Params>,
}

impl Job<'_> {
    /// One after the other, on the device's own worker.
    fn in_turn(
        &self,
        host: &mut Host,
        stop: &Stop,
        watch: &mut dyn FnMut(&AuditEvent<'_>),
    ) -> Result<Builds, RunError> {
        let mut done = Vec::new();
        for params in &self.configs {
            // On a CPU a build disturbs the measurements of a run beside it.
            let held = lock::device(&self.plan.device.uuid, stop, |holder| {
                watch(&AuditEvent::WaitingForDevice { holder });
            })?;
            if held.is_none() || stop.requested() {
                break;
            }
            let Some(built) = self.build(params, host, stop)? else {
                break;
            };
            done.push(Some(built));
            watch(&self.built(done.len()));
        }
        Ok(Builds(done))
    }

    /// On so many workers that open no device, each of which takes the next configuration.
    fn side_by_side(
        &self,
        workers: usize,
        host: &Host,
        stop: &Stop,
        watch: &mut dyn FnMut(&AuditEvent<'_>),
    ) -> Result<Builds, RunError> {
        let next = AtomicUsize::new(0);
        let (sender, reports) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..workers {
                let mut builder = Host::builder(host.settings().clone());
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || {
                    while !stop.requested() {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(params) = self.configs.get(place) else {
                            break;
                        };
                        let built = self.build(params, &mut builder, stop);
                        let goes_on = matches!(built, Ok(Some(_)));
                        // Nobody listens any more where another build has failed as a whole.
                        if sender.send((place, built)).is_err() || !goes_on {
                            break;
                        }
                    }
                    builder.recycle();
                });
            }
            drop(sender);
            let mut builds: Vec<Option<Built>> = self.configs.iter().map(|_| None).collect();
            let mut done = 0;
            for (place, built) in reports {
                let Some(built) = built? else { continue };
                if let Some(slot) = builds.get_mut(place) {
                    *slot = Some(built);
                }
                done += 1;
                watch(&self.built(done));
            }
            Ok(Builds(builds))
        })
    }

    fn built(&self, done: usize) -> AuditEvent<'_> {
        AuditEvent::Built {
            candidate: &self.candidate.label,
            done,
            of: self.configs.len(),
        }
    }

    /// One build, and what a run would have against it. `None`: the user asked to stop.
    fn build(
        &self,
        params: &Params,
        host: &mut Host,
        stop: &Stop,
    ) -> Result<Option<Built>, RunError> {
        let request = Request::Build {
            kernel: self.kernel.clone(),
            request: BuildRequest {
                problem: self.problem.clone(),
                config: params.clone(),
                device: self.plan.device.clone(),
            },
        };
        let params = params.clone();
        let reply = host.call(request, 0.0, stop, Patience::Short, &mut |_, _| {});
        let outcome = match reply {
            Ok(Reply::Built {
                execution,
                code,
                launch,
                runtime,
                resources,
                log,
                ..
            }) => {
                let Plan { device, limits, .. } = self.plan;
                if let Some(reason) = objection(device, &resources, &launch, &log, limits) {
                    let by = RejectedBy::Artifact;
                    let outcome = Outcome::Rejected { by, reason };
                    return Ok(Some(Err(FailedConfig { params, outcome })));
                }
                let build = BuildFacts {
                    code,
                    launch,
                    runtime,
                    figures: resources,
                };
                return Ok(Some(Ok(BuiltConfig {
                    params,
                    execution,
                    build,
                })));
            }
            Ok(Reply::Outcome { outcome, .. }) => *outcome,
            Ok(other) => return Err(unexpected("Build", &other)),
            Err(failure) => match sort(failure) {
                Sorted::Outcome(outcome) => outcome,
                Sorted::Interrupted => return Ok(None),
                Sorted::Error(error) => return Err(error),
            },
        };
        recycle_after(&outcome, host);
        Ok(Some(Err(FailedConfig { params, outcome })))
    }
}

/// A worker that may be in disorder is not used again.
pub(super) fn recycle_after(outcome: &Outcome, host: &mut Host) {
    if leaves_disorder(outcome) {
        host.recycle();
    }
}
