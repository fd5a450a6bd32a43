//! Verification after the timing: were the timed launches real?
//!
//! 1. The outputs of every timed buffer set are poisoned and launched onto again.
//! 2. One set is refilled in place from a seed that did not exist before, without a new `bind`.
//! 3. The same buffers are timed with content seen before and with new content in turn. Caches
//!    and addresses are alike, so a kernel that takes several times as long on new content, each
//!    time, looks its results up by content.

use evo_plugin::Error;
use evo_types::{ErrorFigures, Phase, WrongKind};

use crate::check::{Check, Checker, Content, Slot};
use crate::element::Poison;
use crate::fault::{Fault, LaunchPlace, outcome_of_launch};
use crate::judge::Finding;
use crate::lane::Lane;
use crate::seeds::derive_seed;
use crate::verify::Candidate;

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
    for slot in lane.slots() {
        checker.run_filled(slot, check, timed)?;
    }
    let Some(slot) = lane.slots().first_mut() else {
        return Err(Fault::internal("the timed lane is empty"));
    };
    let check = Check {
        repeat: true,
        prepare: true,
        ..check
    };
    let (figures, fresh) = checker.run(slot, check)?;
    if let Some(finding) = looks_up(candidate, slot, check, &fresh)? {
        return Err(checker.wrong(check, finding).into());
    }
    Ok(figures)
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
        let mut time = |inputs: &[Vec<u8>]| {
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
fn launch_on(candidate: &Candidate<'_>, slot: &mut Slot, inputs: &[Vec<u8>]) -> Result<f64, Error> {
    let Slot { set, instance } = slot;
    set.set_inputs(inputs);
    set.poison(Poison::First);
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
