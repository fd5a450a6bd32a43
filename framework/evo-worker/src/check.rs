//! One check: fresh inputs, poisoned and guarded buffers, launches, and the reference.
//!
//! An output cannot share memory with an input here, since the framework owns both; what is
//! checked in its place is that the kernel left the description of its buffers alone.

use std::time::{Duration, Instant};

use evo_plugin::Error;
use evo_types::{ErrorFigures, KernelInfo, Outcome, Phase, ProblemSpec, WrongKind, WrongResult};
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::block::Stray;
use crate::bulk::{self, Bytes, Doubles};
use crate::component::Problem;
use crate::element::Poison;
use crate::fault::{Fault, LaunchPlace, outcome_of_launch};
use crate::judge::{self, Finding, Output};
use crate::memory::BufferSet;
use crate::seeds::derive_seed;
use crate::slot::execute;
pub(crate) use crate::slot::{Slot, call};

/// Rows drawn where not all are compared.
const DRAWN_ROWS: usize = 256;
/// How long a wrong output is watched for writes that come after the launch has returned.
const LATE_WRITES: Duration = Duration::from_millis(120);
/// A launch that takes no longer than this is repeated in every check.
const SHORT_LAUNCH: Duration = Duration::from_millis(20);
/// Outputs of earlier checks that a wrong one is compared with.
const REMEMBERED: usize = 2;

/// One check to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check<'a> {
    pub(crate) phase: Phase,
    /// The shape in words, for messages.
    pub(crate) shape: &'a str,
    pub(crate) distribution: &'a str,
    pub(crate) seed: u64,
    /// Whether every row is compared, however many there are.
    pub(crate) all_rows: bool,
    /// Whether `bind` is called again. It is not after the inputs were refilled in place: what
    /// was computed there, against the rules, then shows.
    pub(crate) bind: bool,
    /// Whether a second launch on the same inputs must agree with the first, however long a launch
    /// takes. Short ones are always repeated.
    pub(crate) repeat: bool,
    /// Whether a kernel that prepares is told to do so for these inputs.
    pub(crate) prepare: bool,
}

impl Check<'_> {
    /// Where its launches stand.
    fn place(&self) -> LaunchPlace {
        LaunchPlace {
            phase: self.phase,
            seed: self.seed,
        }
    }
}

/// The inputs of a check and what is right for them.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) inputs: Vec<Bytes>,
    pub(crate) expected: Vec<Doubles>,
    pub(crate) rows: Option<Vec<u64>>,
}

/// Why a check did not pass.
pub(crate) enum Failed {
    Wrong(Finding),
    Fault(Fault),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Finding> for Failed {
    fn from(finding: Finding) -> Self {
        Self::Wrong(finding)
    }
}

/// Checks one kernel on one shape.
pub(crate) struct Checker<'a> {
    problem: &'a Problem,
    spec: &'a ProblemSpec,
    info: &'a KernelInfo,
    /// Outputs of earlier checks, newest last: what a kernel that caches may hand back.
    seen: Vec<Vec<Bytes>>,
    /// Outputs of recorded launches that passed, with their figures: all are of one content.
    passed: Option<(Vec<Bytes>, ErrorFigures)>,
}

fn same(a: &[Bytes], b: &[Bytes]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| bulk::equal(a, b))
}

impl<'a> Checker<'a> {
    /// # Errors
    /// Where an output has no gate, or one that is no number.
    pub(crate) fn new(
        problem: &'a Problem,
        spec: &'a ProblemSpec,
        info: &'a KernelInfo,
    ) -> Result<Self, Fault> {
        if spec.outputs().next().is_none() {
            return Err(Fault::refused(format!(
                "the problem `{}` has no output: there is nothing to verify",
                problem.name
            )));
        }
        for output in spec.outputs() {
            if output.elements() == Some(0) {
                return Err(Fault::refused(format!(
                    "the output `{}` of the problem `{}` has the shape {:?}, so no element: there \
                     is nothing to verify",
                    output.name, problem.name, output.shape
                )));
            }
            let gate = spec.gate(&output.name).map(|gate| gate.relative_error);
            if !gate.is_some_and(|gate| gate.is_finite() && gate >= 0.0) {
                return Err(Fault::refused(format!(
                    "the problem `{}` has no gate for its output `{}`: add one, so that a wrong \
                     result can be told from a right one",
                    problem.name, output.name
                )));
            }
        }
        Ok(Self {
            problem,
            spec,
            info,
            seen: Vec::new(),
            passed: None,
        })
    }

