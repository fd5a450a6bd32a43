//! Holds the outputs of two launches against the reference and against each other.

use evo_types::{Dtype, ErrorFigures, TensorSpec, WrongKind};

use crate::element::{self, Poison};

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

/// One output tensor after two launches on the same inputs, the first onto
/// [`Poison::First`] and the second onto [`Poison::Second`].
pub(crate) struct Output<'a> {
    pub(crate) tensor: &'a TensorSpec,
    pub(crate) gate: f64,
    pub(crate) first: &'a [u8],
    pub(crate) second: &'a [u8],
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
        is_untouched(output.second, output.tensor.dtype, Poison::Second)
            && !is_untouched(output.first, output.tensor.dtype, Poison::First)
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
    if !is_float(dtype) {
        return true;
    }
    let mut values = Vec::with_capacity(CHUNK);
    bytes.chunks(CHUNK * dtype.size()).all(|chunk| {
        values.clear();
        element::decode(chunk, dtype, &mut values);
        values.iter().all(|value| value.is_finite())
    })
}

/// Whether the first launch has written every element, as far as one launch can tell.
pub(crate) fn is_complete(bytes: &[u8], dtype: Dtype) -> bool {
    all_finite(bytes, dtype)
        && (is_float(dtype)
            || bytes
                .chunks_exact(dtype.size())
                .all(|element| !element::is_poison(element, dtype, Poison::First)))
}

/// Every element must be written and finite, by both launches.
fn check_written(output: &Output<'_>) -> Result<(), Finding> {
    let dtype = output.tensor.dtype;
    if is_float(dtype) && all_finite(output.first, dtype) && all_finite(output.second, dtype) {
        return Ok(());
    }
    let size = dtype.size();
    let total = output.first.len() / size;
    let (mut unwritten, mut wavering, mut not_finite) =
        (Places::new(), Places::new(), Places::new());
    let pairs = output
        .first
        .chunks_exact(size)
        .zip(output.second.chunks_exact(size));
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
    if output.first == output.second {
        return if first.passes() {
            Ok(first.figures)
        } else {
            Err(inaccurate(output, &first))
        };
    }
    let second = accuracy(output, output.second);
    let moved = difference(output);
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

/// One row of an output: where it is in the buffers, and its reference.
struct Row<'a> {
    index: u64,
    bytes: std::ops::Range<usize>,
    expected: &'a [f64],
}

/// The rows that are compared. A row is the last dimension; a scalar is one row.
fn rows_of<'a>(output: &Output<'a>) -> impl Iterator<Item = Row<'a>> {
    let columns = columns(output.tensor);
    let size = output.tensor.dtype.size();
    let expected = output.expected;
    let count = expected.len().checked_div(columns).unwrap_or(0) as u64;
    let all = output.rows.is_none().then_some(0..count);
    let some = output.rows.unwrap_or_default().iter().copied();
    all.into_iter()
        .flatten()
        .chain(some)
        .filter_map(move |index| {
            let start = usize::try_from(index).ok()?.checked_mul(columns)?;
            let end = start.checked_add(columns)?;
            Some(Row {
                index,
                bytes: start * size..end * size,
                expected: expected.get(start..end)?,
            })
        })
}

fn columns(tensor: &TensorSpec) -> usize {
    tensor.shape.last().copied().unwrap_or(1)
}

struct Accuracy {
    figures: ErrorFigures,
    row: u64,
}

impl Accuracy {
    fn passes(&self) -> bool {
        let ErrorFigures {
            relative,
            worst_row,
            gate,
            ..
        } = self.figures;
        // Written so that NaN fails.
        relative <= gate && worst_row <= gate * ROW_FACTOR
    }
}

/// Sums over the compared elements, in units of the largest reference value.
#[derive(Default)]
struct Sums {
    elements: f64,
    error: f64,
    expected: f64,
    actual: f64,
    product: f64,
    bias: f64,
    max_abs: f64,
}

fn accuracy(output: &Output<'_>, bytes: &[u8]) -> Accuracy {
    let rows = || rows_of(output);
    let largest = rows()
        .flat_map(|row| row.expected.iter())
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    let unit = if largest > 0.0 { largest } else { 1.0 };
    let mut sums = Sums::default();
    let mut row_errors = Vec::new();
    let mut values = Vec::new();
    for row in rows() {
        values.clear();
        let bytes = bytes.get(row.bytes.clone()).unwrap_or_default();
        element::decode(bytes, output.tensor.dtype, &mut values);
        let (mut error, mut norm) = (0.0, 0.0);
        for (actual, expected) in values.iter().zip(row.expected) {
            let (actual, expected) = (actual / unit, expected / unit);
            let difference = actual - expected;
            error += difference * difference;
            norm += expected * expected;
            sums.actual += actual * actual;
            sums.product += actual * expected;
            sums.bias += difference;
            sums.max_abs = sums.max_abs.max(difference.abs());
        }
        sums.error += error;
        sums.expected += norm;
        sums.elements += values.len() as f64;
        row_errors.push((row.index, error.sqrt(), norm.sqrt()));
    }
    let (row, worst_row) = worst_row(&row_errors, &sums, columns(output.tensor));
    Accuracy {
        figures: ErrorFigures {
            relative: ratio(sums.error.sqrt(), sums.expected.sqrt(), sums.elements),
            worst_row,
            max_abs: sums.max_abs * unit,
            cosine: cosine(&sums),
            bias: sums.bias / sums.elements.max(1.0) * unit,
            gate: output.gate,
            checks: 1,
        },
        row,
    }
}

