//! Holds the outputs of two launches against the reference and against each other.

mod accuracy;
#[cfg(test)]
mod tests;

use evo_types::{Dtype, ErrorFigures, TensorSpec, WrongKind};

use crate::bulk;
use crate::element::{self, Poison};
use accuracy::{Accuracy, accuracy, difference, rows_of};

/// A row may have this many times the relative error of the whole output.
const ROW_FACTOR: f64 = 2.0;
/// Elements decoded at a time.
const CHUNK: usize = 4096;

/// What was found wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) wrong: WrongKind,
    pub(crate) message: String,
    pub(crate) figures: Option<ErrorFigures>,
    /// Whether not one element was written.
    pub(crate) untouched: bool,
}

impl Finding {
    pub(crate) fn new(wrong: WrongKind, message: impl Into<String>) -> Self {
        Self {
            wrong,
            message: message.into(),
            figures: None,
            untouched: false,
        }
    }
}

/// One output tensor after one or two launches on the same inputs, the first onto
/// [`Poison::First`] and the second onto [`Poison::Second`].
pub(crate) struct Output<'a> {
    pub(crate) tensor: &'a TensorSpec,
    pub(crate) gate: f64,
    pub(crate) first: &'a [u8],
    pub(crate) second: Option<&'a [u8]>,
    /// The reference; only `rows` of it are filled where that is given.
    pub(crate) expected: &'a [f64],
    pub(crate) rows: Option<&'a [u64]>,
}

/// Figures before any check.
pub(crate) fn no_figures() -> ErrorFigures {
    ErrorFigures {
        cosine: 1.0,
        ..ErrorFigures::default()
    }
}

/// Adds the figures of one output to the greatest seen so far.
pub(crate) fn merge(total: &mut ErrorFigures, new: &ErrorFigures) {
    // The gate shown belongs to the output that came nearest to its gate.
    let share = |figures: &ErrorFigures| {
        if figures.relative == 0.0 {
            0.0
        } else {
            figures.relative / figures.gate
        }
    };
    if total.gate == 0.0 || share(new) > share(total) {
        total.gate = new.gate;
    }
    total.relative = total.relative.max(new.relative);
    total.worst_row = total.worst_row.max(new.worst_row);
    total.max_abs = total.max_abs.max(new.max_abs);
    total.cosine = total.cosine.min(new.cosine);
    if new.bias.abs() > total.bias.abs() {
        total.bias = new.bias;
    }
    total.checks += new.checks;
}

/// Judges all outputs of a check.
pub(crate) fn judge(outputs: &[Output<'_>], deterministic: bool) -> Result<ErrorFigures, Finding> {
    let untouched = |output: &Output<'_>| {
        let dtype = output.tensor.dtype;
        let second = output.second.unwrap_or_default();
        is_untouched(second, dtype, Poison::Second)
            && !is_untouched(output.first, dtype, Poison::First)
    };
    if !outputs.is_empty() && outputs.iter().all(untouched) {
        return Err(Finding::new(
            WrongKind::Cached,
            "a second launch on the same buffers wrote nothing: the kernel counts on the result \
             of the first",
        ));
    }
    for output in outputs {
        check_written(output)?;
    }
    let mut figures = no_figures();
    for output in outputs {
        check_zeros(output)?;
        merge(&mut figures, &compare(output, deterministic)?);
    }
    figures.checks = 1;
    Ok(figures)
}

fn is_untouched(bytes: &[u8], dtype: Dtype, poison: Poison) -> bool {
    !bytes.is_empty()
        && bytes
            .chunks_exact(dtype.size())
            .all(|element| element::is_poison(element, dtype, poison))
}

fn is_float(dtype: Dtype) -> bool {
    match dtype {
        Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::F8E4m3 => true,
        Dtype::I64 | Dtype::I32 | Dtype::I8 | Dtype::U8 => false,
    }
}

/// Whether every element is a finite number; integers always are.
fn all_finite(bytes: &[u8], dtype: Dtype) -> bool {
    bulk::all(bytes, |piece| element::all_finite(piece, dtype))
}

/// Whether the first launch has written every element, as far as one launch can tell.
pub(crate) fn is_complete(bytes: &[u8], dtype: Dtype) -> bool {
    all_finite(bytes, dtype)
        && (is_float(dtype)
            || bytes
                .chunks_exact(dtype.size())
                .all(|element| !element::is_poison(element, dtype, Poison::First)))
}