    /// Fills, launches, and judges.
    ///
    /// # Errors
    /// The outcome of a candidate that failed, or what broke.
    pub(crate) fn run(
        &mut self,
        slot: &mut Slot,
        check: Check<'_>,
    ) -> Result<(ErrorFigures, Content), Fault> {
        let mut content = self.fill(slot, check)?;
        let figures = self.run_filled(slot, check, &mut content)?;
        Ok((figures, content))
    }

    /// Fills the inputs; their content has no reference yet.
    ///
    /// # Errors
    /// What the problem ended with.
    pub(crate) fn fill(&self, slot: &mut Slot, check: Check<'_>) -> Result<Content, Fault> {
        let problem = self.problem;
        problem
            .fill(self.spec, check.seed, check.distribution, &mut slot.set)
            .map_err(|error| {
                let doing = format!("filling the inputs with `{}`", check.distribution);
                Fault::of_problem(&problem.name, &doing, error)
            })?;
        Ok(Content {
            inputs: slot.set.inputs(),
            expected: Vec::new(),
            rows: None,
        })
    }

    /// As [`run`](Self::run), on inputs that are in the buffers already. A content without a
    /// reference gets one.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(crate) fn run_filled(
        &mut self,
        slot: &mut Slot,
        check: Check<'_>,
        content: &mut Content,
    ) -> Result<ErrorFigures, Fault> {
        match self.launch_and_judge(slot, check, content) {
            Ok(figures) => Ok(figures),
            Err(Failed::Fault(fault)) => Err(fault),
            Err(Failed::Wrong(finding)) => Err(self.wrong(check, finding).into()),
        }
    }

    fn launch_and_judge(
        &mut self,
        slot: &mut Slot,
        check: Check<'_>,
        content: &mut Content,
    ) -> Result<ErrorFigures, Failed> {
        let (first, took) = self.first(slot, check, content)?;
        let second = if check.repeat || took < SHORT_LAUNCH {
            Some(self.launch(slot, check, Poison::Second, false, &content.inputs)?)
        } else {
            None
        };
        self.conclude(slot, check, content, first, second)
    }

    /// The first launch on inputs that are in the buffers, and how long it took. A content without a
    /// reference gets one.
    ///
    /// # Errors
    /// What can be seen to be wrong without the reference's values, or what broke.
    pub(crate) fn first(
        &self,
        slot: &mut Slot,
        check: Check<'_>,
        content: &mut Content,
    ) -> Result<(Vec<Bytes>, Duration), Failed> {
        let start = Instant::now();
        let first = self.launch(slot, check, Poison::First, true, &content.inputs)?;
        let took = start.elapsed();
        if content.expected.is_empty() {
            self.add_reference(slot, check, content)?;
        }
        // The reference took a while: what changed since the launch returned came too late. What
        // is missing is waited for here, since it could arrive during the second launch.
        let complete = self.is_complete(&first);
        let place = check.place();
        let of = |error| Fault::from(outcome_of_launch(error, place));
        slot.set.pull_outputs().map_err(of)?;
        if !slot.set.outputs_equal(&first)
            || (!complete && changes_late(&mut slot.set, &first).map_err(of)?)
        {
            return Err(late().into());
        }
        Ok((first, took))
    }

    /// Judges what was launched onto poisoned outputs by other means, where the inputs are those
    /// of a content with a reference: the launches of a recorded batch.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(crate) fn judge_launched(
        &mut self,
        slot: &mut Slot,
        check: Check<'_>,
        content: &Content,
    ) -> Result<ErrorFigures, Fault> {
        let pulled = slot.set.pull();
        let judged = look(slot, check, pulled, &content.inputs)
            .and_then(|outputs| self.conclude_once(slot, check, content, outputs));
        judged.map_err(|failed| match failed {
            Failed::Fault(fault) => fault,
            Failed::Wrong(finding) => self.wrong(check, finding).into(),
        })
    }

    /// As [`conclude`](Self::conclude), for outputs of one content in many sets: those that are byte
    /// for byte the ones that passed last pass as well.
    fn conclude_once(
        &mut self,
        slot: &mut Slot,
        check: Check<'_>,
        content: &Content,
        outputs: Vec<Bytes>,
    ) -> Result<ErrorFigures, Failed> {
        if let Some((passed, figures)) = &self.passed
            && same(passed, &outputs)
        {
            return Ok(figures.clone());
        }
        let figures = self.conclude(slot, check, content, outputs.clone(), None)?;
        self.passed = Some((outputs, figures.clone()));
        Ok(figures)
    }

    /// Compares outputs with the reference; of wrong ones it says what they are.
    fn conclude(
        &mut self,
        slot: &mut Slot,
        check: Check<'_>,
        content: &Content,
        first: Vec<Bytes>,
        second: Option<Vec<Bytes>>,
    ) -> Result<ErrorFigures, Failed> {
        let judged = self.judge(content, &first, second.as_deref());
        let finding = match judged {
            Ok(figures) => {
                self.remember(first);
                return Ok(figures);
            }
            Err(finding) => finding,
        };
        let place = check.place();
        let of = |error| Fault::from(outcome_of_launch(error, place));
        if changes_late(&mut slot.set, second.as_ref().unwrap_or(&first)).map_err(of)? {
            return Err(late().into());
        }
        if check.phase == Phase::Recheck && finding.untouched {
            let message = "the timed launches wrote nothing: outputs that were poisoned after the \
                           timing stayed so";
            return Err(Finding::new(WrongKind::Cached, message).into());
        }
        if self.seen_before(&first) && finding.wrong != WrongKind::Zeros {
            return Err(Finding::new(
                WrongKind::Cached,
                "the output is byte for byte that of earlier inputs: the kernel did not compute \
                 it anew",
            )
            .into());
        }
        Err(finding.into())
    }

    fn seen_before(&self, outputs: &[Bytes]) -> bool {
        self.seen.iter().any(|seen| same(seen, outputs))
    }

    fn remember(&mut self, outputs: Vec<Bytes>) {
        if self.seen.len() == REMEMBERED {
            self.seen.remove(0);
        }
        self.seen.push(outputs);
    }

    /// Launches onto poisoned outputs, and looks at everything but the values. All launches on
    /// inputs but the first are not `fresh`: they find them on the device.
    ///
    /// # Errors
    /// What can be seen to be wrong without the values, or what broke.
    pub(crate) fn launch(
        &self,
        slot: &mut Slot,
        check: Check<'_>,
        poison: Poison,
        fresh: bool,
        inputs: &[Bytes],
    ) -> Result<Vec<Bytes>, Failed> {
        let place = check.place();
        let poisoned = slot.set.poison(poison);
        poisoned.map_err(|error| Fault::from(outcome_of_launch(error, place)))?;
        let prepare = check.prepare && fresh && self.info.prepares;
        // A kernel that prepares may have moved what it made there.
        let bind = prepare || (check.bind && fresh);
        // A repetition finds the inputs on the device as the first launch has left them: unchanged.
        let launched = match fresh {
            true => call(slot, prepare, bind),
            false => slot
                .set
                .push_outputs()
                .and_then(|()| execute(slot, prepare, bind)),
        };
        look(slot, check, launched, inputs)
    }

    fn add_reference(
        &self,
        slot: &Slot,
        check: Check<'_>,
        content: &mut Content,
    ) -> Result<(), Fault> {
        // Drawn now, after the launch.
        let rows = self.draw_rows(check);
        let expected = self
            .problem
            .reference(self.spec, &slot.set, rows.as_deref())
            .map_err(|error| {
                Fault::of_problem(&self.problem.name, "computing the reference", error)
            })?;
        for (output, values) in self.spec.outputs().zip(&expected) {
            let columns = output.shape.last().copied().unwrap_or(1);
            let finite = |start: usize| {
                let row = start
                    .checked_mul(columns)
                    .and_then(|start| values.get(start..start.checked_add(columns)?));
                row.is_some_and(|row| row.iter().all(|value| value.is_finite()))
            };
            let complete = match &rows {
                None => values.par_iter().all(|value| value.is_finite()),
                Some(rows) => rows.iter().all(|row| finite(*row as usize)),
            };
            if !complete {
                return Err(Fault::refused(format!(
                    "the reference of the problem `{}` for `{}` is not finite, or not complete \
                     (inputs `{}`, seed {}): this is a fault in the problem",
                    self.problem.name, output.name, check.distribution, check.seed
                )));
            }
        }
        content.expected = expected;
        content.rows = rows;
        Ok(())
    }

    /// The rows to compare, or `None` for all of them.
    fn draw_rows(&self, check: Check<'_>) -> Option<Vec<u64>> {
        let mut counts = self.spec.outputs().map(|output| {
            let elements = output.elements().unwrap_or(0);
            let columns = output.shape.last().copied().unwrap_or(1);
            elements.checked_div(columns).unwrap_or(0)
        });
        let rows = counts.next().unwrap_or(0);
        let unlike = counts.any(|other| other != rows);
        if check.all_rows || unlike || rows <= DRAWN_ROWS {
            return None;
        }
        let seed = derive_seed(check.seed, "rows", rand::random());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn = index::sample(&mut rng, rows, DRAWN_ROWS);
        let mut drawn: Vec<u64> = drawn.into_iter().map(|row| row as u64).collect();
        drawn.sort_unstable();
        Some(drawn)
    }

    fn is_complete(&self, first: &[Bytes]) -> bool {
        self.spec
            .outputs()
            .zip(first)
            .all(|(tensor, bytes)| judge::is_complete(bytes, tensor.dtype))
    }

    /// Holds the outputs of one launch or two against the reference.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn judge(
        &self,
        content: &Content,
        first: &[Bytes],
        second: Option<&[Bytes]>,
    ) -> Result<ErrorFigures, Finding> {
        let outputs: Vec<Output<'_>> = self
            .spec
            .outputs()
            .zip(&content.expected)
            .zip(first)
            .enumerate()
            .map(|(index, ((tensor, expected), first))| Output {
                tensor,
                // `new` saw to it that there is one.
                gate: self
                    .spec
                    .gate(&tensor.name)
                    .map_or(0.0, |gate| gate.relative_error),
                first,
                second: second
                    .and_then(|second| second.get(index))
                    .map(|bytes| &**bytes),
                expected,
                rows: content.rows.as_deref(),
            })
            .collect();
        judge::judge(&outputs, self.info.deterministic)
    }

    /// The outcome of a finding, with where it was made.
    pub(crate) fn wrong(&self, check: Check<'_>, finding: Finding) -> Outcome {
        let after_timing = check.phase == Phase::Recheck;
        let when = if after_timing {
            ", after the timing"
        } else {
            ""
        };
        Outcome::WrongResult(WrongResult {
            wrong: finding.wrong,
            message: format!(
                "{} (shape {}, inputs `{}`, seed {}{when})",
                finding.message, check.shape, check.distribution, check.seed
            ),
            error: finding.figures,
            seed: check.seed,
            after_timing,
        })
    }
}

