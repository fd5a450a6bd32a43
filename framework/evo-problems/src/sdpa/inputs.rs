//! Queries, keys and values from a seed.

use evo_plugin::{Error, TensorMut};
use half::{bf16, f16};
use rayon::prelude::*;

use super::{Shape, Storage};
use crate::Real;
use crate::inputs::{draw, equal_rows, known, normal, rare};

/// The ways in which inputs are drawn, the ordinary one first.
pub const DISTRIBUTIONS: [&str; 3] = ["normal", "outliers", "equal_rows"];

/// Every hundredth element of Q, K and V is this much larger under `outliers`.
const OUTLIER: f64 = 6.0;
/// Q is larger by this under `outliers`, which sharpens the softmax.
const SHARPEN: f64 = 3.0;

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
    known(distribution, &DISTRIBUTIONS)?;
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

/// Fills slices of a shape's tensors under a distribution that exists.
pub fn fill_slices<T: Real>(shape: &Shape, seed: u64, distribution: &str, inputs: [&mut [T]; 3]) {
    let outliers = distribution == "outliers";
    for (number, to) in inputs.into_iter().enumerate() {
        let is_query = number == 0;
        let scale = if outliers && is_query { SHARPEN } else { 1.0 };
        draw(to, seed, number as u64, |generator| {
            let value = scale * normal(generator);
            if outliers && rare(generator) {
                OUTLIER * value
            } else {
                value
            }
        });
        if distribution == "equal_rows" && !is_query {
            // Equal keys, equal values: the output is the value, whatever the weights.
            to.par_chunks_mut(shape.head_elements())
                .for_each(|head| equal_rows(head, shape.d));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdpa::testing::{Inputs, shape};

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
        assert_ne!(q[..100], q[1 << 14..(1 << 14) + 100]);
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
