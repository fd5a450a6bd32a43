//! A problem: are its inputs a function of the seed, and its reference one of the inputs?

use evo_plugin::Error;
use evo_types::{ContentHash, ProblemSpec};
use evo_wire::{Breach, ConformReport, Rule};

use super::report_of;
use crate::bulk::Bytes;
use crate::component::Problem;
use crate::element::{self, Poison};
use crate::fault::Fault;
use crate::memory::{BufferSet, OutOfMemory, Placement};
use crate::site::Site;

/// Above this many floating-point operations only some rows of the reference are computed.
const FULL_FLOPS: f64 = 1e9;
/// How many, then.
const SOME_ROWS: u64 = 8;

/// Tries inputs of every distribution, and the reference on them.
///
/// # Errors
/// Where memory runs out.
pub(super) fn probe(
    problem: &Problem,
    spec: &ProblemSpec,
    seed: u64,
) -> Result<ConformReport, Fault> {
    let trial = Trial {
        problem,
        spec,
        seed,
    };
    let mut digests = Vec::new();
    let mut report = ConformReport::default();
    let broken = trial.run(&mut digests, &mut report.notes);
    let breach = match broken {
        Ok(()) => None,
        Err(Broken::Rule(breach)) => Some(breach),
        Err(Broken::Memory(OutOfMemory(message))) => {
            return Err(Fault::refused(format!(
                "the problem `{}`: {message}",
                problem.name
            )));
        }
    };
    Ok(ConformReport {
        digests,
        notes: report.notes,
        ..report_of(breach)
    })
}

enum Broken {
    Rule(Breach),
    Memory(OutOfMemory),
}

impl From<OutOfMemory> for Broken {
    fn from(error: OutOfMemory) -> Self {
        Self::Memory(error)
    }
}

fn inputs(message: String) -> Broken {
    let rule = Rule::ProblemInputs;
    Broken::Rule(Breach { rule, message })
}

fn reference(message: String) -> Broken {
    let rule = Rule::ProblemReference;
    Broken::Rule(Breach { rule, message })
}

struct Trial<'a> {
    problem: &'a Problem,
    spec: &'a ProblemSpec,
    seed: u64,
}

