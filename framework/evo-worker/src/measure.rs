//! One candidate from build to outcome.

use std::time::Instant;

use evo_stats::Summary;
use evo_types::{Direction, ErrorFigures, Measurement, Metric, Outcome, Phase, ProblemSpec};
use evo_wire::{MeasureJob, MeasureSettings};

use crate::build;
use crate::component::{Built, Kernel};
use crate::energy;
use crate::fault::Fault;
use crate::judge;
use crate::lane::Lane;
use crate::peaks;
use crate::recheck::recheck;
use crate::seeds::fresh_seed;
use crate::serve::{Reporter, Worker};
use crate::timing::{self, Timing};
use crate::verify::{Candidate, Thoroughness, Verified, verify};

/// Verifies, measures and verifies again.
///
/// # Errors
/// The outcome of a candidate that failed, or what broke.
pub(crate) fn measure(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    job: &MeasureJob,
) -> Result<Measurement, Fault> {
    check_settings(&job.settings)?;
    let problem = worker.problem(&job.problem)?;
    let kernel = worker.kernel(&job.kernel)?;
    reporter.phase(Phase::Accept)?;
    build::check_request(&kernel, &job.request)?;
    build::accept(&kernel, &job.request)?;
    reporter.phase(Phase::Build)?;
    let built = worker.builder.build_accepted(&kernel, &job.request)?.built;
    let candidate = Candidate {
        problem: &problem,
        kernel: &kernel,
        request: &job.request,
        built: &built,
    };
    let how = thoroughness(job.seed, &job.settings);
    let mut verified = verify(&candidate, &mut worker.builder, reporter, how)?;
    reporter.phase(Phase::Measure)?;
    let mut lane = Lane::new(&candidate, &verified.content, 1.0)?;
    let measured = time_and_recheck(worker, reporter, job, &candidate, &mut verified, &mut lane);
    if measured.is_err() {
        // The kernel may still be at work: its buffers must outlive it. The host starts a new
        // worker after a candidate that failed.
        std::mem::forget(lane);
    }
    measured
}

fn time_and_recheck(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    job: &MeasureJob,
    candidate: &Candidate<'_>,
    verified: &mut Verified,
    lane: &mut Lane,
) -> Result<Measurement, Fault> {
    let resolution = worker.clock_resolution();
    let timing = timing::time(lane, &job.settings, job.incumbent, resolution)?;
    finish(
        worker,
        reporter,
        &job.settings,
        candidate,
        verified,
        lane,
        timing,
    )
}

/// What follows the timing: verification, end-to-end time, plausibility.
///
/// # Errors
/// The outcome of a candidate that failed, or what broke.
pub(crate) fn finish(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    settings: &MeasureSettings,
    candidate: &Candidate<'_>,
    verified: &mut Verified,
    lane: &mut Lane,
    timing: Timing,
) -> Result<Measurement, Fault> {
    reporter.phase(Phase::Recheck)?;
    let seed = fresh_seed();
    let content = &mut verified.content;
    let all_rows = settings.check_all_rows;
    let energy = match settings.energy_seconds {
        seconds if seconds > 0.0 => {
            let launches = timing.launches_per_sample;
            Some(energy::of_launch(lane, launches, seconds)?)
        }
        _ => None,
    };
    // Before anything is bound again: what was recorded for the timing is what is checked.
    let start = Instant::now();
    let figures = recheck(candidate, lane, content, seed, all_rows)?;
    let verify_seconds = verified.seconds + start.elapsed().as_secs_f64();
    judge::merge(&mut verified.figures, &figures);
    reporter.phase(Phase::Measure)?;
    let end_to_end = timing::time_end_to_end(lane, &timing, settings)?;
    // Last, since a recheck that fails says why a time is too good to be true.
    lane.check_cache()?;
    check_plausible(worker, &candidate.request.problem, &timing)?;
    let taken = Taken {
        timing,
        energy,
        end_to_end,
        figures: verified.figures.clone(),
        sets: lane.sets(),
        recorded: lane.recorded(),
        verify_seconds,
    };
    measurement(candidate, settings, taken, seed)
}

/// How much the settings ask to verify.
pub(crate) fn thoroughness(seed: u64, settings: &MeasureSettings) -> Thoroughness {
    Thoroughness {
        seed,
        seeds: settings.verify_seeds,
        all_rows: settings.check_all_rows,
    }
}

