//! Samples of a lane: batches of launches on the monotonic clock.

use std::time::Instant;

use evo_stats::{
    Decision, LEAST_SAMPLES, Race, StatsError, StoppingOptions, StoppingRule, Summary, WarmUp,
    WarmUpOptions, WarmUpState, launches_per_sample,
};
use evo_types::{Direction, Metric};
use evo_wire::MeasureSettings;

use crate::clock::Disturbance;
use crate::fault::Fault;
use crate::lane::Lane;

/// Microseconds in a second: times are reported in microseconds.
const MICROS: f64 = 1e6;
/// Most launches in one sample.
const MOST_LAUNCHES: u32 = 10_000_000;
/// Samples of the end-to-end time.
const END_TO_END_SAMPLES: usize = LEAST_SAMPLES + 1;

/// The part of the time for samples that end-to-end samples may take on top.
const END_TO_END_SHARE: f64 = 0.25;

/// The times of one candidate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timing {
    /// Microseconds per launch, in the order they were taken.
    pub(crate) samples: Vec<f64>,
    pub(crate) launches_per_sample: u32,
    pub(crate) disturbed: usize,
    pub(crate) converged: bool,
    pub(crate) raced_out: bool,
    /// Seconds since the first timed launch, warm-up excluded.
    pub(crate) seconds: f64,
    /// The device's clock when the last sample had been taken, in MHz, where it is known.
    pub(crate) clock_mhz: Option<u32>,
}

pub(crate) fn of_stats(error: StatsError) -> Fault {
    Fault::internal(format!(
        "the settings of the measurement are wrong: {error}"
    ))
}

/// How many samples may be taken again.
pub(crate) fn retakes(settings: &MeasureSettings) -> usize {
    settings.max_samples / 2
}

/// Warms a lane up until its running median settles, within bounds; returns the launches that one
/// sample takes.
///
/// # Errors
/// The outcome of a launch that failed.
pub(crate) fn warm_up(
    lane: &mut Lane,
    settings: &MeasureSettings,
    resolution_s: f64,
) -> Result<u32, Fault> {
    let resolution_s = lane.resolution(resolution_s);
    let mut launches = first_batch(lane, settings, resolution_s)?;
    launches = lane.prepare(launches)?;
    let options = WarmUpOptions {
        least_seconds: settings.least_warmup_seconds,
        max_seconds: settings.warmup_seconds,
        ..WarmUpOptions::default()
    };
    let mut warm_up = WarmUp::new(options).map_err(of_stats)?;
    let start = Instant::now();
    loop {
        let seconds = lane.time(launches)?;
        let elapsed = start.elapsed().as_secs_f64();
        let state = warm_up.push(seconds, elapsed).map_err(of_stats)?;
        if state != WarmUpState::Warming {
            break;
        }
    }
    // Warm launches are faster than the first ones: the batch is sized again by the last sample.
    if let Some(seconds) = warm_up.samples().last() {
        let launch_s = seconds / f64::from(launches);
        launches = lane.prepare(batch(launch_s, settings, resolution_s)?)?;
    }
    Ok(launches)
}

fn batch(launch_s: f64, settings: &MeasureSettings, resolution_s: f64) -> Result<u32, Fault> {
    let floor = settings.min_sample_seconds;
    launches_per_sample(launch_s, resolution_s, floor, MOST_LAUNCHES).map_err(of_stats)
}

/// A batch that the clock can see, found by doubling.
fn first_batch(
    lane: &mut Lane,
    settings: &MeasureSettings,
    resolution_s: f64,
) -> Result<u32, Fault> {
    let mut launches = 1;
    loop {
        let seconds = lane.time(launches)?;
        if seconds >= resolution_s * evo_stats::LEAST_CLOCK_TICKS || launches >= MOST_LAUNCHES {
            return batch(seconds / f64::from(launches), settings, resolution_s);
        }
        launches *= 2;
    }
}

/// The stopping rule of the settings.
///
/// # Errors
/// Where the settings make no sense.
pub(crate) fn stopping_rule(
    settings: &MeasureSettings,
    incumbent: Option<f64>,
) -> Result<StoppingRule, Fault> {
    let race = incumbent.map(|incumbent_high| Race {
        incumbent_high,
        factor: settings.race_factor,
    });
    StoppingRule::new(StoppingOptions {
        width: settings.precision,
        min_samples: settings.min_samples,
        max_samples: settings.max_samples,
        max_seconds: settings.max_seconds,
        race,
    })
    .map_err(of_stats)
}

/// Times a lane alone.
///
/// # Errors
/// The outcome of a launch that failed.
pub(crate) fn time(
    lane: &mut Lane,
    settings: &MeasureSettings,
    incumbent: Option<f64>,
    resolution_s: f64,
) -> Result<Timing, Fault> {
    let launches = warm_up(lane, settings, resolution_s)?;
    let mut rule = stopping_rule(settings, incumbent)?;
    let mut disturbance = Disturbance::new(retakes(settings));
    let site = lane.site();
    // The first sample after the pause is dropped.
    lane.time(launches)?;
    let start = Instant::now();
    let decision = loop {
        let before = site.disturbances();
        let seconds = lane.time(launches)?;
        let elapsed = start.elapsed().as_secs_f64();
        let retake = disturbance.retake(site.disturbances().since(before));
        if retake && elapsed < settings.max_seconds {
            continue;
        }
        let sample = seconds / f64::from(launches) * MICROS;
        let decision = rule.push(sample, elapsed).map_err(of_stats)?;
        if decision != Decision::Continue {
            break decision;
        }
    };
    Ok(Timing {
        samples: rule.samples().to_vec(),
        launches_per_sample: launches,
        disturbed: disturbance.disturbed(),
        converged: decision == Decision::Converged,
        raced_out: decision == Decision::RacedOut,
        seconds: start.elapsed().as_secs_f64(),
        clock_mhz: site.clock_mhz(),
    })
}

/// Times a few executions from inputs to result: `prepare`, `bind` and `launch`.
///
/// # Errors
/// The outcome of a launch that failed.
pub(crate) fn time_end_to_end(
    lane: &mut Lane,
    timing: &Timing,
    settings: &MeasureSettings,
) -> Result<Vec<f64>, Fault> {
    let mut samples = Vec::with_capacity(END_TO_END_SAMPLES);
    // What comes first after the pause is dropped; it says how many executions make a sample, which
    // are fewer than launches: one of them has the host's own work in it.
    let one = lane.time_end_to_end(1)?;
    let wanted = (settings.min_sample_seconds / one.max(f64::MIN_POSITIVE)).ceil();
    let executions = (wanted as u32).clamp(1, timing.launches_per_sample.max(1));
    let start = Instant::now();
    for _ in 0..END_TO_END_SAMPLES {
        let seconds = lane.time_end_to_end(executions)?;
        samples.push(seconds / f64::from(executions) * MICROS);
        if start.elapsed().as_secs_f64() > settings.max_seconds * END_TO_END_SHARE {
            break;
        }
    }
    Ok(samples)
}

/// A metric of sampled times: the median, with its confidence interval where samples allow one.
///
/// # Errors
/// Where there is no sample.
pub(crate) fn time_metric(name: &str, samples: &[f64]) -> Result<Metric, Fault> {
    let summary = Summary::of(samples).map_err(of_stats)?;
    let mut metric = Metric::new(name, "us", Direction::Lower, summary.p50);
    metric.ci_low = summary.median_ci.map(|interval| interval.low);
    metric.ci_high = summary.median_ci.map(|interval| interval.high);
    metric.samples = samples.to_vec();
    Ok(metric)
}
