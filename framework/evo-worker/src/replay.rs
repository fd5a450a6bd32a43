//! A candidate executed again, with nothing timed: compared with itself bit by bit, or launched and
//! nothing else, for tools that look at this process from outside.

use evo_types::{Outcome, Phase, ProblemSpec, Role};
use evo_wire::{Difference, Differing, ReplayJob, ReplayMode, ReplayReport};

use crate::build;
use crate::bulk::Bytes;
use crate::check::{Check, Checker, Content, Failed};
use crate::component::{Kernel, Problem};
use crate::element::{self, Poison};
use crate::fault::{Fault, LaunchPlace, outcome_of, outcome_of_launch};
use crate::judge::{self, Finding};
use crate::memory::Placement;
use crate::serve::{Reporter, Worker};
use crate::slot::Slot;

/// Up to this many floating-point operations, the reference of every row is computed.
const FULL_FLOPS: f64 = 2e9;

/// Builds, loads and executes as often as the job says.
///
/// # Errors
/// The outcome of a candidate that did not get to its end, or what broke.
pub(crate) fn replay(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    job: &ReplayJob,
) -> Result<ReplayReport, Fault> {
    let distribution = distribution(job)?;
    let problem = worker.problem(&job.problem)?;
    let kernel = worker.kernel(&job.kernel)?;
    reporter.phase(Phase::Accept)?;
    build::check_request(&kernel, &job.request)?;
    build::accept(&kernel, &job.request)?;
    reporter.phase(Phase::Build)?;
    let built = worker.builder.build_accepted(&kernel, &job.request)?.built;
    reporter.phase(Phase::Load)?;
    let placement = match job.guards {
        true => Placement::Page,
        false => Placement::Bare,
    };
    let slot = Slot::new(&kernel, &built, &job.request, placement)
        .map_err(|error| Fault::from(outcome_of(error, Phase::Load)))?;
    let mut replay = Replay {
        problem: &problem,
        kernel: &kernel,
        job,
        slot,
        report: ReplayReport {
            distribution: distribution.to_owned(),
            deterministic: kernel.info.deterministic,
            launches: 0,
            figures: None,
            wrong: None,
            differing: None,
        },
    };
    let done = match job.mode {
        ReplayMode::Check { repeats } => replay.check_all(reporter, repeats),
        ReplayMode::Launch { launches } => replay.launch_all(reporter, launches),
    };
    match done {
        Ok(()) => Ok(replay.report),
        Err(fault) => {
            // The kernel may still be at work: its buffers must outlive it. The host starts a new
            // worker after a candidate that failed.
            std::mem::forget(replay.slot);
            Err(fault)
        }
    }
}

/// The distribution of the inputs; refuses a job that makes no sense.
fn distribution(job: &ReplayJob) -> Result<&str, Fault> {
    if job.seeds.is_empty() || job.mode == (ReplayMode::Check { repeats: 0 }) {
        return Err(Fault::refused(
            "a replay needs at least one seed and one launch",
        ));
    }
    let spec = &job.request.problem;
    let known = || spec.distributions.join(", ");
    match &job.distribution {
        Some(wanted) if spec.distributions.contains(wanted) => Ok(wanted),
        Some(wanted) => Err(Fault::refused(format!(
            "the problem `{}` has no inputs `{wanted}`; it has: {}",
            spec.problem,
            known()
        ))),
        None => spec
            .distributions
            .first()
            .map(String::as_str)
            .ok_or_else(|| {
                Fault::refused(format!(
                    "the problem `{}` names no input distribution",
                    spec.problem
                ))
            }),
    }
}

/// A candidate that is being executed, and what was seen of it so far.
struct Replay<'a> {
    problem: &'a Problem,
    kernel: &'a Kernel,
    job: &'a ReplayJob,
    slot: Slot,
    report: ReplayReport,
}

