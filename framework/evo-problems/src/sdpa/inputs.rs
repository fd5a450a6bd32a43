//! Queries, keys and values from a seed.

use evo_plugin::{Dtype, E4m3, Error, TensorMut};
use half::{bf16, f16};
use rand::RngExt;
use rayon::prelude::*;

use super::{Attention, Shape};
use crate::Real;
use crate::inputs::{chunk_generator, draw, equal_rows, known, normal, rare};

/// The ways in which inputs are drawn, the ordinary one first.
pub const DISTRIBUTIONS: [&str; 4] = ["normal", "outliers", "equal_rows", "one_hot"];

/// Every hundredth element of Q, K and V is this much larger under `outliers`.
const OUTLIER: f64 = 6.0;
/// Q is larger by this under `outliers`, which sharpens the softmax; in single precision it is as usual: the
/// rounding of a score, which the exponential makes an error of the weight, grows with the score, and with
/// such ones the worst of many rows exceeds that type's gate in any kernel now and then.
const SHARPEN: f64 = 3.0;

/// Every query is its key times this under `one_hot`: the key's score is then about this times
/// `sqrt(D)`, and those of the others about this times a normal number. A power of two, so that the
/// product is a number of the type.
const POINTED: f64 = 8.0;

/// The numbers of the streams that the bias and the keys of `one_hot` are drawn from; those before are
/// of Q, K and V.
const BIAS: u64 = 3;
const KEYS: u64 = 4;

