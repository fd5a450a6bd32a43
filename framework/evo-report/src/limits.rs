//! What limits the winner, by the figures that are at hand, and what to try next.

use evo_journal::Work;
use evo_types::{Metric, OutcomeKind};

use crate::diagnosis;
use crate::format::{number, quantity, ratio, seconds_per};
use crate::model::RunModel;

/// Floating-point operations per second at a time, in GFLOP/s.
pub(crate) fn gflops(model: &RunModel, time: f64) -> Option<f64> {
    let Work::Problem { spec, .. } = &model.plan.work else {
        return None;
    };
    per_second(spec.flops, time, &model.metric.unit)
}

/// Least memory traffic per second at a time, in GB/s.
fn gigabytes(model: &RunModel, time: f64) -> Option<f64> {
    let Work::Problem { spec, .. } = &model.plan.work else {
        return None;
    };
    per_second(spec.bytes, time, &model.metric.unit)
}

/// Billions per second.
fn per_second(amount: f64, time: f64, unit: &str) -> Option<f64> {
    let rate = amount / (time * seconds_per(unit)?) / 1e9;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// Sentences on what limits the winner.
pub(crate) fn limits(model: &RunModel) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(gap(model));
    found.extend(throughput(model));
    found.extend(diagnoses(model));
    found.extend(profile(model));
    found.extend(progress(model));
    let (failures, trials) = (model.failures(), model.budget.trials);
    if failures > 0 && failures == trials {
        found.push(format!("All {trials} trials failed or were refused."));
    } else if failures > 0 {
        found.push(format!(
            "{failures} of {trials} trials failed or were refused, so part of the space gave no \
             figure."
        ));
    }
    found
}

fn gap(model: &RunModel) -> Option<String> {
    let target = model.target()?;
    let reached = target.reached.as_ref()?;
    (reached.estimate < target.wanted).then(|| {
        format!(
            "The winner would have to be {} faster than it is.",
            ratio(target.wanted / reached.estimate)
        )
    })
}

fn throughput(model: &RunModel) -> Option<String> {
    let winner = model.confirmation.as_ref()?.winner()?;
    let time = winner.figures.as_ref()?.p50;
    let flops = gflops(model, time)?;
    let traffic = gigabytes(model, time)
        .map(|rate| format!(" and moves at least {} GB/s", number(rate)))
        .unwrap_or_default();
    Some(format!(
        "The winner computes {} GFLOP/s{traffic}.",
        number(flops)
    ))
}

/// What rules say limits the winner.
fn diagnoses(model: &RunModel) -> Vec<String> {
    let Some(subject) = diagnosis::subject(model) else {
        return Vec::new();
    };
    let found = diagnosis::of(model, &subject).into_iter();
    let lines = found.flat_map(|diagnosed| {
        diagnosed.diagnoses.iter().map(|diagnosis| {
            let statement = crate::verdict::capitalised(&diagnosis.statement);
            format!("{statement} (by {}).", diagnosed.source)
        })
    });
    lines.collect()
}

/// What profilers said of the winner.
fn profile(model: &RunModel) -> Vec<String> {
    let Some(winner) = model.confirmation.as_ref().and_then(|table| table.winner()) else {
        return Vec::new();
    };
    let of_winner = model.profiles.iter().filter(|profile| {
        profile.failure.is_none()
            && !profile.metrics.is_empty()
            && match profile.trial {
                Some(trial) => winner.trial == Some(trial),
                None => profile.label == winner.label,
            }
    });
    of_winner
        .map(|profile| {
            format!(
                "Profiler {} of the winner: {}.",
                profile.profiler,
                metrics(&profile.metrics)
            )
        })
        .collect()
}

/// Metrics on one line.
pub(crate) fn metrics(metrics: &[Metric]) -> String {
    let words: Vec<String> = metrics
        .iter()
        .map(|metric| format!("{} {}", metric.name, quantity(metric.value, &metric.unit)))
        .collect();
    words.join(", ")
}

fn progress(model: &RunModel) -> Option<String> {
    let last = model.improvements.last()?;
    let (counted, all) = (last.counted, model.budget.trials);
    (model.count(OutcomeKind::Measured) > 1).then(|| {
        format!(
            "The last improvement came at trial {counted} of {all}; the {} trials after it were \
             no better.",
            all.saturating_sub(counted)
        )
    })
}
