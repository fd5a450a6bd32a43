//! Profiling passes: a profiler of a plugin launches a candidate as often as it likes.

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RString;
use evo_plugin::__private::host;
use evo_plugin::Error;
use evo_plugin::abi::{
    BoxedRunnable, Outside, RawArtifact, RawResult, RawRunnable, RawRunnable_TO,
};
use evo_types::{DeviceFacts, Metric, Outcome, Phase};
use evo_wire::{ComponentRef, ProfileJob, ReplayJob, ReplayMode, Request};

use crate::check::Slot;
use crate::component::Built;
use crate::device;
use crate::fault::{Fault, LaunchPlace, outcome_of};
use crate::memory::Placement;
use crate::outside;
use crate::serve::{Reporter, Worker};

/// The candidate as the profiler sees it.
struct Runnable<'a> {
    slot: Slot,
    built: &'a Built,
    request: &'a str,
}

impl RawRunnable for Runnable<'_> {
    fn request(&self) -> RString {
        self.request.into()
    }

    fn artifact(&self) -> RawArtifact {
        self.built.raw.clone()
    }

    fn launch(&mut self) -> RawResult<()> {
        let Slot { set, instance } = &mut self.slot;
        let launched = host::result(instance.launch_raw(set)).and_then(|()| instance.site().wait());
        host::to_result(launched.map_err(of_candidate))
    }
}

/// A launch that is refused says nothing of the profiler, which rejects work only for itself.
fn of_candidate(error: Error) -> Error {
    match error {
        Error::Rejected(reason) => Error::Failed(reason),
        other => other,
    }
}

/// The request as a profiler gets it: with the command that launches the candidate in a process of its
/// own, where there is a folder in which to say what that is.
fn request(job: &ProfileJob, hello: Option<&Request>) -> Result<String, Fault> {
    let written = |error: serde_json::Error| {
        Fault::internal(format!("a document cannot be written: {error}"))
    };
    let mut document = serde_json::to_value(&job.request).map_err(written)?;
    let mut outside = Outside {
        measured: job.measured.clone(),
        ..Outside::default()
    };
    if let (Some(folder), Some(hello)) = (&job.folder, hello) {
        let own = outside::Job {
            hello: hello.clone(),
            job: ReplayJob {
                problem: job.problem.clone(),
                kernel: job.kernel.clone(),
                request: job.request.clone(),
                seeds: vec![job.seed],
                distribution: None,
                check_all_rows: false,
                // What lies around the buffers is nobody's concern here.
                guards: false,
                mode: ReplayMode::Launch { launches: 1 },
            },
        };
        outside.command = own.command(folder).map_err(Fault::internal)?;
        outside.folder = Some(folder.clone());
    }
    if let Some(fields) = document.as_object_mut() {
        let outside = serde_json::to_value(&outside).map_err(written)?;
        fields.insert("outside".to_owned(), outside);
    }
    serde_json::to_string(&document).map_err(written)
}

/// Why the profiler does not work here, if it does not.
///
/// # Errors
/// A plugin that cannot be loaded or has no such profiler.
pub(crate) fn absent(worker: &mut Worker, job: &ProfileJob) -> Result<Option<String>, Fault> {
    probe_on(worker, &job.profiler, &job.request.device)
}

/// As [`absent`], on the device of this worker, or on the first GPU if it is one for GPUs.
///
/// # Errors
/// As for `absent`.
pub(crate) fn probe(worker: &mut Worker, named: &ComponentRef) -> Result<Option<String>, Fault> {
    let plugin = worker.plugin(&named.plugin)?;
    let mut profilers = plugin.info.profilers.iter();
    let info = profilers.find(|info| info.name == named.name);
    let for_cpu = info.is_none_or(|info| info.devices.iter().any(|kind| kind == "cpu"));
    if for_cpu {
        return probe_on(worker, named, &device::facts());
    }
    match evo_cuda::Device::open(0) {
        Ok(device) => probe_on(worker, named, &device.facts()),
        // Why there is none is told of the device.
        Err(_) => Ok(Some("of no use without a GPU".to_owned())),
    }
}

