//! Element types: poison patterns and values as doubles.

use evo_plugin::E4m3;
use evo_types::Dtype;
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use crate::bulk;

/// Two patterns that outputs are filled with before a launch. Both are NaN for floating-point
/// types. Two, because one could be a value that the kernel wrote: an element that holds the
/// first after a launch onto the first, and the second after a launch onto the second, was never
/// written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poison {
    First,
    Second,
}

/// The bytes of one poisoned element, of which the first `dtype.size()` count.
fn pattern(dtype: Dtype, poison: Poison) -> [u8; 8] {
    let (first, second): (u64, u64) = match dtype {
        Dtype::F64 => (0x7ff8_dead_beef_0001, 0xfff8_5eed_cafe_0002),
        Dtype::F32 => (0x7fc0_dead, 0xffc1_5eed),
        Dtype::F16 => (0x7e5a, 0xfea5),
        Dtype::Bf16 => (0x7fd5, 0xffea),
        // The format has no other NaN than these two.
        Dtype::F8E4m3 => (0x7f, 0xff),
        Dtype::I64 => (0x5eed_dead_beef_0001, 0xa112_2152_4110_fffe),
        Dtype::I32 => (0x5eed_dead, 0xa112_2152),
        Dtype::I8 | Dtype::U8 => (0x5a, 0xa5),
    };
    let bits = match poison {
        Poison::First => first,
        Poison::Second => second,
    };
    let mut bytes = bits.to_le_bytes();
    if cfg!(target_endian = "big") {
        bytes[..dtype.size()].reverse();
    }
    bytes
}

/// The pattern of a single-precision number.
pub(crate) fn pattern_f32(poison: Poison) -> u32 {
    u32::from_ne_bytes(chunk(&pattern(Dtype::F32, poison)))
}

/// Fills a buffer with poisoned elements.
pub(crate) fn fill(bytes: &mut [u8], dtype: Dtype, poison: Poison) {
    let size = dtype.size();
    let pattern = pattern(dtype, poison);
    bytes.par_chunks_mut(bulk::PIECE).for_each(|piece| {
        for element in piece.chunks_exact_mut(size) {
            element.copy_from_slice(&pattern[..size]);
        }
    });
}

/// Whether an element still holds the poison.
pub(crate) fn is_poison(element: &[u8], dtype: Dtype, poison: Poison) -> bool {
    element == &pattern(dtype, poison)[..dtype.size()]
}

fn chunk<const N: usize>(element: &[u8]) -> [u8; N] {
    element.first_chunk::<N>().copied().unwrap_or([0; N])
}

/// The elements of a buffer as doubles, appended to `out`.
pub(crate) fn decode(bytes: &[u8], dtype: Dtype, out: &mut Vec<f64>) {
    let elements = bytes.chunks_exact(dtype.size());
    match dtype {
        Dtype::F64 => out.extend(elements.map(|e| f64::from_ne_bytes(chunk(e)))),
        Dtype::F32 => out.extend(elements.map(|e| f64::from(f32::from_ne_bytes(chunk(e))))),
        Dtype::F16 => {
            // By slices, for which there are instructions.
            let mut singles = [0.0; HALVES];
            for part in bytes.chunks(2 * HALVES) {
                let mut halves = [f16::ZERO; HALVES];
                let elements = part.chunks_exact(2).map(|e| f16::from_ne_bytes(chunk(e)));
                let count = halves
                    .iter_mut()
                    .zip(elements)
                    .map(|(to, e)| *to = e)
                    .count();
                halves[..count].convert_to_f32_slice(&mut singles[..count]);
                out.extend(singles[..count].iter().map(|value| f64::from(*value)));
            }
        }
        Dtype::Bf16 => out.extend(elements.map(|e| {
            let bits = u32::from(u16::from_ne_bytes(chunk(e))) << 16;
            f64::from(f32::from_bits(bits))
        })),
        Dtype::F8E4m3 => out.extend(
            bytes
                .iter()
                .map(|e| f64::from(E4m3::from_bits(*e).to_f32())),
        ),
        Dtype::I64 => out.extend(elements.map(|e| i64::from_ne_bytes(chunk(e)) as f64)),
        Dtype::I32 => out.extend(elements.map(|e| f64::from(i32::from_ne_bytes(chunk(e))))),
        Dtype::I8 => out.extend(bytes.iter().map(|e| f64::from(*e as i8))),
        Dtype::U8 => out.extend(bytes.iter().map(|e| f64::from(*e))),
    }
}

/// Halves that are converted at a time.
const HALVES: usize = 256;

