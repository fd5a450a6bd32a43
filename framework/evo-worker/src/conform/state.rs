//! Does a launch depend on anything but its buffers?

use std::time::{Duration, Instant};

use evo_types::{ContentHash, Phase};
use evo_wire::{Breach, ConformReport, Rule};

use super::{Known, Subject, breach_of, launch, report_of};
use crate::check::{Check, Checker, Content};
use crate::element::Poison;
use crate::fault::{Fault, outcome_of};
use crate::seeds::derive_seed;

/// Launches of one instance in a row, at most.
const MANY: u32 = 60;
/// Seconds that they may take together.
const MANY_SECONDS: f64 = 1.5;
/// How long outputs are watched after everything has returned.
const WATCHED: Duration = Duration::from_millis(100);

/// Digests of the outputs of the first launches of a process, all on the same inputs: the host
/// compares them with those of another process.
///
/// # Errors
/// The outcome of a launch that failed.
pub(super) fn sequence(
    subject: &Subject<'_>,
    launches: u32,
    seed: u64,
) -> Result<ConformReport, Fault> {
    let mut slot = subject.bound_slot(seed)?;
    let mut digests = Vec::new();
    for _ in 0..launches {
        launch(&mut slot, seed)?;
        let outputs = slot.set.outputs();
        let parts: Vec<&[u8]> = outputs.iter().map(|bytes| &**bytes).collect();
        digests.push(ContentHash::of_parts(&parts));
    }
    Ok(ConformReport {
        digests,
        ..ConformReport::default()
    })
}

/// The steps of the probe; the first that fails ends it.
///
/// # Errors
/// What is no wrong result: a panic, lack of memory.
pub(super) fn state(subject: &Subject<'_>, seed: u64) -> Result<ConformReport, Fault> {
    let steps = Steps {
        subject,
        checker: subject.checker()?,
        seed,
    };
    let breach = steps.run()?.err();
    Ok(report_of(breach))
}

/// A step's end: the breach that it found, or a fault of another kind.
type Step<T> = Result<Result<T, Breach>, Fault>;

struct Steps<'a> {
    subject: &'a Subject<'a>,
    checker: Checker<'a>,
    seed: u64,
}

/// Goes on after a step, or hands its breach on.
macro_rules! passed {
    ($step:expr) => {
        match $step? {
            Ok(value) => value,
            Err(breach) => return Ok(Err(breach)),
        }
    };
}

