//! Two configurations with one execution identity: is there nothing that tells them apart?

use evo_plugin::Error;
use evo_types::Phase;
use evo_wire::{Breach, ConformReport, Rule};

use super::{Subject, launch, report_of};
use crate::check::Slot;
use crate::fault::{Fault, LaunchPlace, outcome_of_launch};

/// Rounds in which both are timed.
const ROUNDS: usize = 9;
/// Seconds of one timed batch, at least.
const BATCH_S: f64 = 2e-3;
/// Most launches in a batch.
const BATCH: u32 = 2000;
/// In every round the slower one takes this many times as long, or nothing is said.
const FACTOR: f64 = 1.5;

/// Compares outputs bit by bit, then times.
///
/// # Errors
/// The outcome of a launch that failed.
pub(super) fn probe(
    subject: &Subject<'_>,
    twin: &Subject<'_>,
    seed: u64,
) -> Result<ConformReport, Fault> {
    let (mut a, mut b) = (subject.bound_slot(seed)?, twin.bound_slot(seed)?);
    launch(&mut a, seed)?;
    launch(&mut b, seed)?;
    if subject.kernel.info.deterministic && !b.set.outputs_equal(&a.set.outputs()) {
        return Ok(breach(subject, twin, "the results differ"));
    }
    let (mut least, mut most) = (f64::INFINITY, 0.0f64);
    for _ in 0..ROUNDS {
        let ratio = time(&mut b, seed)? / time(&mut a, seed)?.max(1e-9);
        (least, most) = (least.min(ratio), most.max(ratio));
    }
    let apart = if least > FACTOR {
        Some(format!(
            "the second takes at least {least:.1} times as long"
        ))
    } else if most > 0.0 && most < 1.0 / FACTOR {
        Some(format!(
            "the first takes at least {:.1} times as long",
            1.0 / most
        ))
    } else {
        None
    };
    Ok(apart.map_or_else(ConformReport::default, |how| breach(subject, twin, &how)))
}

fn breach(subject: &Subject<'_>, twin: &Subject<'_>, how: &str) -> ConformReport {
    let (first, second) = (&subject.request.config, &twin.request.config);
    let changed: Vec<String> = second
        .iter()
        .filter(|(name, value)| first.get(*name) != Some(value))
        .map(|(name, value)| match first.get(name) {
            Some(old) => format!("{name}={old} and {name}={value}"),
            None => format!("{name}={value}"),
        })
        .collect();
    report_of(Some(Breach {
        rule: Rule::IdentityComplete,
        message: format!(
            "{} have the same execution identity, but {how}",
            changed.join(", ")
        ),
    }))
}

/// Seconds of one launch, from a batch.
fn time(slot: &mut Slot, seed: u64) -> Result<f64, Fault> {
    let mut launches = 1u32;
    loop {
        let seconds = batch(slot, launches).map_err(|error| {
            let place = LaunchPlace {
                phase: Phase::Measure,
                seed,
            };
            Fault::from(outcome_of_launch(error, place))
        })?;
        if seconds >= BATCH_S || launches >= BATCH {
            return Ok(seconds / f64::from(launches));
        }
        launches *= 4;
    }
}

/// Seconds of several launches.
fn batch(slot: &mut Slot, launches: u32) -> Result<f64, Error> {
    let Slot { set, instance } = slot;
    let site = instance.site().clone();
    let batch = site.begin()?;
    for _ in 0..launches {
        instance.launch(set)?;
    }
    batch.end()
}