/// An error over a norm; where the reference is all zeros, the root of the mean squared error.
fn ratio(error: f64, norm: f64, elements: f64) -> f64 {
    if error == 0.0 {
        0.0
    } else if norm > 0.0 {
        error / norm
    } else {
        error / elements.max(1.0).sqrt()
    }
}

/// The row with the largest relative error. A row whose reference is next to nothing, by
/// cancellation, cannot be held to its own norm: the norm counts as at least a share of that of a
/// typical row, a hundredth for long rows and all of it for a single element.
fn worst_row(rows: &[(u64, f64, f64)], sums: &Sums, columns: usize) -> (u64, f64) {
    let columns = columns.max(1) as f64;
    let typical = (sums.expected / sums.elements.max(1.0) * columns).sqrt();
    let floor = typical * (1.0 / columns).max(0.01);
    let mut worst = (0, 0.0);
    for (index, error, norm) in rows {
        let relative = ratio(*error, norm.max(floor), columns);
        if relative > worst.1 {
            worst = (*index, relative);
        }
    }
    worst
}

fn cosine(sums: &Sums) -> f64 {
    let norms = sums.expected.sqrt() * sums.actual.sqrt();
    if norms > 0.0 {
        (sums.product / norms).clamp(-1.0, 1.0)
    } else if sums.expected == sums.actual {
        1.0
    } else {
        0.0
    }
}

/// How far two launches are from each other.
struct Difference {
    count: usize,
    max_abs: f64,
    relative: f64,
}

fn difference(output: &Output<'_>) -> Difference {
    let dtype = output.tensor.dtype;
    let (mut count, mut max_abs, mut squares, mut norm) = (0, 0.0f64, 0.0, 0.0);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let size = CHUNK * dtype.size();
    for (first, second) in output.first.chunks(size).zip(output.second.chunks(size)) {
        left.clear();
        right.clear();
        element::decode(first, dtype, &mut left);
        element::decode(second, dtype, &mut right);
        let bits = first
            .chunks_exact(dtype.size())
            .zip(second.chunks_exact(dtype.size()));
        count += bits.filter(|(first, second)| first != second).count();
        for (left, right) in left.iter().zip(&right) {
            let difference = left - right;
            max_abs = max_abs.max(difference.abs());
            squares += difference * difference;
            norm += left * left;
        }
    }
    let elements = (output.first.len() / dtype.size()) as f64;
    Difference {
        count,
        max_abs,
        relative: ratio(squares.sqrt(), norm.sqrt(), elements),
    }
}

#[cfg(test)]
mod tests {
    use evo_types::Role;

    use super::*;

    fn tensor(shape: &[usize]) -> TensorSpec {
        TensorSpec {
            name: "y".into(),
            role: Role::Output,
            dtype: Dtype::F32,
            shape: shape.to_vec(),
        }
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect()
    }

    fn poisoned(count: usize, poison: Poison) -> Vec<u8> {
        let mut bytes = vec![0; count * 4];
        element::fill(&mut bytes, Dtype::F32, poison);
        bytes
    }

    fn judged(
        shape: &[usize],
        first: &[u8],
        second: &[u8],
        expected: &[f64],
        deterministic: bool,
    ) -> Result<ErrorFigures, Finding> {
        let tensor = tensor(shape);
        let output = Output {
            tensor: &tensor,
            gate: 1e-5,
            first,
            second,
            expected,
            rows: None,
        };
        judge(&[output], deterministic)
    }

    fn kind(result: Result<ErrorFigures, Finding>) -> WrongKind {
        result.unwrap_err().wrong
    }

    #[test]
    fn a_right_result_passes_with_figures() {
        let right = bytes(&[1.0, -2.0, 3.0, 0.0]);
        let figures = judged(&[2, 2], &right, &right, &[1.0, -2.0, 3.0, 0.0], true).unwrap();
        assert_eq!(
            (figures.relative, figures.cosine, figures.checks),
            (0.0, 1.0, 1)
        );
        assert_eq!(figures.gate, 1e-5);
    }

