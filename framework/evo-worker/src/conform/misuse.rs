//! Calls in the wrong state and with artifacts of others; an honest call afterwards has to work.

use evo_plugin::Error;
use evo_types::Phase;
use evo_wire::{Breach, ConformReport, Rule};

use super::{Subject, breach_of, report_of};
use crate::check;
use crate::component::Built;
use crate::fault::{Fault, outcome_of};

/// Tries what no honest host does, then checks the candidate.
///
/// # Errors
/// What is no wrong result: lack of memory, a problem that fails.
pub(super) fn probe(subject: &Subject<'_>, seed: u64) -> Result<ConformReport, Fault> {
    let breach = match unbound_launch(subject, seed)?.or_else(|| foreign_artifacts(subject)) {
        Some(breach) => Some(breach),
        None => honest(subject, seed)?,
    };
    Ok(report_of(breach))
}

/// A launch before `bind`: an error or a result, but no panic. What brings the process down is
/// seen by the host.
fn unbound_launch(subject: &Subject<'_>, seed: u64) -> Result<Option<Breach>, Fault> {
    let mut slot = subject.slot(false)?;
    subject.fill(&mut slot, seed)?;
    let panicked = panic_of(
        check::call(&mut slot, false, false),
        "a launch before `bind`",
    );
    // Whatever it has set going may still use its buffers.
    std::mem::forget(slot);
    Ok(panicked)
}

/// Artifacts that the kernel never built: refused or accepted, but no panic. They are too short to
/// be anything; whole ones with a few wrong bytes do not occur, since artifacts are hashed.
fn foreign_artifacts(subject: &Subject<'_>) -> Option<Breach> {
    let foreign: [(&str, &[u8]); 2] = [("empty", &[]), ("of another kind", b"?")];
    foreign.into_iter().find_map(|(how, bytes)| {
        let mut built = Built::clone(&subject.built);
        built.raw.bytes = bytes.to_vec().into();
        let loaded = subject.kernel.load(&built, subject.request);
        // Never launched: an artifact may be machine code.
        let what = format!("loading an artifact that is {how}");
        panic_of(loaded.map(drop), &what)
    })
}

fn panic_of(result: Result<(), Error>, what: &str) -> Option<Breach> {
    match result {
        Err(Error::Panicked(text)) => Some(Breach {
            rule: Rule::MisuseAfterError,
            message: format!("{what} panicked {text}"),
        }),
        _ => None,
    }
}

fn honest(subject: &Subject<'_>, seed: u64) -> Result<Option<Breach>, Fault> {
    let failed = |message: String| Breach {
        rule: Rule::MisuseAfterError,
        message: format!("after calls in the wrong state, an honest one fails: {message}"),
    };
    let built = subject
        .kernel
        .accept(subject.request)
        .and_then(|()| subject.kernel.build(subject.request));
    if let Err(error) = built {
        return Ok(Some(failed(outcome_of(error, Phase::Build).summary())));
    }
    let mut slot = match subject.slot(false) {
        Ok(slot) => slot,
        Err(Fault::Outcome(outcome)) => return Ok(Some(failed(outcome.summary()))),
        Err(fault) => return Err(fault),
    };
    let checked = subject.checker()?.run(&mut slot, subject.fresh_check(seed));
    let breach = breach_of(checked, Rule::MisuseAfterError)?.err();
    if breach.is_some() {
        std::mem::forget(slot);
    }
    Ok(breach.map(|breach| failed(breach.message)))
}