fn probe_on(
    worker: &mut Worker,
    named: &ComponentRef,
    device: &DeviceFacts,
) -> Result<Option<String>, Fault> {
    let plugin = worker.plugin(&named.plugin)?;
    let profiler = host::result(plugin.raw.profiler(named.name.as_str().into()));
    let profiler = profiler.map_err(|error| refused(named, &error))?;
    let device = document(serde_json::to_string(device))?;
    Ok(host::result(profiler.probe(device.as_str().into()))
        .err()
        .map(|error| error.to_string()))
}

fn refused(profiler: &ComponentRef, error: &Error) -> Fault {
    Fault::refused(format!("the profiler `{}`: {error}", profiler.name))
}

fn document(value: Result<String, serde_json::Error>) -> Result<String, Fault> {
    value.map_err(|error| Fault::internal(format!("a document cannot be written: {error}")))
}

/// What a pass came to.
pub(crate) enum Pass {
    /// The figures.
    Profiled(Vec<Metric>),
    /// The profiler found out only now that it does not work here, with any candidate; why.
    Absent(String),
}

/// Builds, loads and binds the candidate, and hands it to the profiler. One that rejects the work is
/// absent.
///
/// # Errors
/// The outcome of a candidate that failed, or what the profiler said.
pub(crate) fn profile(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    job: &ProfileJob,
) -> Result<Pass, Fault> {
    let plugin = worker.plugin(&job.profiler.plugin)?;
    let refused = |error: Error| refused(&job.profiler, &error);
    let profiler =
        host::result(plugin.raw.profiler(job.profiler.name.as_str().into())).map_err(refused)?;
    let problem = worker.problem(&job.problem)?;
    let kernel = worker.kernel(&job.kernel)?;
    reporter.phase(Phase::Build)?;
    let built = worker.builder.build(&kernel, &job.request)?;
    reporter.phase(Phase::Load)?;
    let of = |error| Fault::from(outcome_of(error, Phase::Load));
    let mut slot = Slot::new(&kernel, &built, &job.request, Placement::Page).map_err(of)?;
    let distributions = &job.request.problem.distributions;
    let distribution = distributions.first().map_or("", String::as_str);
    let place = LaunchPlace {
        phase: Phase::Load,
        seed: job.seed,
    };
    let prepares = kernel.info.prepares;
    slot.ready(&problem, &job.request, distribution, prepares, place)?;
    reporter.phase(Phase::Profile)?;
    let request = request(job, worker.hello.as_ref())?;
    let runnable = Runnable {
        slot,
        built: &built,
        request: &request,
    };
    let boxed: BoxedRunnable<'_> = RawRunnable_TO::from_value(runnable, TD_Opaque);
    let text = match host::result(profiler.profile(boxed)) {
        Ok(text) => text,
        Err(Error::Rejected(reason)) => return Ok(Pass::Absent(reason)),
        Err(error @ (Error::Panicked(_) | Error::Implausible(_))) => {
            return Err(outcome_of(error, Phase::Profile).into());
        }
        Err(error) => return Err(refused(error)),
    };
    let metrics: Vec<Metric> = serde_json::from_str(&text)
        .map_err(|error| refused(format!("its answer cannot be read: {error}").into()))?;
    match metrics.iter().find(|metric| !metric.is_finite()) {
        None => Ok(Pass::Profiled(metrics)),
        Some(metric) => Err(Outcome::Implausible {
            message: format!("the metric `{}` is no finite number", metric.name),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_launch_is_no_refusal_of_the_profiler() {
        let refused = of_candidate(Error::Rejected("too many threads".into()));
        assert!(matches!(refused, Error::Failed(why) if why == "too many threads"));
        let lost = of_candidate(Error::Crashed("lost".into()));
        assert!(matches!(lost, Error::Crashed(_)));
    }
}
