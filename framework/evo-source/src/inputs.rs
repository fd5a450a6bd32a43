//! Inputs from a seed, for any element type.

use evo_plugin::Dtype;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::element;

/// The distributions of every problem with a reference function.
pub(crate) const DISTRIBUTIONS: [&str; 2] = ["normal", "outliers"];

/// Elements that are drawn from one stream of the generator, so that threads can draw side by side
/// and the values depend on nothing but the seed.
const CHUNK: usize = 1 << 14;
/// Tensors of one problem that have streams of their own.
const TENSORS: u64 = 256;

/// Bounds that the description gives for the values of an input.
pub(crate) type Bounds = Option<(f64, f64)>;

/// Fills the input with this number.
///
/// Without bounds, floats have mean 0 and variance 1, and integers are small; under `outliers`
/// one in a hundred is far larger, and every eighth row equals the one before. With bounds the
/// values are uniform between them, and under `outliers` one in four is a bound itself.
pub(crate) fn fill(
    bytes: &mut [u8],
    dtype: Dtype,
    row: usize,
    (seed, number): (u64, u64),
    outliers: bool,
    bounds: Bounds,
) {
    let chunks = bytes.par_chunks_mut(CHUNK * dtype.size());
    chunks.enumerate().for_each(|(chunk, bytes)| {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(number.wrapping_add(TENSORS.wrapping_mul(chunk as u64)));
        for element in bytes.chunks_exact_mut(dtype.size()) {
            let value = match bounds {
                Some(bounds) => bounded(&mut generator, dtype, bounds, outliers),
                None => free(&mut generator, dtype, outliers),
            };
            element::put(element, dtype, value);
        }
    });
    if outliers && bounds.is_none() {
        equal_rows(bytes, row.max(1) * dtype.size());
    }
}

fn is_integer(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::I64 | Dtype::I32 | Dtype::I8 | Dtype::U8)
}

/// The usual size of values, and that of outliers.
fn free(generator: &mut ChaCha8Rng, dtype: Dtype, outliers: bool) -> f64 {
    let rare = outliers && generator.random_range(0..100u32) == 0;
    let (least, greatest) = match (dtype, rare) {
        (Dtype::U8, false) => (0, 15),
        (Dtype::U8, true) => (200, 255),
        (_, false) => (-8, 8),
        (_, true) => (-120, 120),
    };
    if is_integer(dtype) {
        return f64::from(generator.random_range(least..=greatest));
    }
    let value: f64 = generator.sample(StandardNormal);
    let scale = match dtype {
        Dtype::F16 | Dtype::F8E4m3 => 8.0,
        _ => 100.0,
    };
    if rare { value * scale } else { value }
}

/// Whether there are values between two bounds, all of which the type can hold.
pub(crate) fn possible(dtype: Dtype, (low, high): (f64, f64)) -> bool {
    let greatest = match dtype {
        Dtype::I8 => f64::from(i8::MAX),
        Dtype::U8 => f64::from(u8::MAX),
        Dtype::I32 => f64::from(i32::MAX),
        // Beyond this not every integer is a double.
        Dtype::I64 => (1u64 << 53) as f64,
        Dtype::F16 => 65504.0,
        Dtype::F8E4m3 => 448.0,
        Dtype::Bf16 | Dtype::F32 => f64::from(f32::MAX),
        Dtype::F64 => f64::MAX / 2.0,
    };
    let least = match dtype {
        Dtype::U8 => 0.0,
        Dtype::I8 | Dtype::I32 => -greatest - 1.0,
        _ => -greatest,
    };
    let filled = if is_integer(dtype) {
        low.ceil() <= high.floor()
    } else {
        low <= high
    };
    filled && low >= least && high <= greatest
}

fn bounded(
    generator: &mut ChaCha8Rng,
    dtype: Dtype,
    (low, high): (f64, f64),
    outliers: bool,
) -> f64 {
    if outliers && generator.random_range(0..4u32) == 0 {
        let (low, high) = match is_integer(dtype) {
            true => (low.ceil(), high.floor()),
            false => (low, high),
        };
        return if generator.random() { low } else { high };
    }
    if is_integer(dtype) {
        return generator.random_range(low.ceil() as i64..=high.floor() as i64) as f64;
    }
    low + (high - low) * generator.random::<f64>()
}

/// Makes every eighth row the one before it.
fn equal_rows(bytes: &mut [u8], row: usize) {
    for eight in bytes.chunks_exact_mut(8 * row) {
        let (before, last) = eight.split_at_mut(7 * row);
        last.copy_from_slice(&before[6 * row..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(dtype: Dtype, seed: u64, outliers: bool, bounds: Bounds) -> Vec<f64> {
        let mut bytes = vec![0; 4000 * dtype.size()];
        fill(&mut bytes, dtype, 10, (seed, 0), outliers, bounds);
        element::to_doubles(&bytes, dtype)
    }

    #[test]
    fn a_seed_decides_the_values() {
        let values = filled(Dtype::F32, 1, false, None);
        assert_eq!(values, filled(Dtype::F32, 1, false, None));
        assert_ne!(values, filled(Dtype::F32, 2, false, None));
        let mean = values.iter().sum::<f64>() / 4000.0;
        assert!(mean.abs() < 0.1, "{mean}");
    }

    #[test]
    fn outliers_are_there_finite_and_rare() {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::F8E4m3, Dtype::I8, Dtype::U8] {
            let usual = filled(dtype, 3, false, None);
            let values = filled(dtype, 3, true, None);
            assert!(values.iter().all(|value| value.is_finite()));
            let largest = |values: &[f64]| values.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            assert!(largest(&values) > 2.0 * largest(&usual), "{dtype:?}");
            assert_eq!(values[70..80], values[60..70], "{dtype:?}");
        }
    }

    #[test]
    fn bounds_without_a_value_or_beyond_the_type_are_impossible() {
        assert!(possible(Dtype::I8, (-128.0, 127.0)));
        for (dtype, bounds) in [
            (Dtype::I32, (2.5, 2.7)),
            (Dtype::I8, (0.0, 1000.0)),
            (Dtype::U8, (-1.0, 3.0)),
            (Dtype::F64, (-1e308, 1e308)),
            (Dtype::F32, (2.0, 1.0)),
            (Dtype::F16, (0.0, 1e5)),
        ] {
            assert!(!possible(dtype, bounds), "{dtype:?} {bounds:?}");
        }
        let values = filled(Dtype::I32, 5, true, Some((0.5, 3.5)));
        assert!(values.iter().all(|value| (1.0..=3.0).contains(value)));
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let values = filled(Dtype::I32, 5, true, Some((0.0, 99.0)));
        assert!(values.iter().all(|value| (0.0..=99.0).contains(value)));
        assert!(values.iter().filter(|value| **value == 99.0).count() > 200);
        let values = filled(Dtype::F32, 5, false, Some((1.0, 2.0)));
        assert!(values.iter().all(|value| (1.0..=2.0).contains(value)));
    }
}
