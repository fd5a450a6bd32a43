//! Inputs from a seed.
//!
//! Every run of [`CHUNK`] elements has its own stream of the generator, so that threads can fill
//! them side by side and the values depend on nothing but the seed.

use evo_plugin::{Dtype, Error};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::Real;

const CHUNK: usize = 1 << 14;
/// Tensors of one problem that can be told apart.
const TENSORS: u64 = 16;

/// Checks the name of a distribution.
///
/// # Errors
/// `Failed`, naming those that there are.
pub(crate) fn known(distribution: &str, all: &[&str]) -> Result<(), Error> {
    if all.contains(&distribution) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "no input distribution is called `{distribution}`; there are {}",
        all.join(", ")
    )))
}

/// The generator of one chunk of the tensor with this number.
pub(crate) fn chunk_generator(seed: u64, chunk: u64, tensor: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(TENSORS * chunk + tensor);
    generator
}

/// Fills a tensor, the one with this number, with values drawn one by one.
pub(crate) fn draw<T: Real>(
    to: &mut [T],
    seed: u64,
    tensor: u64,
    value: impl Fn(&mut ChaCha8Rng) -> f64 + Sync,
) {
    to.par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(chunk, to)| {
            let mut generator = chunk_generator(seed, chunk as u64, tensor);
            for element in to {
                *element = T::from_f64(value(&mut generator));
            }
        });
}

/// A draw from the normal distribution of mean 0 and variance 1.
pub(crate) fn normal(generator: &mut ChaCha8Rng) -> f64 {
    generator.sample(StandardNormal)
}

/// A draw from the uniform distribution over `from..to`.
pub(crate) fn uniform(generator: &mut ChaCha8Rng, from: f64, to: f64) -> f64 {
    from + (to - from) * generator.random::<f64>()
}

/// True once in a hundred draws.
pub(crate) fn rare(generator: &mut ChaCha8Rng) -> bool {
    generator.next_u32().is_multiple_of(100)
}

/// How many times as large outliers are: as much as sums of products of them bear.
pub(crate) fn outlier(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => 8.0,
        _ => 100.0,
    }
}

/// The distributions of a problem whose inputs are dense arrays: `normal` has mean 0 and variance
/// 1, under `outliers` one element in a hundred is [`outlier`] times as large, and under
/// `equal_rows` every row is the first.
pub(crate) const DENSE: [&str; 3] = ["normal", "outliers", "equal_rows"];

/// Fills a tensor with rows of `columns` elements under one of the distributions in [`DENSE`].
pub(crate) fn dense<T: Real>(
    to: &mut [T],
    columns: usize,
    seed: u64,
    tensor: u64,
    distribution: &str,
) {
    let scale = outlier(T::DTYPE);
    match distribution {
        "outliers" => draw(to, seed, tensor, |generator| {
            let value = normal(generator);
            if rare(generator) {
                value * scale
            } else {
                value
            }
        }),
        _ => draw(to, seed, tensor, normal),
    }
    if distribution == "equal_rows" {
        equal_rows(to, columns);
    }
}

/// Makes every row the first one.
pub(crate) fn equal_rows<T: Real>(to: &mut [T], columns: usize) {
    let (first, rest) = to.split_at_mut(columns.min(to.len()));
    if !first.is_empty() {
        rest.par_chunks_exact_mut(first.len())
            .for_each(|row| row.copy_from_slice(first));
    }
}

/// Makes every element the first one.
pub(crate) fn equal_elements<T: Real>(row: &mut [T]) {
    if let Some(first) = row.first().copied() {
        row.fill(first);
    }
}