/// Every element must be written and finite, by each launch.
fn check_written(output: &Output<'_>) -> Result<(), Finding> {
    let dtype = output.tensor.dtype;
    let finite = |bytes| all_finite(bytes, dtype);
    // One launch cannot tell an integer that was left out from one that happens to be the poison;
    // the reference will.
    let decided = is_float(dtype) || output.second.is_none();
    if decided && finite(output.first) && output.second.is_none_or(finite) {
        return Ok(());
    }
    // After a single launch, the poison alone decides.
    let mut substitute = Vec::new();
    let second = output.second.unwrap_or_else(|| {
        substitute = as_if_repeated(output.first, dtype);
        &substitute
    });
    let size = dtype.size();
    let total = output.first.len() / size;
    let (mut unwritten, mut wavering, mut not_finite) =
        (Places::new(), Places::new(), Places::new());
    let pairs = output
        .first
        .chunks_exact(size)
        .zip(second.chunks_exact(size));
    for (index, (first, second)) in pairs.enumerate() {
        let poisoned = (
            element::is_poison(first, dtype, Poison::First),
            element::is_poison(second, dtype, Poison::Second),
        );
        match poisoned {
            (true, true) => unwritten.add(index),
            // An integer may well be the poison's value; a NaN of just these bits is no chance.
            (true, false) | (false, true) if is_float(dtype) => wavering.add(index),
            _ if !all_finite(first, dtype) || !all_finite(second, dtype) => not_finite.add(index),
            _ => {}
        }
    }
    let name = &output.tensor.name;
    if unwritten.count > 0 {
        let places = unwritten.describe(name, total);
        return Err(Finding {
            untouched: unwritten.count == total,
            ..Finding::new(WrongKind::Unwritten, format!("{places} never written"))
        });
    }
    if wavering.count > 0 {
        let places = wavering.describe(name, total);
        return Err(Finding::new(
            WrongKind::Race,
            format!("{places} written by one launch and left out by the other"),
        ));
    }
    if not_finite.count > 0 {
        let places = not_finite.describe(name, total);
        return Err(Finding::new(
            WrongKind::Unwritten,
            format!("{places} NaN or infinite"),
        ));
    }
    Ok(())
}

/// What a second launch that does the same as the first would have left.
fn as_if_repeated(first: &[u8], dtype: Dtype) -> Vec<u8> {
    let mut second = first.to_vec();
    for element in second.chunks_exact_mut(dtype.size()) {
        if element::is_poison(element, dtype, Poison::First) {
            element::fill(element, dtype, Poison::Second);
        }
    }
    second
}

/// Elements counted, with the first and the last.
struct Places {
    count: usize,
    first: usize,
    last: usize,
}

impl Places {
    fn new() -> Self {
        Self {
            count: 0,
            first: 0,
            last: 0,
        }
    }

    fn add(&mut self, index: usize) {
        if self.count == 0 {
            self.first = index;
        }
        self.count += 1;
        self.last = index;
    }

    fn describe(&self, name: &str, total: usize) -> String {
        let Self { count, first, last } = self;
        if *count == total {
            format!("all {total} elements of `{name}` are")
        } else if *count == 1 {
            format!("element {first} of `{name}` ({total} elements) is")
        } else {
            format!("{count} of the {total} elements of `{name}` (from {first} to {last}) are")
        }
    }
}

fn check_zeros(output: &Output<'_>) -> Result<(), Finding> {
    let mut values = Vec::with_capacity(CHUNK);
    let dtype = output.tensor.dtype;
    let all_zero = !output.first.is_empty()
        && output.first.chunks(CHUNK * dtype.size()).all(|chunk| {
            values.clear();
            element::decode(chunk, dtype, &mut values);
            values.iter().all(|value| *value == 0.0)
        });
    let expected_zero = rows_of(output).all(|row| row.expected.iter().all(|value| *value == 0.0));
    if all_zero && !expected_zero {
        return Err(Finding::new(
            WrongKind::Zeros,
            format!(
                "`{}` is all zeros, the reference is not",
                output.tensor.name
            ),
        ));
    }
    Ok(())
}

/// Compares the launches with each other and with the reference.
fn compare(output: &Output<'_>, deterministic: bool) -> Result<ErrorFigures, Finding> {
    let first = accuracy(output, output.first);
    let differs = |second: &&[u8]| !bulk::equal(second, output.first);
    let Some(other) = output.second.filter(differs) else {
        return if first.passes() {
            Ok(first.figures)
        } else {
            Err(inaccurate(output, &first))
        };
    };
    let second = accuracy(output, other);
    let moved = difference(output, other);
    let name = &output.tensor.name;
    let differing = format!(
        "two launches on the same inputs differ in {} elements of `{name}`, by {:.3e} at most",
        moved.count, moved.max_abs
    );
    if deterministic {
        return Err(Finding {
            wrong: WrongKind::Race,
            message: format!("{differing}, although the kernel says that it is deterministic"),
            figures: Some(worse(first, second)),
            untouched: false,
        });
    }
    match (first.passes(), second.passes()) {
        (true, true) => Ok(worse(first, second)),
        (false, false) if moved.relative <= output.gate => Err(inaccurate(output, &first)),
        _ => Err(Finding {
            wrong: WrongKind::Race,
            message: format!(
                "{differing}, which the gate of {:e} does not allow",
                output.gate
            ),
            figures: Some(worse(first, second)),
            untouched: false,
        }),
    }
}

fn worse(first: Accuracy, second: Accuracy) -> ErrorFigures {
    let mut figures = first.figures;
    merge(&mut figures, &second.figures);
    figures.checks = 1;
    figures
}

fn inaccurate(output: &Output<'_>, accuracy: &Accuracy) -> Finding {
    let figures = &accuracy.figures;
    let message = if figures.relative > output.gate {
        format!(
            "the relative error of `{}` is {:.3e}, the gate is {:e} (worst row: {} with {:.3e})",
            output.tensor.name, figures.relative, output.gate, accuracy.row, figures.worst_row
        )
    } else {
        format!(
            "the relative error of row {} of `{}` is {:.3e}, a row may have {:e} (whole tensor: \
             {:.3e})",
            accuracy.row,
            output.tensor.name,
            figures.worst_row,
            output.gate * ROW_FACTOR,
            figures.relative
        )
    };
    Finding {
        wrong: WrongKind::Inaccurate,
        message,
        figures: Some(figures.clone()),
        untouched: false,
    }
}
