//! A kernel whose process is killed in the middle of its work.

use evo_types::{Params, Phase};
use evo_wire::{ConformJob, Probe, Request, Rule};

use super::Ledger;
use super::asking::Asking;
use super::builds::{Built, build};
use super::kernel::Subject;
use crate::worker::{CallFailure, Patience};
use crate::{RunError, Stop};

/// How often a build is killed; each time at another moment.
const BUILDS: usize = 2;
/// Launches of the job that is killed while it launches: more than fit in the time.
const LAUNCHES: u32 = 1_000_000;

/// Kills workers while they build and while they launch; each time the next one has to work.
///
/// # Errors
/// Where the check cannot go on.
pub(super) fn check(
    asking: &mut Asking<'_>,
    subject: &Subject,
    config: &Params,
    ledger: &mut Ledger,
) -> Result<(), RunError> {
    let rule = Rule::Cancellation;
    let before = match build(asking, subject, config, rule, ledger)? {
        Built::Done(identity) => identity,
        Built::No(message) => {
            ledger.fail(
                rule,
                format!("the default does not build any more: {message}"),
            );
            return Ok(());
        }
        Built::Broken | Built::NoTime => return Ok(()),
    };
    // A build that differs every time is another rule's matter.
    let unsteady = ledger.has_failed(Rule::BuildDeterministic);
    let moments = std::iter::repeat_n(Phase::Build, BUILDS).chain([Phase::Verify]);
    for phase in moments {
        if asking.out_of_time().is_some() {
            asking.skip_all(&[rule], ledger);
            return Ok(());
        }
        asking.host.recycle();
        kill_in(asking, subject, config, phase, ledger.subject())?;
        let what = format!("after a process was killed in {phase}");
        match build(asking, subject, config, rule, ledger)? {
            Built::Done(identity) if identity == before || unsteady => {}
            Built::Done(_) => {
                ledger.fail(rule, format!("{what}, the build is another one"));
            }
            Built::No(message) => {
                ledger.fail(
                    rule,
                    format!("{what}, the next one cannot build: {message}"),
                );
                return Ok(());
            }
            Built::Broken | Built::NoTime => return Ok(()),
        }
        let probe = Probe::Check {
            candidate: subject.probed(config),
            rule,
            shape: "as it is".to_owned(),
            distribution: subject
                .spec
                .distributions
                .first()
                .cloned()
                .unwrap_or_default(),
        };
        asking.probe(&[rule], ledger, &what, probe)?;
    }
    Ok(())
}

/// Starts a job and kills its process as soon as it is in a phase.
fn kill_in(
    asking: &mut Asking<'_>,
    subject: &Subject,
    config: &Params,
    phase: Phase,
    who: &str,
) -> Result<(), RunError> {
    let probe = Probe::Sequence {
        candidate: subject.probed(config),
        launches: LAUNCHES,
    };
    let seed = asking.options.seed;
    let request = Request::Conform(Box::new(ConformJob { probe, seed }));
    let killing = Stop::default();
    let called = asking.trying(Rule::Cancellation, who, |host, _| {
        host.call(request, 0.0, &killing, Patience::Short, &mut |now, _| {
            if now == phase {
                killing.request(0);
            }
        })
    });
    match called {
        Err(CallFailure::Environment(message)) => Err(RunError::environment(message)),
        // Killed; or it ended by itself in between, and the next process is a new one anyway.
        _ => {
            asking.host.recycle();
            if asking.stop.requested() {
                return Err(RunError::environment("interrupted"));
            }
            Ok(())
        }
    }
}