impl Trial<'_> {
    fn run(&self, digests: &mut Vec<ContentHash>, notes: &mut Vec<String>) -> Result<(), Broken> {
        let set = BufferSet::new(&Site::Host, self.spec, 0, Placement::Page);
        // On the host nothing else can be missing.
        let mut set = set.map_err(|error| OutOfMemory(error.to_string()))?;
        for distribution in &self.spec.distributions {
            let first = self.fill(&mut set, self.seed, distribution, Poison::First)?;
            let second = self.fill(&mut set, self.seed, distribution, Poison::Second)?;
            self.same(distribution, &first, &second)?;
            let other = self.fill(&mut set, self.seed ^ 1, distribution, Poison::First)?;
            if other == first {
                let message = format!("the inputs `{distribution}` do not depend on the seed");
                if distribution == self.ordinary() {
                    return Err(inputs(message));
                }
                notes.push(message);
            }
            set.set_inputs(&first);
            let parts: Vec<&[u8]> = first.iter().map(|bytes| &**bytes).collect();
            digests.push(ContentHash::of_parts(&parts));
            self.reference(&set, distribution)?;
            if let Some((tensor, position)) = set.changed_input(&first) {
                return Err(reference(format!(
                    "computing it changes the input `{tensor}`, first at byte {position}"
                )));
            }
        }
        match self
            .problem
            .fill(self.spec, self.seed, "no such distribution", &mut set)
        {
            Err(Error::Panicked(text)) => Err(inputs(format!(
                "an unknown distribution is no error, but a panic {text}"
            ))),
            Ok(()) => {
                notes.push("a distribution that it does not name is filled all the same".into());
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn ordinary(&self) -> &str {
        self.spec.distributions.first().map_or("", String::as_str)
    }

    /// Fills buffers that held something else, and looks around them.
    fn fill(
        &self,
        set: &mut BufferSet,
        seed: u64,
        distribution: &str,
        poison: Poison,
    ) -> Result<Vec<Bytes>, Broken> {
        let mut before = set.inputs();
        for (bytes, tensor) in before.iter_mut().zip(self.spec.inputs()) {
            element::fill(bytes, tensor.dtype, poison);
        }
        set.set_inputs(&before);
        self.problem
            .fill(self.spec, seed, distribution, set)
            .map_err(|error| inputs(format!("filling `{distribution}` failed: {error}")))?;
        if let Some(found) = set.stray() {
            return Err(inputs(format!(
                "filling `{distribution}` writes outside the tensor `{}`",
                found.buffer
            )));
        }
        let filled = set.inputs();
        for (bytes, tensor) in filled.iter().zip(self.spec.inputs()) {
            let mut values = Vec::new();
            element::decode(bytes, tensor.dtype, &mut values);
            if values.iter().any(|value| !value.is_finite()) {
                return Err(inputs(format!(
                    "filling `{distribution}` leaves elements of `{}` unwritten, NaN or infinite",
                    tensor.name
                )));
            }
        }
        Ok(filled)
    }

    fn same(&self, distribution: &str, a: &[Bytes], b: &[Bytes]) -> Result<(), Broken> {
        let unlike = a.iter().zip(b).zip(self.spec.inputs());
        let unlike = unlike.into_iter().find(|((a, b), _)| a != b);
        match unlike {
            None => Ok(()),
            Some((_, tensor)) => Err(inputs(format!(
                "filling `{distribution}` twice with one seed gives two contents of `{}`: some of \
                 it depends on something else, or is not written",
                tensor.name
            ))),
        }
    }

    /// Complete and finite, the same twice, and the same where only some rows are asked for.
    fn reference(&self, set: &BufferSet, distribution: &str) -> Result<(), Broken> {
        let rows: Vec<u64> = self.some_rows();
        let all = self.spec.flops <= FULL_FLOPS;
        let compute = |rows: Option<&[u64]>| {
            self.problem
                .reference(self.spec, set, rows)
                .map_err(|error| reference(format!("on inputs `{distribution}`: {error}")))
        };
        let some = compute(Some(&rows))?;
        let again = compute(if all { None } else { Some(&rows) })?;
        for ((some, again), output) in some.iter().zip(&again).zip(self.spec.outputs()) {
            let columns = output.shape.last().copied().unwrap_or(1).max(1);
            if all && again.iter().any(|value| !value.is_finite()) {
                return Err(reference(format!(
                    "`{}` is not complete, or not finite, on inputs `{distribution}`",
                    output.name
                )));
            }
            for row in &rows {
                let start = usize::try_from(*row).unwrap_or(usize::MAX);
                let start = start.saturating_mul(columns);
                let range = start..start.saturating_add(columns);
                let (a, b) = (some.get(range.clone()), again.get(range));
                if a.is_some_and(|row| row.iter().any(|value| !value.is_finite())) {
                    return Err(reference(format!(
                        "row {row} of `{}` is not complete, or not finite, where only some rows \
                         are asked for (inputs `{distribution}`)",
                        output.name
                    )));
                }
                if a != b {
                    return Err(reference(format!(
                        "row {row} of `{}` is another one when it is computed again (inputs \
                         `{distribution}`)",
                        output.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// The first, the last and some between.
    fn some_rows(&self) -> Vec<u64> {
        let rows = self.spec.outputs().map(|output| {
            let columns = output.shape.last().copied().unwrap_or(1).max(1);
            output.elements().unwrap_or(0) / columns
        });
        let rows = rows.min().unwrap_or(0) as u64;
        let step = (rows / SOME_ROWS).max(1);
        let mut chosen: Vec<u64> = (0..rows).step_by(step as usize).collect();
        if let Some(last) = rows.checked_sub(1)
            && !chosen.contains(&last)
        {
            chosen.push(last);
        }
        chosen
    }
}