impl Steps<'_> {
    fn run(mut self) -> Step<()> {
        let mut a = passed!(self.first(1, "at its first use"));
        let mut b = passed!(self.first(2, "beside another instance"));
        for _ in 0..2 {
            passed!(self.again(&mut a, "launched in turn with another instance"));
            passed!(self.again(&mut b, "launched in turn with another instance"));
        }
        // Other inputs at the same addresses, and no new `bind`.
        let (in_a, in_b) = (a.content.clone(), b.content.clone());
        passed!(self.refill(&mut a, &in_b, "with other inputs in the same buffers"));
        passed!(self.refill(
            &mut a,
            &in_a,
            "with the first inputs in the same buffers again"
        ));
        // The other one's buffers.
        std::mem::swap(&mut a.slot.set, &mut b.slot.set);
        std::mem::swap(&mut a.content, &mut b.content);
        passed!(self.rebound(&mut a, "bound to other buffers"));
        passed!(self.rebound(&mut b, "bound to other buffers"));
        drop(b);
        passed!(self.again(&mut a, "after another instance was dropped"));
        let began = Instant::now();
        let mut launches = 0;
        while launches < MANY && began.elapsed().as_secs_f64() < MANY_SECONDS {
            launch(&mut a.slot, self.seed)?;
            launches += 1;
        }
        passed!(self.again(&mut a, &format!("after {launches} more launches")));
        self.quiet_afterwards(&mut a)
    }

    fn check(&self, bind: bool) -> Check<'static> {
        Check {
            phase: Phase::Verify,
            shape: "as probed",
            distribution: "ordinary",
            seed: self.seed,
            all_rows: false,
            bind,
            repeat: false,
            prepare: bind,
        }
    }

    /// A new instance on inputs of its own.
    fn first(&mut self, round: u64, when: &str) -> Step<Known> {
        let seed = derive_seed(self.seed, "state", round);
        let mut slot = self.subject.slot(round.is_multiple_of(2))?;
        let check = self.subject.fresh_check(seed);
        let checked = self.checker.run(&mut slot, check);
        Ok(match say_when(checked, when)? {
            Ok((_, content)) => Ok(Known { slot, content }),
            Err(breach) => {
                std::mem::forget(slot);
                Err(breach)
            }
        })
    }

    fn again(&mut self, known: &mut Known, when: &str) -> Step<()> {
        let check = self.check(false);
        self.judge(known, check, when)
    }

    fn rebound(&mut self, known: &mut Known, when: &str) -> Step<()> {
        let check = self.check(true);
        self.judge(known, check, when)
    }

    fn refill(&mut self, known: &mut Known, content: &Content, when: &str) -> Step<()> {
        known.content = content.clone();
        known.slot.set.set_inputs(&content.inputs);
        let check = Check {
            // A kernel that prepares is told about the new inputs.
            prepare: true,
            ..self.check(false)
        };
        self.judge(known, check, when)
    }

    fn judge(&mut self, known: &mut Known, check: Check<'_>, when: &str) -> Step<()> {
        let Known { slot, content } = known;
        let checked = self.checker.run_filled(slot, check, content);
        Ok(say_when(checked, when)?.map(drop))
    }

    /// Nothing is written any more.
    fn quiet_afterwards(&self, known: &mut Known) -> Step<()> {
        let set = &mut known.slot.set;
        set.poison(Poison::Second).map_err(of_probe)?;
        set.push().map_err(of_probe)?;
        let outputs = set.outputs();
        std::thread::sleep(WATCHED);
        set.pull().map_err(of_probe)?;
        if set.outputs_equal(&outputs) {
            return Ok(Ok(()));
        }
        Ok(Err(Breach {
            rule: Rule::NoLateWrites,
            message: "an output changed although no launch was under way: work goes on in another \
                      thread"
                .to_owned(),
        }))
    }
}

fn of_probe(error: evo_plugin::Error) -> Fault {
    outcome_of(error, Phase::Verify).into()
}

/// A wrong result in a step is hidden state, with the step in words.
fn say_when<T>(checked: Result<T, Fault>, when: &str) -> Step<T> {
    Ok(
        breach_of(checked, Rule::Stateless)?.map_err(|breach| Breach {
            message: format!("{when}: {}", breach.message),
            ..breach
        }),
    )
}

/// What is used by one thread at a time, and handed to another one.
struct Moved<T>(T);

// SAFETY: the plugin interface lets an instance be used by any thread, one at a time, and the
// thread that gets it is joined before its owner goes on. That the plugin keeps to it is what is
// being tried.
unsafe impl<T> Send for Moved<T> {}

impl<T> Moved<T> {
    /// By value, so that a closure takes the whole of it.
    fn into_inner(self) -> T {
        self.0
    }
}

/// Loads here, launches elsewhere, drops here.
///
/// # Errors
/// What is no wrong result: a panic, lack of memory.
pub(super) fn other_thread(subject: &Subject<'_>, seed: u64) -> Result<ConformReport, Fault> {
    let mut slot = subject.slot(false)?;
    let mut checker = subject.checker()?;
    let check = subject.fresh_check(seed);
    let parts = Moved((&mut checker, &mut slot, check));
    let checked = std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let (checker, slot, check) = parts.into_inner();
            Moved(checker.run(slot, check).map(drop))
        });
        thread.join().map(Moved::into_inner)
    });
    let Ok(checked) = checked else {
        return Err(Fault::internal("a checking thread panicked"));
    };
    let breach = breach_of(checked, Rule::AnyThread)?.err();
    let breach = breach.map(|breach| Breach {
        message: format!(
            "launched by another thread than the one that loaded it: {}",
            breach.message
        ),
        ..breach
    });
    if breach.is_some() {
        std::mem::forget(slot);
    }
    Ok(report_of(breach))
}
