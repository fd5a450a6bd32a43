//! Builds the configurations of an audit.

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
pub(super) struct Builds(Vec<Result<BuiltConfig, FailedConfig>>);

impl Builds {
    /// A configuration that was built.
    pub(super) fn built(&self, place: usize) -> Option<&BuiltConfig> {
        self.0.get(place)?.as_ref().ok()
    }

    pub(super) fn finish(self) -> (Vec<BuiltConfig>, Vec<FailedConfig>) {
        let (mut built, mut failed) = (Vec::new(), Vec::new());
        for build in self.0 {
            match build {
                Ok(config) => built.push(config),
                Err(config) => failed.push(config),
            }
        }
        (built, failed)
    }
}

/// Builds them in their order until all are done or the user stops it.
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
    let kernel = component(plan, &candidate.plugin, &candidate.kernel)?;
    let mut done = Vec::new();
    for config in &planned.configs {
        let mut params = space.to_params(config);
        params.extend(candidate.pinned.clone());
        // On a CPU a build disturbs the measurements of a run beside it.
        let held = lock::device(&plan.device.uuid, stop, |holder| {
            watch(&AuditEvent::WaitingForDevice { holder });
        })?;
        if held.is_none() || stop.requested() {
            break;
        }
        let request = BuildRequest {
            problem: problem.clone(),
            config: params.clone(),
            device: plan.device.clone(),
        };
        let Some(built) = build(plan, &kernel, request, params, host, stop)? else {
            break;
        };
        done.push(built);
        watch(&AuditEvent::Built {
            candidate: &candidate.label,
            done: done.len(),
            of: planned.configs.len(),
        });
    }
    Ok(Builds(done))
}

/// One build, and what a run would have against it. `None`: the user asked to stop.
fn build(
    plan: &Plan,
    kernel: &ComponentRef,
    request: BuildRequest,
    params: Params,
    host: &mut Host,
    stop: &Stop,
) -> Result<Option<Result<BuiltConfig, FailedConfig>>, RunError> {
    let request = Request::Build {
        kernel: kernel.clone(),
        request,
    };
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
            let Plan { device, limits, .. } = plan;
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

/// A worker that may be in disorder is not used again.
pub(super) fn recycle_after(outcome: &Outcome, host: &mut Host) {
    if leaves_disorder(outcome) {
        host.recycle();
    }
}
