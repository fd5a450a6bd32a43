//! Probes of the rules that plugins keep, for `evo plugin check`.
//!
//! Each probe is one request, so that a plugin which brings the process down loses that probe
//! only, and the host knows which rule was being tried.

mod builds;
mod leftovers;
mod misuse;
mod problem;
mod profiler;
mod state;
mod twins;

use std::rc::Rc;

use evo_types::{BuildRequest, Outcome, Phase, WrongKind};
use evo_wire::{Breach, ConformJob, ConformReport, Probe, Probed, Rule};

use crate::check::{self, Check, Checker, Content, Slot};
use crate::component::{Built, Kernel, Problem};
use crate::element::Poison;
use crate::fault::{Fault, LaunchPlace, outcome_of, outcome_of_launch};
use crate::memory::Placement;
use crate::serve::{Reporter, Worker};

/// Answers one probe.
///
/// # Errors
/// The outcome of a candidate that could not be probed, or what broke.
pub(crate) fn conform(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    job: &ConformJob,
) -> Result<ConformReport, Fault> {
    let seed = job.seed;
    match &job.probe {
        Probe::Problem { problem, spec } => {
            let problem = worker.problem(problem)?;
            reporter.phase(Phase::Verify)?;
            problem::probe(&problem, spec, seed)
        }
        Probe::Builds {
            kernel,
            requests,
            threads,
        } => {
            let kernel = worker.kernel(kernel)?;
            reporter.phase(Phase::Build)?;
            Ok(builds::probe(&kernel, requests, *threads))
        }
        Probe::Profiler { profiler, request } => {
            reporter.phase(Phase::Profile)?;
            profiler::probe(worker, profiler, request)
        }
        Probe::Check {
            candidate,
            rule,
            shape,
            distribution,
        } => {
            let subject = Subject::new(worker, reporter, candidate)?;
            subject.check(*rule, shape, distribution, seed)
        }
        Probe::Sequence {
            candidate,
            launches,
        } => {
            let subject = Subject::new(worker, reporter, candidate)?;
            state::sequence(&subject, *launches, seed)
        }
        Probe::State { candidate } => {
            let subject = Subject::new(worker, reporter, candidate)?;
            state::state(&subject, seed)
        }
        Probe::OtherThread { candidate } => {
            let subject = Subject::new(worker, reporter, candidate)?;
            state::other_thread(&subject, seed)
        }
        Probe::Misuse { candidate } => {
            let subject = Subject::new(worker, reporter, candidate)?;
            misuse::probe(&subject, seed)
        }
        Probe::Leftovers { candidate } => {
            let subject = Subject::new(worker, reporter, candidate)?;
            leftovers::probe(&subject, seed)
        }
        Probe::Twins { candidate, other } => {
            let twin = Probed {
                request: BuildRequest {
                    config: other.clone(),
                    ..candidate.request.clone()
                },
                ..candidate.clone()
            };
            let twin = Subject::new(worker, reporter, &twin)?;
            let subject = Subject::new(worker, reporter, candidate)?;
            twins::probe(&subject, &twin, seed)
        }
    }
}

/// A candidate, built.
struct Subject<'a> {
    problem: Problem,
    kernel: Kernel,
    built: Rc<Built>,
    request: &'a BuildRequest,
}

impl<'a> Subject<'a> {
    fn new(
        worker: &mut Worker,
        reporter: &mut Reporter<'_>,
        candidate: &'a Probed,
    ) -> Result<Self, Fault> {
        let problem = worker.problem(&candidate.problem)?;
        let kernel = worker.kernel(&candidate.kernel)?;
        reporter.phase(Phase::Build)?;
        let built = worker.builder.build(&kernel, &candidate.request)?;
        reporter.phase(Phase::Verify)?;
        Ok(Self {
            problem,
            kernel,
            built,
            request: &candidate.request,
        })
    }

    /// An instance with buffers; `odd` ones are off page alignment.
    fn slot(&self, odd: bool) -> Result<Slot, Fault> {
        let placement = match odd {
            true => Placement::Odd,
            false => Placement::Page,
        };
        Slot::new(&self.kernel, &self.built, self.request, placement)
            .map_err(|error| outcome_of(error, Phase::Load).into())
    }