/// Whether every element is a finite number, by its bits: integers always are.
pub(crate) fn all_finite(bytes: &[u8], dtype: Dtype) -> bool {
    let mut elements = bytes.chunks_exact(dtype.size());
    // Without a branch for each element, so that many are looked at in one instruction.
    match dtype {
        Dtype::F64 => elements.all(|e| u64::from_ne_bytes(chunk(e)) & 0x7ff0 << 48 != 0x7ff0 << 48),
        Dtype::F32 => !elements.fold(false, |bad, e| {
            bad | (u32::from_ne_bytes(chunk(e)) & 0x7f80_0000 == 0x7f80_0000)
        }),
        Dtype::F16 => !elements.fold(false, |bad, e| {
            bad | (u16::from_ne_bytes(chunk(e)) & 0x7c00 == 0x7c00)
        }),
        Dtype::Bf16 => !elements.fold(false, |bad, e| {
            bad | (u16::from_ne_bytes(chunk(e)) & 0x7f80 == 0x7f80)
        }),
        // The format has no infinity, and these two NaNs.
        Dtype::F8E4m3 => !bytes.iter().fold(false, |bad, e| bad | (e & 0x7f == 0x7f)),
        Dtype::I64 | Dtype::I32 | Dtype::I8 | Dtype::U8 => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const ALL: [Dtype; 9] = [
        Dtype::F64,
        Dtype::F32,
        Dtype::F16,
        Dtype::Bf16,
        Dtype::F8E4m3,
        Dtype::I64,
        Dtype::I32,
        Dtype::I8,
        Dtype::U8,
    ];

    fn is_float(dtype: Dtype) -> bool {
        !matches!(dtype, Dtype::I64 | Dtype::I32 | Dtype::I8 | Dtype::U8)
    }

    #[test]
    fn what_is_finite_by_its_bits_is_finite_as_a_number() {
        let special = [
            0.0,
            -1.5,
            1e300,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        let mut cases: Vec<(Dtype, Vec<u8>)> = Vec::new();
        for value in special {
            cases.push((Dtype::F64, value.to_ne_bytes().to_vec()));
            cases.push((Dtype::F32, (value as f32).to_ne_bytes().to_vec()));
        }
        for bits in 0..=u16::MAX {
            cases.push((Dtype::F16, bits.to_ne_bytes().to_vec()));
            cases.push((Dtype::Bf16, bits.to_ne_bytes().to_vec()));
        }
        for bits in 0..=u8::MAX {
            cases.push((Dtype::F8E4m3, vec![bits]));
            cases.push((Dtype::U8, vec![bits]));
        }
        for (dtype, element) in cases {
            let mut values = Vec::new();
            decode(&element, dtype, &mut values);
            let finite = values.iter().all(|value| value.is_finite());
            assert_eq!(all_finite(&element, dtype), finite, "{dtype:?} {element:?}");
            // Among others, wherever it stands.
            let mut row = vec![0u8; 600 * element.len()];
            assert!(all_finite(&row, dtype));
            let at = 599 * element.len();
            row[at..].copy_from_slice(&element);
            if dtype.size() != 2 || element[0] % 16 == 0 {
                assert_eq!(all_finite(&row, dtype), finite, "{dtype:?} {element:?}");
                let mut decoded = Vec::new();
                decode(&row, dtype, &mut decoded);
                assert_eq!(decoded.len(), 600);
                let last = (decoded[599], values[0]);
                assert!(
                    last.0 == last.1 || finite == last.0.is_finite(),
                    "{dtype:?}"
                );
            }
        }
    }

    #[test]
    fn poison_is_nan_and_the_two_differ() {
        for dtype in ALL {
            let size = dtype.size();
            let mut bytes = vec![0u8; 5 * size];
            for (poison, other) in [
                (Poison::First, Poison::Second),
                (Poison::Second, Poison::First),
            ] {
                fill(&mut bytes, dtype, poison);
                for element in bytes.chunks_exact(size) {
                    assert!(is_poison(element, dtype, poison), "{dtype:?}");
                    assert!(!is_poison(element, dtype, other), "{dtype:?}");
                }
                let mut values = Vec::new();
                decode(&bytes, dtype, &mut values);
                assert_eq!(values.len(), 5);
                assert!(values.iter().all(|value| value.is_nan() == is_float(dtype)));
            }
        }
    }

    #[test]
    fn values_are_decoded() {
        let mut out = Vec::new();
        decode(&1.5f32.to_ne_bytes(), Dtype::F32, &mut out);
        decode(&(-2.5f64).to_ne_bytes(), Dtype::F64, &mut out);
        decode(&f16::from_f64(0.25).to_ne_bytes(), Dtype::F16, &mut out);
        decode(
            &half::bf16::from_f64(-8.0).to_ne_bytes(),
            Dtype::Bf16,
            &mut out,
        );
        decode(&(-3i64).to_ne_bytes(), Dtype::I64, &mut out);
        decode(&[0x7e], Dtype::F8E4m3, &mut out);
        decode(&7i32.to_ne_bytes(), Dtype::I32, &mut out);
        decode(&[0xff], Dtype::I8, &mut out);
        decode(&[0xff], Dtype::U8, &mut out);
        assert_eq!(out, [1.5, -2.5, 0.25, -8.0, -3.0, 448.0, 7.0, -1.0, 255.0]);
    }
}