impl Replay<'_> {
    /// One launch to warm up, then so many, on each inputs.
    fn launch_all(&mut self, reporter: &mut Reporter<'_>, launches: u32) -> Result<(), Fault> {
        for seed in &self.job.seeds {
            let place = LaunchPlace {
                phase: Phase::Profile,
                seed: *seed,
            };
            self.slot.ready(
                self.problem,
                &self.job.request,
                &self.report.distribution,
                self.kernel.info.prepares,
                place,
            )?;
            reporter.phase(Phase::Profile)?;
            let of = |error| Fault::from(outcome_of_launch(error, place));
            self.slot.launch().map_err(of)?;
            let site = self.slot.instance.site().clone();
            site.mark_for_profilers(true);
            let launched = (0..launches).try_for_each(|_| self.slot.launch());
            site.mark_for_profilers(false);
            launched.map_err(of)?;
            self.report.launches += 1 + u64::from(launches);
        }
        Ok(())
    }

    /// So many launches on each inputs, each compared with the first and with the reference.
    fn check_all(&mut self, reporter: &mut Reporter<'_>, repeats: u32) -> Result<(), Fault> {
        let spec = &self.job.request.problem;
        let checker = Checker::new(self.problem, spec, &self.kernel.info)?;
        let distribution = self.report.distribution.clone();
        for (number, seed) in self.job.seeds.iter().enumerate() {
            let check = Check {
                phase: Phase::Verify,
                shape: "as replayed",
                distribution: &distribution,
                seed: *seed,
                all_rows: self.job.check_all_rows || spec.flops <= FULL_FLOPS,
                // Inputs that are refilled in place need no new `bind`.
                bind: number == 0,
                repeat: true,
                prepare: true,
            };
            reporter.phase(Phase::Verify)?;
            let checked = self.check(reporter, &checker, check, repeats);
            checked.map_err(|failed| match failed {
                Failed::Fault(fault) => fault,
                Failed::Wrong(finding) => checker.wrong(check, finding).into(),
            })?;
        }
        Ok(())
    }

    fn check(
        &mut self,
        reporter: &mut Reporter<'_>,
        checker: &Checker<'_>,
        check: Check<'_>,
        repeats: u32,
    ) -> Result<(), Failed> {
        let mut content = checker.fill(&mut self.slot, check)?;
        let (first, _) = checker.first(&mut self.slot, check, &mut content)?;
        self.report.launches += 1;
        self.judge(checker, check, &content, &first, 1);
        for repeat in 2..=repeats {
            reporter.phase(Phase::Verify)?;
            // What is left out shows the other pattern.
            let poison = match repeat % 2 {
                0 => Poison::Second,
                _ => Poison::First,
            };
            let outputs = checker
                .launch(&mut self.slot, check, poison, false, &content.inputs)
                .map_err(|failed| match failed {
                    Failed::Wrong(finding) => Failed::Wrong(in_repeat(finding, repeat)),
                    fault => fault,
                })?;
            self.report.launches += 1;
            let spec = &self.job.request.problem;
            if let Some(found) = difference(spec, &first, &outputs, check.seed, repeat) {
                let differing = self.report.differing.get_or_insert(Differing {
                    launches: 0,
                    first: found,
                });
                differing.launches += 1;
                self.judge(checker, check, &content, &outputs, repeat);
            }
        }
        Ok(())
    }

    /// Holds the outputs of a launch against the reference.
    fn judge(
        &mut self,
        checker: &Checker<'_>,
        check: Check<'_>,
        content: &Content,
        outputs: &[Bytes],
        repeat: u32,
    ) {
        let figures = match checker.judge(content, outputs, None) {
            Ok(figures) => Some(figures),
            Err(finding) => {
                let figures = finding.figures.clone();
                let outcome = checker.wrong(check, in_repeat(finding, repeat));
                if let Outcome::WrongResult(wrong) = outcome {
                    self.report.wrong.get_or_insert(wrong);
                }
                figures
            }
        };
        if let Some(figures) = figures {
            let all = self.report.figures.get_or_insert_with(judge::no_figures);
            judge::merge(all, &figures);
        }
    }
}