    fn checker(&self) -> Result<Checker<'_>, Fault> {
        Checker::new(&self.problem, &self.request.problem, &self.kernel.info)
    }

    /// The distribution of ordinary inputs.
    fn ordinary(&self) -> &str {
        let distributions = &self.request.problem.distributions;
        distributions.first().map_or("", String::as_str)
    }

    /// A check of the ordinary inputs, with everything called anew.
    fn fresh_check<'c>(&'c self, seed: u64) -> Check<'c> {
        Check {
            phase: Phase::Verify,
            shape: "as probed",
            distribution: self.ordinary(),
            seed,
            all_rows: false,
            bind: true,
            repeat: true,
            prepare: true,
        }
    }

    fn fill(&self, slot: &mut Slot, seed: u64) -> Result<(), Fault> {
        self.problem
            .fill(&self.request.problem, seed, self.ordinary(), &mut slot.set)
            .map_err(|error| Fault::of_problem(&self.problem.name, "filling the inputs", error))
    }

    /// Makes a slot that is filled and bound, ready to launch.
    fn bound_slot(&self, seed: u64) -> Result<Slot, Fault> {
        let mut slot = self.slot(false)?;
        self.fill(&mut slot, seed)?;
        let Slot { set, instance } = &mut slot;
        let ready = set.push().and_then(|()| {
            if self.kernel.info.prepares {
                instance.prepare(set)?;
            }
            instance.bind(set)
        });
        ready.map_err(|error| Fault::from(outcome_of(error, Phase::Load)))?;
        Ok(slot)
    }

    /// Two launches on one kind of inputs, judged in every way.
    fn check(
        &self,
        rule: Rule,
        shape: &str,
        distribution: &str,
        seed: u64,
    ) -> Result<ConformReport, Fault> {
        let mut slot = self.slot(false)?;
        let check = Check {
            shape,
            distribution,
            ..self.fresh_check(seed)
        };
        let checked = self.checker()?.run(&mut slot, check);
        let breach = breach_of(checked, rule)?.err();
        if breach.is_some() {
            // The kernel may still be at work on its buffers.
            std::mem::forget(slot);
        }
        Ok(report_of(breach))
    }
}

/// The report of a probe that found this breach, if any.
fn report_of(breach: Option<Breach>) -> ConformReport {
    ConformReport {
        breaches: breach.into_iter().collect(),
        ..ConformReport::default()
    }
}

/// Turns a wrong result into the breach of a rule: of `wrong`, where the values are not right.
///
/// # Errors
/// Any other fault.
fn breach_of<T>(result: Result<T, Fault>, wrong: Rule) -> Result<Result<T, Breach>, Fault> {
    let fault = match result {
        Ok(value) => return Ok(Ok(value)),
        Err(fault) => fault,
    };
    match fault {
        Fault::Outcome(outcome) => match *outcome {
            Outcome::WrongResult(result) => Ok(Err(Breach {
                rule: rule_of(result.wrong, wrong),
                message: result.message,
            })),
            other => Err(other.into()),
        },
        fault => Err(fault),
    }
}

fn rule_of(kind: WrongKind, wrong: Rule) -> Rule {
    match kind {
        WrongKind::Inaccurate | WrongKind::Zeros | WrongKind::Failed => wrong,
        WrongKind::Unwritten => Rule::AllWritten,
        WrongKind::OutOfBounds => Rule::InBounds,
        WrongKind::InputMutated | WrongKind::Aliased => Rule::InputsUnchanged,
        WrongKind::Race => Rule::DeterministicAsDeclared,
        WrongKind::Cached => Rule::Stateless,
        WrongKind::LateWrite => Rule::NoLateWrites,
    }
}

/// One launch onto poisoned outputs, to its end.
fn launch(slot: &mut Slot, seed: u64) -> Result<(), Fault> {
    let place = LaunchPlace {
        phase: Phase::Verify,
        seed,
    };
    let poisoned = slot.set.poison(Poison::First);
    let called = poisoned.and_then(|()| check::call(slot, false, false));
    called.map_err(|error| outcome_of_launch(error, place).into())
}

/// Inputs with their reference, in a slot.
struct Known {
    slot: Slot,
    content: Content,
}
