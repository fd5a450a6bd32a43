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
/// The slower one takes more than this many times as long, or nothing is said.
const FACTOR: f64 = 1.5;
/// Rounds in which something else on the machine may have turned it round.
const EXCEPTIONS: usize = 1;
/// Batches of which the shortest counts.
const BATCHES: usize = 3;

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
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (first, second) = (time(&mut a, seed)?, time(&mut b, seed)?);
        ratios.push(second / first.max(1e-9));
    }
    Ok(apart(&ratios).map_or_else(ConformReport::default, |how| breach(subject, twin, &how)))
}

/// Which of the two is slower, if it is so in nearly every round.
fn apart(ratios: &[f64]) -> Option<String> {
    let most = |slower: &dyn Fn(f64) -> f64| {
        let rounds = ratios.iter().filter(|ratio| slower(**ratio) > FACTOR);
        rounds.count() + EXCEPTIONS >= ratios.len()
    };
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied()?;
    if most(&|ratio| ratio) {
        Some(format!("the second takes {median:.1} times as long"))
    } else if most(&|ratio| 1.0 / ratio) {
        Some(format!("the first takes {:.1} times as long", 1.0 / median))
    } else {
        None
    }
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

/// Seconds of one launch: of batches that are long enough, the shortest.
fn time(slot: &mut Slot, seed: u64) -> Result<f64, Fault> {
    let mut run = |launches| {
        batch(slot, launches).map_err(|error| {
            let place = LaunchPlace {
                phase: Phase::Measure,
                seed,
            };
            Fault::from(outcome_of_launch(error, place))
        })
    };
    let mut launches = 1u32;
    let mut least = run(launches)?;
    while least < BATCH_S && launches < BATCH {
        launches *= 4;
        least = run(launches)?;
    }
    for _ in 1..BATCHES {
        least = least.min(run(launches)?);
    }
    Ok(least / f64::from(launches))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_slower_nearly_every_time_is_told() {
        assert_eq!(apart(&[1.0, 1.2, 0.9, 1.1]), None);
        assert_eq!(apart(&[3.0, 0.2, 0.4, 3.1]), None);
        let second = apart(&[3.0, 0.2, 4.0, 3.1]).unwrap();
        assert_eq!(second, "the second takes 3.1 times as long");
        let first = apart(&[0.25, 0.2, 0.3, 9.0]).unwrap();
        assert_eq!(first, "the first takes 3.3 times as long");
    }
}
