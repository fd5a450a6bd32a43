//! How far an output is from its reference, and two launches from each other.

use evo_types::{Dtype, ErrorFigures, TensorSpec};
use rayon::prelude::*;

use super::{CHUNK, Output, ROW_FACTOR};
use crate::element;

/// One row of an output: where it is in the buffers, and its reference.
pub(super) struct Row<'a> {
    index: u64,
    bytes: std::ops::Range<usize>,
    pub(super) expected: &'a [f64],
}

/// The rows that are compared. A row is the last dimension; a scalar is one row.
pub(super) fn rows_of<'a>(output: &Output<'a>) -> impl Iterator<Item = Row<'a>> {
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

pub(super) struct Accuracy {
    pub(super) figures: ErrorFigures,
    pub(super) row: u64,
}

impl Accuracy {
    pub(super) fn passes(&self) -> bool {
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

/// Rows that one task compares. The sums of tasks are added in their order, so that figures do not
/// depend on how many cores there are.
const TASK_ROWS: usize = 512;

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

impl Sums {
    fn add(&mut self, other: &Self) {
        self.elements += other.elements;
        self.error += other.error;
        self.expected += other.expected;
        self.actual += other.actual;
        self.product += other.product;
        self.bias += other.bias;
        self.max_abs = self.max_abs.max(other.max_abs);
    }
}

pub(super) fn accuracy(output: &Output<'_>, bytes: &[u8]) -> Accuracy {
    let rows: Vec<Row<'_>> = rows_of(output).collect();
    let largest_of = |row: &Row<'_>| {
        row.expected
            .iter()
            .fold(0.0, |most: f64, v| most.max(v.abs()))
    };
    let largest = rows.par_iter().map(largest_of).reduce(|| 0.0, f64::max);
    let unit = if largest > 0.0 { largest } else { 1.0 };
    let tasks = rows.par_chunks(TASK_ROWS);
    let parts: Vec<_> = tasks
        .map(|rows| sums_of(rows, bytes, output.tensor.dtype, unit))
        .collect();
    let mut sums = Sums::default();
    let mut row_errors = Vec::with_capacity(rows.len());
    for (part, errors) in parts {
        sums.add(&part);
        row_errors.extend(errors);
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
            quantisation: None,
        },
        row,
    }
}

/// The sums over some rows; and for each of them its number, error and norm.
fn sums_of(
    rows: &[Row<'_>],
    bytes: &[u8],
    dtype: Dtype,
    unit: f64,
) -> (Sums, Vec<(u64, f64, f64)>) {
    let mut sums = Sums::default();
    let mut row_errors = Vec::with_capacity(rows.len());
    let mut values = Vec::new();
    for row in rows {
        values.clear();
        let bytes = bytes.get(row.bytes.clone()).unwrap_or_default();
        element::decode(bytes, dtype, &mut values);
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
    (sums, row_errors)
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
pub(super) struct Difference {
    pub(super) count: usize,
    pub(super) max_abs: f64,
    pub(super) relative: f64,
}

pub(super) fn difference(output: &Output<'_>, second: &[u8]) -> Difference {
    let dtype = output.tensor.dtype;
    let (mut count, mut max_abs, mut squares, mut norm) = (0, 0.0f64, 0.0, 0.0);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let size = CHUNK * dtype.size();
    for (first, second) in output.first.chunks(size).zip(second.chunks(size)) {
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