/// A finding with the launch in which it was made, unless that is the first.
fn in_repeat(finding: Finding, repeat: u32) -> Finding {
    match repeat {
        1 => finding,
        _ => Finding {
            message: format!("in repeat {repeat}, {}", finding.message),
            ..finding
        },
    }
}

/// The first output whose bits differ, and how.
fn difference(
    spec: &ProblemSpec,
    first: &[Bytes],
    outputs: &[Bytes],
    seed: u64,
    repeat: u32,
) -> Option<Difference> {
    let tensors = spec
        .tensors
        .iter()
        .filter(|tensor| tensor.role == Role::Output);
    let (tensor, (was, is)) = tensors
        .zip(first.iter().zip(outputs))
        .find(|(_, (was, is))| was != is)?;
    let size = tensor.dtype.size();
    let pairs = || {
        was.chunks_exact(size)
            .zip(is.chunks_exact(size))
            .enumerate()
    };
    let mut differing = pairs().filter(|(_, (was, is))| was != is);
    let (index, (was_element, is_element)) = differing.next()?;
    let value = |bytes: &[u8]| {
        let mut values = Vec::new();
        element::decode(bytes, tensor.dtype, &mut values);
        values.first().map(f64::to_string).unwrap_or_default()
    };
    Some(Difference {
        seed,
        repeat,
        tensor: tensor.name.clone(),
        elements: 1 + differing.count() as u64,
        of: (was.len() / size) as u64,
        at: coordinates(index, &tensor.shape),
        was: value(was_element),
        is: value(is_element),
    })
}

/// The index in each dimension of an element; empty for a scalar.
fn coordinates(index: usize, shape: &[usize]) -> Vec<u64> {
    let mut rest = index;
    let mut at: Vec<u64> = shape
        .iter()
        .rev()
        .map(|extent| {
            let extent = (*extent).max(1);
            let coordinate = rest % extent;
            rest /= extent;
            coordinate as u64
        })
        .collect();
    at.reverse();
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ProblemSpec {
        let text = r#"{"problem": "p", "fields": {}, "constants": {}, "gates": [], "flops": 1.0,
            "bytes": 1.0, "cache": "rotate", "extra_shapes": [], "distributions": [], "tensors": [
            {"name": "x", "role": "input", "dtype": "f32", "shape": [2]},
            {"name": "n", "role": "output", "dtype": "u8", "shape": [4]},
            {"name": "y", "role": "output", "dtype": "f32", "shape": [2, 3]}]}"#;
        serde_json::from_str(text).unwrap()
    }

    fn bytes(values: &[f32]) -> Bytes {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        bytes.into()
    }

    #[test]
    fn a_difference_is_of_bits_and_says_where_the_first_is() {
        let spec = spec();
        let first = vec![
            vec![1, 2, 3, 4].into(),
            bytes(&[1.0, 2.0, 3.0, 0.0, 5.0, 6.0]),
        ];
        assert_eq!(difference(&spec, &first, &first, 17, 2), None);
        // A zero of the other sign is equal as a number, and not as bits.
        let second = vec![
            vec![1, 2, 3, 4].into(),
            bytes(&[1.0, 2.0, 3.0, -0.0, 5.0, f32::NAN]),
        ];
        let expected = Difference {
            seed: 17,
            repeat: 37,
            tensor: "y".to_owned(),
            elements: 2,
            of: 6,
            at: vec![1, 0],
            was: "0".to_owned(),
            is: "-0".to_owned(),
        };
        assert_eq!(difference(&spec, &first, &second, 17, 37), Some(expected));
        let other = vec![vec![1, 2, 3, 5].into(), second[1].clone()];
        assert_eq!(
            difference(&spec, &first, &other, 17, 2).unwrap().tensor,
            "n"
        );
    }

    #[test]
    fn every_element_has_coordinates() {
        assert_eq!(coordinates(0, &[]), Vec::<u64>::new());
        assert_eq!(coordinates(5, &[7]), [5]);
        assert_eq!(coordinates(23, &[2, 3, 4]), [1, 2, 3]);
        assert_eq!(coordinates(4, &[2, 3]), [1, 1]);
    }
}
