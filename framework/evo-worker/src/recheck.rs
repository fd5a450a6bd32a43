//! Verification after the timing: were the timed launches real?
//!
//! 1. The outputs of every timed buffer set, or of some that are drawn now where there are many, are
//!    poisoned and launched onto again, in the way that was timed.
//! 2. One set is refilled in place from a seed that did not exist before, without a new `bind`.
//! 3. The same buffers are timed with content seen before and with new content in turn. Caches
//!    and addresses are alike, so a kernel that takes several times as long on new content, each
//!    time, looks its results up by content.

use evo_plugin::Error;
use evo_types::{ErrorFigures, Phase, WrongKind};
use rand::seq::index;

use crate::bulk::Bytes;
use crate::check::{Check, Checker, Content, Slot};
use crate::element::Poison;
use crate::fault::{Fault, LaunchPlace, outcome_of_launch};
use crate::judge::Finding;
use crate::lane::Lane;
use crate::seeds::derive_seed;
use crate::verify::Candidate;

/// Buffer sets that are checked in a trial, where there are more.
const MOST_CHECKED_SETS: usize = 16;
/// Pairs of launches on old and new content that all have to say the same before a kernel is
/// accused. An honest kernel is acquitted by the first pair, hardly ever the second.
const PAIRS: u64 = 9;
/// New content takes this many times as long as content seen before. Well above what branch
/// prediction gains on repeated content.
const LOOKUP_FACTOR: f64 = 3.0;
/// And longer by this much: shorter differences could be anything.
const LOOKUP_SECONDS: f64 = 20e-6;

/// Checks the lane that was timed on `timed`; `seed` was drawn after the timing.
///
/// # Errors
/// The outcome of a candidate that was found out, or what broke.
pub(crate) fn recheck(
    candidate: &Candidate<'_>,
    lane: &mut Lane,
    timed: &mut Content,
    seed: u64,
    all_rows: bool,
) -> Result<ErrorFigures, Fault> {
    let spec = &candidate.request.problem;
    let mut checker = Checker::new(candidate.problem, spec, &candidate.kernel.info)?;
    let check = Check {
        phase: Phase::Recheck,
        shape: "as ranked",
        distribution: spec.distributions.first().map_or("", String::as_str),
        seed,
        all_rows,
        bind: false,
        repeat: false,
        prepare: false,
    };
    check_sets(&mut checker, lane, check, timed)?;
    let Some(slot) = lane.slots().first_mut() else {
        return Err(Fault::internal("the timed lane is empty"));
    };
    let check = Check {
        repeat: true,
        prepare: true,
        all_rows: all_rows
            || candidate
                .problem
                .has_fast_reference(spec, &candidate.kernel.site),
        ..check
    };
    let (figures, fresh) = checker.run(slot, check)?;
    if let Some(finding) = looks_up(candidate, slot, check, &fresh)? {
        return Err(checker.wrong(check, finding).into());
    }
    Ok(figures)
}

/// Poisons the outputs of timed buffer sets, and launches onto them again.
fn check_sets(
    checker: &mut Checker<'_>,
    lane: &mut Lane,
    check: Check<'_>,
    timed: &mut Content,
) -> Result<(), Fault> {
    let drawn = draw_sets(lane.sets(), check.all_rows);
    if lane.recorded().is_none() {
        for slot in chosen(lane, &drawn) {
            checker.run_filled(slot, check, timed)?;
        }
        return Ok(());
    }
    for slot in chosen(lane, &drawn) {
        let poisoned = slot.set.poison(Poison::First);
        poisoned.and_then(|()| slot.set.push()).map_err(|error| {
            let place = LaunchPlace {
                phase: Phase::Recheck,
                seed: check.seed,
            };
            Fault::from(outcome_of_launch(error, place))
        })?;
    }
    lane.replay()?;
    for slot in chosen(lane, &drawn) {
        checker.judge_launched(slot, check, timed)?;
    }
    Ok(())
}

fn chosen<'a>(lane: &'a mut Lane, drawn: &'a [usize]) -> impl Iterator<Item = &'a mut Slot> {
    let slots = lane.slots().iter_mut().enumerate();
    slots.filter_map(|(place, slot)| drawn.contains(&place).then_some(slot))
}

/// The sets to check: all of them, or so many that a kernel which leaves one in four out is found
/// out in 99 of 100 trials.
fn draw_sets(sets: usize, all: bool) -> Vec<usize> {
    if all || sets <= MOST_CHECKED_SETS {
        return (0..sets).collect();
    }
    index::sample(&mut rand::rng(), sets, MOST_CHECKED_SETS).into_vec()
}

/// Whether results are looked up by the content of the inputs.
fn looks_up(
    candidate: &Candidate<'_>,
    slot: &mut Slot,
    check: Check<'_>,
    old: &Content,
) -> Result<Option<Finding>, Fault> {
    let spec = &candidate.request.problem;
    let (mut least_new, mut most_old) = (f64::INFINITY, 0.0f64);
    for pair in 0..PAIRS {
        let seed = derive_seed(check.seed, "look-up", pair);
        candidate
            .problem
            .fill(spec, seed, check.distribution, &mut slot.set)
            .map_err(|error| {
                Fault::of_problem(&candidate.problem.name, "filling the inputs", error)
            })?;
        let new = slot.set.inputs();
        let mut time = |inputs: &[Bytes]| {
            launch_on(candidate, slot, inputs).map_err(|error| {
                let place = LaunchPlace {
                    phase: Phase::Recheck,
                    seed,
                };
                Fault::from(outcome_of_launch(error, place))
            })
        };
        // What the kernel may remember is the old content: the check before has left it so, and
        // after a launch on new content another one on the old restores it.
        if pair > 0 {
            time(&old.inputs)?;
        }
        let mut seconds_old = time(&old.inputs)?;
        if pair > 0 {
            seconds_old = seconds_old.min(time(&old.inputs)?);
        }
        let seconds_new = time(&new)?;
        if seconds_new < LOOKUP_FACTOR * seconds_old || seconds_new - seconds_old < LOOKUP_SECONDS {
            return Ok(None);
        }
        least_new = least_new.min(seconds_new);
        most_old = most_old.max(seconds_old);
    }
    Ok(Some(Finding::new(
        WrongKind::Cached,
        format!(
            "a launch on inputs seen before takes {:.1} us at most, on new ones {:.1} us at \
             least, {PAIRS} times out of {PAIRS}: results are looked up by content",
            most_old * 1e6,
            least_new * 1e6
        ),
    )))
}

/// Seconds of one launch on inputs that were just copied into the buffers.
fn launch_on(candidate: &Candidate<'_>, slot: &mut Slot, inputs: &[Bytes]) -> Result<f64, Error> {
    let Slot { set, instance } = slot;
    set.set_inputs(inputs);
    set.poison(Poison::First)?;
    set.push()?;
    if candidate.kernel.info.prepares {
        instance.prepare(set)?;
        instance.bind(set)?;
    }
    let site = instance.site().clone();
    let batch = site.begin()?;
    instance.launch(set)?;
    batch.end()
}
