//! Inputs from a seed.
//!
//! Every run of [`CHUNK`] elements has its own stream of the generator, so that threads can fill
//! them side by side and the values depend on nothing but the seed.

use evo_plugin::{Error, TensorMut};
use half::{bf16, f16};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::shape::{Shape, Storage};

const CHUNK: usize = 1 << 14;

/// The ways in which inputs are drawn, the ordinary one first.
pub(crate) const DISTRIBUTIONS: [&str; 3] = ["normal", "outliers", "equal_rows"];

/// Every hundredth element of Q, K and V is this much larger under `outliers`.
const OUTLIER: f32 = 6.0;
/// Q is larger by this under `outliers`: most probability goes to one key.
const SHARPEN: f32 = 3.0;

/// Which tensor an input is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Q,
    K,
    V,
}

/// An element type that can be rounded to.
trait Round: evo_plugin::Element {
    fn round(value: f32) -> Self;
}

impl Round for f32 {
    fn round(value: f32) -> Self {
        value
    }
}

impl Round for f16 {
    fn round(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl Round for bf16 {
    fn round(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// Fills Q, K and V, rounded to their storage type.
///
/// # Errors
/// `Failed` for an unknown distribution or tensors of another type.
pub(crate) fn fill(
    shape: &Shape,
    seed: u64,
    distribution: &str,
    inputs: &mut [TensorMut<'_>],
) -> Result<(), Error> {
    if !DISTRIBUTIONS.contains(&distribution) {
        return Err(Error::Failed(format!(
            "no input distribution is called `{distribution}`; there are {}",
            DISTRIBUTIONS.join(", ")
        )));
    }
    let [q, k, v] = inputs else {
        return Err(Error::Failed(format!("{} inputs instead of 3", inputs.len())));
    };
    for (input, tensor) in [(Input::Q, q), (Input::K, k), (Input::V, v)] {
        match shape.storage {
            Storage::F32 => fill_one(shape, seed, distribution, input, tensor.as_mut_slice::<f32>()?),
            Storage::F16 => fill_one(shape, seed, distribution, input, tensor.as_mut_slice::<f16>()?),
            Storage::Bf16 => fill_one(shape, seed, distribution, input, tensor.as_mut_slice::<bf16>()?),
        }
    }
    Ok(())
}

fn fill_one<T: Round>(shape: &Shape, seed: u64, distribution: &str, input: Input, to: &mut [T]) {
    let outliers = distribution == "outliers";
    to.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, to)| {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        // Three streams to a chunk, one for each tensor.
        generator.set_stream(3 * chunk as u64 + input as u64);
        for element in to {
            let mut value: f32 = generator.sample(StandardNormal);
            if outliers {
                let scale = if input == Input::Q { SHARPEN } else { 1.0 };
                let rare = generator.next_u32() % 100 == 0;
                value *= if rare { OUTLIER * scale } else { scale };
            }
            *element = T::round(value);
        }
    });
    if distribution == "equal_rows" && input != Input::Q {
        // Equal keys, equal values: the output is the value, whatever the weights.
        to.par_chunks_mut(shape.head_elements()).for_each(|head| {
            let (first, rest) = head.split_at_mut(shape.d);
            rest.chunks_exact_mut(shape.d).for_each(|row| row.copy_from_slice(first));
        });
    }
}