    #[test]
    fn each_kind_of_wrong_is_named() {
        let expected = [1.0, 2.0, 3.0, 4.0];
        let right = bytes(&[1.0, 2.0, 3.0, 4.0]);
        let shape = [2, 2];
        let (a, b) = (poisoned(4, Poison::First), poisoned(4, Poison::Second));

        let never = judged(&shape, &a, &b, &expected, true).unwrap_err();
        assert_eq!(never.wrong, WrongKind::Unwritten);
        assert_eq!(never.message, "all 4 elements of `y` are never written");

        let tail = |poison: &[u8]| [&right[..8], &poison[8..]].concat();
        let never = judged(&shape, &tail(&a), &tail(&b), &expected, true).unwrap_err();
        assert_eq!(never.wrong, WrongKind::Unwritten);
        assert_eq!(
            never.message,
            "2 of the 4 elements of `y` (from 2 to 3) are never written"
        );

        let nan = bytes(&[1.0, f32::NAN, 3.0, 4.0]);
        let nan = judged(&shape, &nan, &nan, &expected, true).unwrap_err();
        assert_eq!(nan.wrong, WrongKind::Unwritten);
        assert_eq!(
            nan.message,
            "element 1 of `y` (4 elements) is NaN or infinite"
        );

        let zeros = bytes(&[0.0; 4]);
        assert_eq!(
            kind(judged(&shape, &zeros, &zeros, &expected, true)),
            WrongKind::Zeros
        );
        assert!(judged(&shape, &zeros, &zeros, &[0.0; 4], true).is_ok());

        assert_eq!(
            kind(judged(&shape, &right, &b, &expected, true)),
            WrongKind::Cached
        );
        assert_eq!(
            kind(judged(&shape, &right, &tail(&b), &expected, true)),
            WrongKind::Race
        );
        assert_eq!(
            kind(judged(&shape, &tail(&a), &right, &expected, true)),
            WrongKind::Race
        );

        let near = bytes(&[1.0, 2.0, 3.0, 4.000_001]);
        assert_eq!(
            kind(judged(&shape, &right, &near, &expected, true)),
            WrongKind::Race
        );
        assert!(judged(&shape, &right, &near, &expected, false).is_ok());
        let far = bytes(&[1.0, 2.0, 3.0, 4.1]);
        assert_eq!(
            kind(judged(&shape, &right, &far, &expected, false)),
            WrongKind::Race
        );
        let farther = bytes(&[1.0, 2.0, 3.0, 4.2]);
        assert_eq!(
            kind(judged(&shape, &farther, &far, &expected, false)),
            WrongKind::Race
        );
        let far = judged(&shape, &far, &far, &expected, false).unwrap_err();
        assert_eq!(far.wrong, WrongKind::Inaccurate);
        let relative = far.figures.unwrap().relative;
        assert!((relative - 0.1 / 30f64.sqrt()).abs() < 1e-6, "{relative}");
    }

    #[test]
    fn one_wrong_row_cannot_hide_in_a_large_tensor() {
        let expected: Vec<f64> = vec![1.0; 10_000 * 4];
        let mut values = vec![1.0f32; 10_000 * 4];
        values[4 * 1234] = 1.0001;
        let first = bytes(&values);
        let wrong = judged(&[10_000, 4], &first, &first, &expected, true).unwrap_err();
        assert_eq!(wrong.wrong, WrongKind::Inaccurate);
        assert!(wrong.message.contains("row 1234"), "{}", wrong.message);
        assert!(wrong.figures.unwrap().relative < 1e-5);
    }

    #[test]
    fn a_row_of_nothing_is_held_to_the_scale_of_the_tensor() {
        let mut expected = vec![1.0; 200];
        expected[100..].fill(1e-12);
        let mut values: Vec<f32> = expected.iter().map(|value| *value as f32).collect();
        values[100..].fill(1e-9);
        let near = bytes(&values);
        assert!(judged(&[2, 100], &near, &near, &expected, true).is_ok());
        values[100..].fill(1e-4);
        let far = bytes(&values);
        assert_eq!(
            kind(judged(&[2, 100], &far, &far, &expected, true)),
            WrongKind::Inaccurate
        );
    }

    #[test]
    fn only_the_asked_rows_are_compared_but_all_must_be_finite() {
        let tensor = tensor(&[3, 2]);
        let expected = [f64::NAN, f64::NAN, 3.0, 4.0, f64::NAN, f64::NAN];
        let mut values = [9.0, 9.0, 3.0, 4.0, 9.0, 9.0];
        let rows = [1u64];
        let judged = |values: &[f32]| {
            let first = bytes(values);
            let output = Output {
                tensor: &tensor,
                gate: 1e-5,
                first: &first,
                second: &first,
                expected: &expected,
                rows: Some(&rows),
            };
            judge(&[output], true)
        };
        assert!(judged(&values).is_ok());
        values[5] = f32::INFINITY;
        assert_eq!(kind(judged(&values)), WrongKind::Unwritten);
        values[5] = 9.0;
        values[3] = 4.1;
        assert_eq!(kind(judged(&values)), WrongKind::Inaccurate);
    }

    #[test]
    fn huge_values_do_not_overflow() {
        let tensor = TensorSpec {
            dtype: Dtype::F64,
            ..tensor(&[2])
        };
        let first: Vec<u8> = [1e300f64, 2e300]
            .iter()
            .flat_map(|v| v.to_ne_bytes())
            .collect();
        let output = Output {
            tensor: &tensor,
            gate: 1e-12,
            first: &first,
            second: &first,
            expected: &[1e300, 2e300],
            rows: None,
        };
        assert_eq!(judge(&[output], true).unwrap().relative, 0.0);
    }
}
