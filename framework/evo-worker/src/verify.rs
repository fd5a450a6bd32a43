//! All checks of a candidate: on its own shape with several seeds and distributions, and on the
//! problem's extra shapes.

use std::time::Instant;

use evo_types::{BuildRequest, ErrorFigures, Outcome, Params, Phase, ProblemSpec, format_params};

use crate::build::Builder;
use crate::check::{Check, Checker, Content, Slot};
use crate::component::{Built, Kernel, Problem};
use crate::fault::{Fault, outcome_of};
use crate::judge;
use crate::memory::Placement;
use crate::quantisation;
use crate::seeds::derive_seed;
use crate::serve::Reporter;

/// Up to this many floating-point operations, every check computes the reference of every row.
const SMALL_FLOPS: f64 = 2e8;
/// Up to this many, the first check of a shape does, and the others draw rows.
const FULL_FLOPS: f64 = 2e9;

/// Everything that verification needs to know of a candidate.
pub(crate) struct Candidate<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) kernel: &'a Kernel,
    pub(crate) request: &'a BuildRequest,
    pub(crate) built: &'a Built,
}

/// What verification hands on to the measurement.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) figures: ErrorFigures,
    /// The inputs of the last ordinary check of the main shape, with their reference.
    pub(crate) content: Content,
    /// What it took.
    pub(crate) seconds: f64,
}

/// How much is verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thoroughness {
    pub(crate) seed: u64,
    pub(crate) seeds: u32,
    pub(crate) all_rows: bool,
}

/// Verifies a candidate on its own shape and on the extra ones.
///
/// # Errors
/// The outcome of a candidate that failed, or what broke.
pub(crate) fn verify(
    candidate: &Candidate<'_>,
    builder: &mut Builder,
    reporter: &mut Reporter<'_>,
    how: Thoroughness,
) -> Result<Verified, Fault> {
    let spec = &candidate.request.problem;
    let (ordinary, adversarial) = spec.distributions.split_first().ok_or_else(|| {
        Fault::refused(format!(
            "the problem `{}` names no input distribution",
            candidate.problem.name
        ))
    })?;
    let start = Instant::now();
    let mut rounds = 0u64;
    let mut next_seed = || {
        rounds += 1;
        derive_seed(how.seed, "verify", rounds)
    };
    let mut figures = judge::no_figures();
    let main = Shape::of(spec, "as ranked");
    let mut content = None;
    {
        reporter.phase(Phase::Load)?;
        let mut shape = Verification::new(candidate, main, how)?;
        reporter.phase(Phase::Verify)?;
        for round in 0..how.seeds.max(1) {
            let seed = next_seed();
            let checked = shape.check(ordinary, seed, &mut figures)?;
            if round == 0 {
                figures.quantisation =
                    quantisation::error(candidate.problem, spec, &checked, seed, ordinary)?;
                for distribution in adversarial {
                    shape.check(distribution, next_seed(), &mut figures)?;
                }
            }
            content = Some(checked);
        }
    }
    for changes in &spec.extra_shapes {
        let label = format_params(changes);
        let request = extra_request(candidate, changes, &label)?;
        let built = builder
            .build(candidate.kernel, &request)
            .map_err(|fault| with_shape(fault, &label))?;
        let extra = Candidate {
            request: &request,
            built: &built,
            ..*candidate
        };
        let shape = Shape::of(&request.problem, &label);
        let mut shape =
            Verification::new(&extra, shape, how).map_err(|fault| with_shape(fault, &label))?;
        shape.check(ordinary, next_seed(), &mut figures)?;
    }
    let content = content.ok_or_else(|| Fault::internal("no check was made"))?;
    Ok(Verified {
        figures,
        content,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// The request for an extra shape: the same configuration, other fields.
fn extra_request(
    candidate: &Candidate<'_>,
    changes: &Params,
    label: &str,
) -> Result<BuildRequest, Fault> {
    let mut fields = candidate.request.problem.fields.clone();
    fields.extend(changes.clone());
    let problem = candidate.problem.resolve(&fields).map_err(|error| {
        let doing = format!("resolving its extra shape {label}");
        Fault::of_problem(&candidate.problem.name, &doing, error)
    })?;
    Ok(BuildRequest {
        problem,
        ..candidate.request.clone()
    })
}

/// Says on which extra shape it happened.
fn with_shape(fault: Fault, label: &str) -> Fault {
    let Fault::Outcome(mut outcome) = fault else {
        return fault;
    };
    match outcome.as_mut() {
        Outcome::Rejected { reason: text, .. }
        | Outcome::BuildFailed { message: text, .. }
        | Outcome::Crashed { message: text, .. }
        | Outcome::OutOfMemory { message: text, .. } => {
            *text = format!("on the extra shape {label}: {text}");
        }
        _ => {}
    }
    Fault::Outcome(outcome)
}

struct Shape<'a> {
    spec: &'a ProblemSpec,
    label: &'a str,
}

impl<'a> Shape<'a> {
    fn of(spec: &'a ProblemSpec, label: &'a str) -> Self {
        Self { spec, label }
    }
}

/// The checks of one shape: two slots in turn, so that a kernel sees other addresses, and then
/// addresses that it has seen before with other content.
struct Verification<'a> {
    candidate: &'a Candidate<'a>,
    checker: Checker<'a>,
    shape: Shape<'a>,
    slots: Vec<Slot>,
    checks: usize,
    how: Thoroughness,
}

impl<'a> Verification<'a> {
    fn new(
        candidate: &'a Candidate<'a>,
        shape: Shape<'a>,
        how: Thoroughness,
    ) -> Result<Self, Fault> {
        let mut verification = Self {
            checker: Checker::new(candidate.problem, shape.spec, &candidate.kernel.info)?,
            candidate,
            shape,
            slots: Vec::new(),
            checks: 0,
            how,
        };
        verification.add_slot(Placement::Page)?;
        Ok(verification)
    }

    fn check(
        &mut self,
        distribution: &str,
        seed: u64,
        figures: &mut ErrorFigures,
    ) -> Result<Content, Fault> {
        let flops = self.shape.spec.flops;
        let Candidate {
            problem, kernel, ..
        } = self.candidate;
        let affordable = flops <= SMALL_FLOPS
            || (flops <= FULL_FLOPS && self.checks == 0)
            || problem.has_fast_reference(self.shape.spec, &kernel.site);
        let place = self.checks % 2;
        if place == self.slots.len() {
            self.add_slot(Placement::Odd)?;
        }
        let fresh = self.checks < 2;
        self.checks += 1;
        let check = Check {
            phase: Phase::Verify,
            shape: self.shape.label,
            distribution,
            seed,
            all_rows: self.how.all_rows || affordable,
            bind: fresh,
            repeat: fresh,
            prepare: true,
        };
        let Some(slot) = self.slots.get_mut(place) else {
            return Err(Fault::internal("a slot is missing"));
        };
        match self.checker.run(slot, check) {
            Ok((new, content)) => {
                judge::merge(figures, &new);
                Ok(content)
            }
            Err(fault) => {
                // A kernel that failed may still be at work: its buffers must outlive it. The
                // host starts a new worker after a failed candidate.
                std::mem::forget(std::mem::take(&mut self.slots));
                Err(fault)
            }
        }
    }

    fn add_slot(&mut self, placement: Placement) -> Result<(), Fault> {
        let Candidate {
            kernel,
            built,
            request,
            ..
        } = self.candidate;
        let slot = Slot::new(kernel, built, request, placement)
            .map_err(|error| Fault::from(outcome_of(error, Phase::Load)))?;
        self.slots.push(slot);
        Ok(())
    }
}