/// Fills Q, K and V, rounded to their storage type; their scales, where they are quantised; and
/// the bias of an epilogue.
///
/// # Errors
/// `Failed` for an unknown distribution or tensors of another type.
pub(crate) fn fill(
    attention: &Attention,
    seed: u64,
    distribution: &str,
    inputs: &mut [TensorMut<'_>],
) -> Result<(), Error> {
    known(distribution, &DISTRIBUTIONS)?;
    let shape = &attention.shape;
    let count = inputs.len();
    let wrong = || Error::Failed(format!("{count} inputs are not those of this problem"));
    let (qkv, rest) = inputs.split_first_chunk_mut::<3>().ok_or_else(wrong)?;
    let rest = match attention.input_dtype() {
        Dtype::F8E4m3 => {
            let (scales, rest) = rest.split_first_chunk_mut::<3>().ok_or_else(wrong)?;
            fill_quantised(attention, seed, distribution, qkv, scales)?;
            rest
        }
        Dtype::F16 => {
            fill_as::<f16>(shape, seed, distribution, qkv)?;
            rest
        }
        Dtype::Bf16 => {
            fill_as::<bf16>(shape, seed, distribution, qkv)?;
            rest
        }
        _ => {
            fill_as::<f32>(shape, seed, distribution, qkv)?;
            rest
        }
    };
    match (rest, attention.bias_elements()) {
        ([], 0) => Ok(()),
        ([bias], 1..) => {
            // About as large as the attention's own result, so that neither hides the other.
            let size = (shape.s as f64).sqrt().recip();
            draw(bias.as_mut_slice::<f32>()?, seed, BIAS, |generator| {
                size * normal(generator)
            });
            Ok(())
        }
        _ => Err(wrong()),
    }
}

fn fill_as<T: Real>(
    shape: &Shape,
    seed: u64,
    distribution: &str,
    [q, k, v]: &mut [TensorMut<'_>; 3],
) -> Result<(), Error> {
    let slices = [q.as_mut_slice::<T>()?, k.as_mut_slice()?, v.as_mut_slice()?];
    fill_slices(shape, seed, distribution, slices);
    Ok(())
}

/// Fills as single precision, and quantises that.
fn fill_quantised(
    attention: &Attention,
    seed: u64,
    distribution: &str,
    qkv: &mut [TensorMut<'_>; 3],
    scales: &mut [TensorMut<'_>; 3],
) -> Result<(), Error> {
    let shape = &attention.shape;
    let mut values = [(); 3].map(|()| vec![0f32; shape.elements()]);
    let slices = values.each_mut().map(Vec::as_mut_slice);
    fill_sharpened(shape, seed, distribution, SHARPEN, slices);
    for ((codes, scales), values) in qkv.iter_mut().zip(scales).zip(values) {
        let scales = scales.as_mut_slice::<f32>()?;
        // Values that share a scale.
        let group = values.len().checked_div(scales.len()).unwrap_or(0).max(1);
        quantise(&values, group, codes.as_mut_slice()?, scales);
    }
    Ok(())
}

/// Values that one task quantises, at least.
const SHARE: usize = 1 << 14;

/// Quantises groups of values, each by the scale that maps its greatest magnitude to the greatest
/// number of E4M3.
fn quantise(values: &[f32], group: usize, codes: &mut [E4m3], scales: &mut [f32]) {
    values
        .par_chunks(group)
        .zip(codes.par_chunks_mut(group))
        .zip(scales)
        .for_each(|((values, codes), scale)| {
            // One scale may reach over a whole tensor: its values are shared out as well.
            let sizes = values
                .par_iter()
                .with_min_len(SHARE)
                .map(|value| value.abs());
            let most = sizes.reduce(|| 0.0, f32::max);
            *scale = if most > 0.0 { most / E4m3::MAX } else { 1.0 };
            let pairs = codes.par_iter_mut().with_min_len(SHARE).zip(values);
            pairs.for_each(|(code, value)| *code = E4m3::from_f32(value / *scale));
        });
}

/// Fills slices of a shape's tensors under a distribution that exists.
pub fn fill_slices<T: Real>(shape: &Shape, seed: u64, distribution: &str, inputs: [&mut [T]; 3]) {
    let sharpen = match T::DTYPE {
        Dtype::F32 | Dtype::F64 => 1.0,
        _ => SHARPEN,
    };
    fill_sharpened(shape, seed, distribution, sharpen, inputs);
}

/// As [`fill_slices`]; `sharpen` is how many times as large Q is under `outliers`.
fn fill_sharpened<T: Real>(
    shape: &Shape,
    seed: u64,
    distribution: &str,
    sharpen: f64,
    mut inputs: [&mut [T]; 3],
) {
    let outliers = distribution == "outliers";
    for (number, to) in inputs.iter_mut().enumerate() {
        let is_query = number == 0;
        let scale = if outliers && is_query { sharpen } else { 1.0 };
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
    if distribution == "one_hot" {
        let [q, k, _] = inputs;
        point(shape, seed, q, k);
    }
}

/// Has every query point at a key that it sees, drawn anew for each: nearly all of its weight is on
/// that one, wherever the greatest score was so far.
fn point<T: Real>(shape: &Shape, seed: u64, q: &mut [T], k: &[T]) {
    let heads = q
        .par_chunks_mut(shape.head_elements())
        .zip(k.par_chunks(shape.head_elements()));
    heads.enumerate().for_each(|(head, (q, k))| {
        let mut generator = chunk_generator(seed, head as u64, KEYS);
        for (row, query) in q.chunks_mut(shape.d).enumerate() {
            let seen = if shape.causal { row + 1 } else { shape.s };
            let key = generator.random_range(0..seen) * shape.d;
            for (to, from) in query.iter_mut().zip(&k[key..]) {
                *to = T::from_f64(POINTED * from.to_f64());
            }
        }
    });
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
        // Q is sharpened, but not in single precision.
        let larger = |q: &[f32], k: &[f32]| (moments(q).1 / moments(k).1).sqrt();
        let [q, k, _] = outliers.slices();
        assert!((larger(q, k) - 1.0).abs() < 0.1);
        let halves = Inputs::<f16>::new(shape, 4, "outliers");
        let [q, k, _] = halves
            .slices()
            .map(|half| half.iter().map(|x| x.to_f32()).collect::<Vec<f32>>());
        assert!((larger(&q, &k) - 3.0).abs() < 0.3);
    }

    #[test]
    fn quantised_values_are_near_and_the_greatest_is_kept() {
        let shape = shape::<f32>([1, 3, 50, 8], false);
        for distribution in DISTRIBUTIONS {
            let inputs = Inputs::<f32>::new(shape, 4, distribution);
            for (values, group) in inputs.slices().into_iter().zip([1200, 400, 400]) {
                let mut codes = vec![E4m3::from_bits(0x7f); 1200];
                let mut scales = vec![f32::NAN; 1200 / group];
                quantise(values, group, &mut codes, &mut scales);
                for (index, (value, code)) in values.iter().zip(&codes).enumerate() {
                    let scale = scales[index / group];
                    let error = (code.to_f32() * scale - value).abs();
                    // Half a unit in the last of 4 places, or of the least number.
                    assert!(error <= (value.abs() / 16.0).max(scale / 1000.0), "{value}");
                }
                for codes in codes.chunks(group) {
                    assert!(codes.iter().any(|code| code.to_f32().abs() == E4m3::MAX));
                }
            }
        }
    }

    #[test]
    fn zeros_have_a_scale() {
        let (mut codes, mut scales) = ([E4m3::from_bits(0x7f); 4], [f32::NAN]);
        quantise(&[0.0; 4], 4, &mut codes, &mut scales);
        assert_eq!((codes, scales), ([E4m3::from_bits(0); 4], [1.0]));
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

    #[test]
    fn one_hot_queries_put_their_weight_on_a_key_that_they_see() {
        for causal in [false, true] {
            let shape = shape::<f16>([1, 2, 90, 64], causal);
            let inputs = Inputs::<f16>::new(shape, 4, "one_hot");
            let [q, k, v] = inputs.slices();
            let o = inputs.reference();
            let mut pointed = std::collections::BTreeSet::new();
            for (row, query) in q.chunks(64).enumerate() {
                let (head, place) = (row / 90, row % 90);
                let times = |key: &[f16]| key.iter().map(|x| x * f16::from_f32(8.0)).collect();
                let is_it = |key: &&[f16]| query == Vec::<f16>::as_slice(&times(key));
                let seen = k[head * 90 * 64..].chunks(64).take(90);
                let key = seen.clone().position(|key| is_it(&key)).unwrap();
                assert!(!causal || key <= place);
                pointed.insert((head, key));
                let value = &v[(head * 90 + key) * 64..][..64];
                for (o, value) in o[row * 64..].iter().zip(value) {
                    assert!((o - f64::from(value.to_f32())).abs() < 1e-3);
                }
            }
            assert!(pointed.len() > 60, "{}", pointed.len());
        }
    }
}
