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
/// Q is larger by this under `outliers`, which sharpens the softmax.
const SHARPEN: f32 = 3.0;

/// Which tensor an input is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Q,
    K,
    V,
}

/// An element type that can be rounded to.
pub(crate) trait Round: evo_plugin::Element {
    /// Rounds to nearest even.
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
        return Err(Error::Failed(format!(
            "{} inputs instead of 3",
            inputs.len()
        )));
    };
    match shape.storage {
        Storage::F32 => {
            let slices = [
                q.as_mut_slice::<f32>()?,
                k.as_mut_slice()?,
                v.as_mut_slice()?,
            ];
            fill_slices(shape, seed, distribution, slices);
        }
        Storage::F16 => {
            let slices = [
                q.as_mut_slice::<f16>()?,
                k.as_mut_slice()?,
                v.as_mut_slice()?,
            ];
            fill_slices(shape, seed, distribution, slices);
        }
        Storage::Bf16 => {
            let slices = [
                q.as_mut_slice::<bf16>()?,
                k.as_mut_slice()?,
                v.as_mut_slice()?,
            ];
            fill_slices(shape, seed, distribution, slices);
        }
    }
    Ok(())
}

/// As [`fill`], on slices and for a distribution that exists.
pub(crate) fn fill_slices<T: Round>(
    shape: &Shape,
    seed: u64,
    distribution: &str,
    inputs: [&mut [T]; 3],
) {
    for (input, to) in [Input::Q, Input::K, Input::V].into_iter().zip(inputs) {
        fill_one(shape, seed, distribution, input, to);
    }
}

fn fill_one<T: Round>(shape: &Shape, seed: u64, distribution: &str, input: Input, to: &mut [T]) {
    let outliers = distribution == "outliers";
    to.par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(chunk, to)| {
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
            rest.chunks_exact_mut(shape.d)
                .for_each(|row| row.copy_from_slice(first));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Inputs, shape};

    #[test]
    fn the_seed_alone_decides() {
        let shape = shape::<f32>([1, 2, 300, 40], false);
        let one = Inputs::<f32>::new(shape, 1, "normal");
        assert_eq!(
            one.slices(),
            Inputs::<f32>::new(shape, 1, "normal").slices()
        );
        assert_ne!(
            one.slices(),
            Inputs::<f32>::new(shape, 2, "normal").slices()
        );
        let [q, k, v] = one.slices();
        assert!(q != k && k != v && q != v);
        // Chunks have streams of their own.
        assert_ne!(q[..100], q[CHUNK..CHUNK + 100]);
    }

    #[test]
    fn normal_is_normal_and_outliers_lie_out() {
        let shape = shape::<f32>([1, 1, 1000, 100], false);
        let moments = |values: &[f32]| {
            let power = |n: i32| values.iter().map(|x| f64::from(*x).powi(n)).sum::<f64>() / 1e5;
            (power(1), power(2), power(4))
        };
        let normal = Inputs::<f32>::new(shape, 4, "normal");
        for values in normal.slices() {
            let (mean, variance, fourth) = moments(values);
            assert!(
                mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03,
                "{mean} {variance}"
            );
            assert!((fourth - 3.0).abs() < 0.2, "{fourth}");
        }
        let outliers = Inputs::<f32>::new(shape, 4, "outliers");
        let (_, variance, fourth) = moments(outliers.slices()[1]);
        assert!(fourth / variance.powi(2) > 10.0);
    }

    #[test]
    fn equal_rows_are_equal() {
        let shape = shape::<bf16>([1, 2, 9, 5], false);
        let inputs = Inputs::<bf16>::new(shape, 4, "equal_rows");
        let [q, k, v] = inputs.slices();
        for tensor in [k, v] {
            for head in tensor.chunks(45) {
                assert!(head.chunks(5).all(|row| row == &head[..5]));
            }
            assert_ne!(tensor[..5], tensor[45..50]);
        }
        assert_ne!(q[..5], q[5..10]);
    }
}
