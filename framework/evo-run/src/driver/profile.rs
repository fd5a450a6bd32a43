//! Profiling passes: after the search, apart from every ranked measurement.

use evo_journal::{Profiled, Record, Work};
use evo_types::BuildRequest;
use evo_wire::{ProfileJob, Reply, Request};

use super::session::{Session, now};
use super::trial::{Sorted, sort};
use crate::plan::unexpected;
use crate::worker::{CallFailure, Patience};
use crate::{Event, Observer, RunError, lock};

impl Session {
    /// Runs every profiler of the plan over the baselines and the finalists. `false`: the user
    /// asked to stop.
    pub(super) fn profile(&mut self, observer: &mut dyn Observer) -> Result<bool, RunError> {
        let Work::Problem { spec, .. } = self.plan.work.clone() else {
            return Ok(true);
        };
        for profiler in self.plan.profilers.clone() {
            let Some((plugin, name)) = profiler.split_once('/') else {
                return Err(RunError::internal(format!(
                    "`{profiler}` names no profiler"
                )));
            };
            let component = self.component(plugin, name)?;
            for target in self.profiled_candidates()? {
                if self
                    .history
                    .profiled
                    .contains(&(profiler.clone(), target.label.clone()))
                {
                    continue;
                }
                let problem = self.problem()?.ok_or_else(|| {
                    RunError::internal("a profile was asked for without a problem")
                })?;
                let job = ProfileJob {
                    profiler: component.clone(),
                    problem,
                    kernel: self.component(&target.plugin, &target.kernel)?,
                    request: BuildRequest {
                        problem: spec.clone(),
                        config: target.params.clone(),
                        device: self.plan.device.clone(),
                    },
                    seed: self.seed_for("profile", target.trial.unwrap_or_default()),
                };
                let held = lock::device(&self.plan.device.uuid, &self.stop, |holder| {
                    observer.on(&Event::WaitingForDevice { holder });
                })?;
                if held.is_none() {
                    return Ok(false);
                }
                let stop = self.stop.clone();
                let label = target.label.clone();
                let reply = self.host.call(
                    Request::Profile(Box::new(job)),
                    0.0,
                    &stop,
                    Patience::Short,
                    &mut |phase, _| {
                        observer.on(&Event::Phase {
                            phase,
                            subject: label.clone(),
                        })
                    },
                );
                let (metrics, failure) = match reply {
                    Ok(Reply::Profiled { metrics }) => (metrics, None),
                    Ok(Reply::Outcome { outcome, .. }) => (Vec::new(), Some(outcome.summary())),
                    Ok(other) => return Err(unexpected("Profile", &other)),
                    Err(CallFailure::Refused { message, .. }) => (Vec::new(), Some(message)),
                    Err(failure) => match sort(failure) {
                        Sorted::Outcome(outcome) => (Vec::new(), Some(outcome.summary())),
                        Sorted::Interrupted => return Ok(false),
                        Sorted::Error(error) => return Err(error),
                    },
                };
                let profiled = Profiled {
                    at: now(),
                    profiler: profiler.clone(),
                    label: target.label,
                    trial: target.trial,
                    metrics,
                    failure,
                };
                self.append(Record::Profiled(profiled.clone()))?;
                observer.on(&Event::Profiled(&profiled));
            }
        }
        Ok(true)
    }
}