/// Refuses settings that make no sense before anything is launched.
///
/// # Errors
/// Which setting it is.
pub(crate) fn check_settings(settings: &MeasureSettings) -> Result<(), Fault> {
    let seconds = [
        ("max_seconds", settings.max_seconds),
        ("min_sample_seconds", settings.min_sample_seconds),
        ("warmup_seconds", settings.warmup_seconds),
        ("least_warmup_seconds", settings.least_warmup_seconds),
        ("energy_seconds", settings.energy_seconds),
    ];
    for (name, value) in seconds {
        if !(0.0..=86_400.0).contains(&value) {
            return Err(Fault::refused(format!(
                "the setting `{name}` is {value}, but must be between 0 and 86400 seconds"
            )));
        }
    }
    timing::stopping_rule(settings, None).map(|_| ())
}

/// What was taken of a candidate.
struct Taken {
    timing: Timing,
    energy: Option<Metric>,
    end_to_end: Vec<f64>,
    figures: ErrorFigures,
    sets: usize,
    recorded: Option<u32>,
    /// Before and after the timing.
    verify_seconds: f64,
}

/// Refuses a time that the machine cannot reach.
///
/// # Errors
/// The outcome `Implausible`.
fn check_plausible(worker: &mut Worker, spec: &ProblemSpec, timing: &Timing) -> Result<(), Fault> {
    let summary = Summary::of(&timing.samples).map_err(timing::of_stats)?;
    let seconds = summary.p50 / 1e6;
    match peaks::implausible(worker.peaks(), spec, seconds) {
        None => Ok(()),
        Some(message) => Err(Outcome::Implausible { message }.into()),
    }
}

/// The measurement with all its metrics.
///
/// # Errors
/// The outcome `Implausible` where a metric is no finite number.
fn measurement(
    candidate: &Candidate<'_>,
    settings: &MeasureSettings,
    taken: Taken,
    recheck_seed: u64,
) -> Result<Measurement, Fault> {
    let Candidate {
        kernel,
        built,
        request,
        ..
    } = candidate;
    let mut metrics = metrics(&request.problem, built, &taken)?;
    metrics.extend(settings.score(&metrics).map_err(Fault::refused)?);
    if let Some(metric) = metrics.iter().find(|metric| !metric.is_finite()) {
        return Err(Outcome::Implausible {
            message: format!(
                "the metric `{}` is {}, which is no finite number",
                metric.name, metric.value
            ),
        }
        .into());
    }
    Ok(Measurement {
        metrics,
        error: Some(taken.figures),
        execution: Some(execution(kernel, built, candidate)),
        recheck_seed: Some(recheck_seed),
        raced_out: taken.timing.raced_out,
        converged: taken.timing.converged,
    })
}

fn execution(kernel: &Kernel, built: &Built, candidate: &Candidate<'_>) -> evo_types::ContentHash {
    build::execution(kernel, built, &candidate.request.config)
}

/// `kernel_time` first; then end-to-end time, throughput, how it was measured, and the resource
/// figures of the artifact.
fn metrics(spec: &ProblemSpec, built: &Built, taken: &Taken) -> Result<Vec<Metric>, Fault> {
    let timing = &taken.timing;
    let kernel_time = timing::time_metric("kernel_time", &timing.samples)?;
    let median = kernel_time.value;
    let count =
        |name: &str, value: usize| Metric::new(name, "count", Direction::Info, value as f64);
    let mut metrics = vec![
        kernel_time,
        timing::time_metric("end_to_end_time", &taken.end_to_end)?,
    ];
    if spec.flops > 0.0 && median > 0.0 {
        // Operations per microsecond are millions per second.
        let throughput = spec.flops / median / 1e3;
        metrics.push(Metric::new(
            "throughput",
            "GFLOP/s",
            Direction::Higher,
            throughput,
        ));
    }
    metrics.extend(taken.energy.clone());
    metrics.push(count(
        "launches_per_sample",
        timing.launches_per_sample as usize,
    ));
    metrics.push(count("buffer_sets", taken.sets));
    if let Some(launches) = taken.recorded {
        metrics.push(count("launches_per_graph", launches as usize));
    }
    metrics.push(count("disturbed_samples", timing.disturbed));
    if let Some(clock) = timing.clock_mhz {
        let clock = f64::from(clock);
        metrics.push(Metric::new("sm_clock", "MHz", Direction::Info, clock));
    }
    for (name, seconds) in [
        ("measure_seconds", timing.seconds),
        ("verify_seconds", taken.verify_seconds),
    ] {
        metrics.push(Metric::new(name, "s", Direction::Info, seconds));
    }
    for resource in &built.artifact.resources {
        if metrics.iter().all(|metric| metric.name != resource.name) {
            metrics.push(resource.clone());
        }
    }
    Ok(metrics)
}
