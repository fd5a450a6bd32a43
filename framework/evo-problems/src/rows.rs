//! Rows of an output: which are wanted, and computing them side by side.

use evo_plugin::{Error, Rows};
use rayon::prelude::*;

/// The numbers of the wanted rows, of `count` in all.
///
/// # Errors
/// `Failed` for a row that does not exist.
pub(crate) fn wanted(rows: Rows<'_>, count: usize) -> Result<Vec<usize>, Error> {
    match rows {
        Rows::All => Ok((0..count).collect()),
        Rows::Some(rows) => rows
            .iter()
            .map(|row| {
                usize::try_from(*row)
                    .ok()
                    .filter(|row| *row < count)
                    .ok_or_else(|| {
                        Error::Failed(format!("row {row} was asked for, and there are {count}"))
                    })
            })
            .collect(),
    }
}

/// Computes groups of rows side by side and puts them in place. `compute` returns the rows of a
/// group one after the other, each `columns` long.
pub(crate) fn compute(
    groups: &[&[usize]],
    columns: usize,
    output: &mut [f64],
    compute: impl Fn(&[usize]) -> Vec<f64> + Sync,
) {
    // A batch at a time bounds the memory for what is not in place yet.
    for batch in groups.chunks(8 * rayon::current_num_threads().max(1)) {
        let results: Vec<Vec<f64>> = batch.par_iter().map(|rows| compute(rows)).collect();
        for (rows, result) in batch.iter().zip(&results) {
            for (row, values) in rows.iter().zip(result.chunks_exact(columns)) {
                output[row * columns..][..columns].copy_from_slice(values);
            }
        }
    }
}