/// Looks at everything but the values after a launch: guards, inputs, the description of the
/// buffers. Returns the outputs.
fn look(
    slot: &Slot,
    check: Check<'_>,
    launched: Result<(), Error>,
    inputs: &[Bytes],
) -> Result<Vec<Bytes>, Failed> {
    if let Some(found) = slot.set.stray() {
        return Err(stray_write(&found.buffer, found.stray).into());
    }
    launched.map_err(|error| Fault::from(outcome_of_launch(error, check.place())))?;
    if let Some((tensor, position)) = slot.set.changed_input(inputs) {
        let message = format!("the input `{tensor}` was changed, first at byte {position}");
        return Err(Finding::new(WrongKind::InputMutated, message).into());
    }
    if !slot.set.description_intact() {
        let message = "the kernel changed the description of its buffers";
        return Err(Finding::new(WrongKind::Aliased, message).into());
    }
    Ok(slot.set.outputs())
}

fn late() -> Finding {
    Finding::new(
        WrongKind::LateWrite,
        "an output changed after the launch had returned: work goes on in another thread",
    )
}

fn stray_write(buffer: &str, stray: Stray) -> Finding {
    let (distance, side) = match stray {
        Stray::Before(distance) => (distance, "before the start"),
        Stray::After(distance) => (distance, "after the end"),
    };
    let unit = if distance == 1 { "byte" } else { "bytes" };
    Finding::new(
        WrongKind::OutOfBounds,
        format!("memory outside `{buffer}` was written: {distance} {unit} {side}"),
    )
}

/// Watches wrong outputs for a while: were they only not there yet?
fn changes_late(set: &mut BufferSet, outputs: &[Bytes]) -> Result<bool, Error> {
    let start = Instant::now();
    while start.elapsed() < LATE_WRITES {
        std::thread::sleep(LATE_WRITES / 12);
        set.pull_outputs()?;
        if !set.outputs_equal(outputs) {
            return Ok(true);
        }
    }
    Ok(false)
}
