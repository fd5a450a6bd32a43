//! Elements of tensors as doubles, and doubles as elements.

use evo_plugin::{Dtype, Error, Tensor, TensorMut};
use half::{bf16, f16};
use rayon::prelude::*;

/// The bytes of a tensor on the host.
///
/// # Errors
/// Where its element type is of a later version.
pub(crate) fn bytes<'a>(tensor: &Tensor<'a>) -> Result<&'a [u8], Error> {
    let length = tensor.shape().iter().product::<usize>() * tensor.dtype()?.size();
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: a problem's inputs are on the host and unchanged for 'a; the length is that of the
    // tensor.
    Ok(unsafe { std::slice::from_raw_parts(tensor.pointer(), length) })
}

/// The bytes of a tensor on the host, for writing.
///
/// # Errors
/// Where its element type is of a later version.
pub(crate) fn bytes_mut<'a>(tensor: &'a mut TensorMut<'_>) -> Result<&'a mut [u8], Error> {
    let length = tensor.shape().iter().product::<usize>() * tensor.dtype()?.size();
    if length == 0 {
        return Ok(&mut []);
    }
    // SAFETY: the inputs to fill are on the host, and the borrow of the tensor is exclusive.
    Ok(unsafe { std::slice::from_raw_parts_mut(tensor.pointer(), length) })
}

/// The elements as doubles; those of 64-bit integers are rounded.
pub(crate) fn to_doubles(bytes: &[u8], dtype: Dtype) -> Vec<f64> {
    match dtype {
        Dtype::F64 => convert(bytes, f64::from_ne_bytes),
        Dtype::F32 => convert(bytes, |e| f64::from(f32::from_ne_bytes(e))),
        Dtype::F16 => convert(bytes, |e| f16::from_ne_bytes(e).to_f64()),
        Dtype::Bf16 => convert(bytes, |e| bf16::from_ne_bytes(e).to_f64()),
        Dtype::F8E4m3 => convert(bytes, |[e]| e4m3(e)),
        Dtype::I64 => convert(bytes, |e| i64::from_ne_bytes(e) as f64),
        Dtype::I32 => convert(bytes, |e| f64::from(i32::from_ne_bytes(e))),
        Dtype::I8 => convert(bytes, |[e]| f64::from(e.cast_signed())),
        Dtype::U8 => convert(bytes, |[e]| f64::from(e)),
    }
}

/// Elements that one thread takes at a time.
const CHUNK: usize = 1 << 14;

fn convert<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64 + Sync) -> Vec<f64> {
    let elements = bytes.par_chunks_exact(N).with_min_len(CHUNK);
    elements
        .map(|element| value(element.first_chunk::<N>().copied().unwrap_or([0; N])))
        .collect()
}

/// Writes a double as an element: the nearest one, within the range of the type.
pub(crate) fn put(element: &mut [u8], dtype: Dtype, value: f64) {
    // Casts to integers saturate.
    let wide: [u8; 8] = match dtype {
        Dtype::F64 => value.to_ne_bytes(),
        Dtype::F32 => widen((value as f32).to_ne_bytes()),
        Dtype::F16 => widen(f16::from_f64(value).to_ne_bytes()),
        Dtype::Bf16 => widen(bf16::from_f64(value).to_ne_bytes()),
        Dtype::F8E4m3 => widen([nearest_e4m3(value)]),
        Dtype::I64 => (value as i64).to_ne_bytes(),
        Dtype::I32 => widen((value as i32).to_ne_bytes()),
        Dtype::I8 => widen((value as i8).to_ne_bytes()),
        Dtype::U8 => widen([value as u8]),
    };
    for (to, from) in element.iter_mut().zip(wide) {
        *to = from;
    }
}

fn widen<const N: usize>(bytes: [u8; N]) -> [u8; 8] {
    let mut wide = [0; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = from;
    }
    wide
}

/// 8-bit float with 4 exponent and 3 mantissa bits, bias 7, no infinity, NaN at all ones
/// (the "E4M3" of P. Micikevicius et al., "FP8 formats for deep learning", 2022).
fn e4m3(bits: u8) -> f64 {
    let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 3 & 0xf);
    let mantissa = f64::from(bits & 7);
    match (exponent, bits & 7) {
        (15, 7) => f64::NAN,
        (0, _) => sign * mantissa * 2f64.powi(-9),
        _ => sign * (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7),
    }
}

/// The nearest finite element; of two equally near ones, the one with an even mantissa.
fn nearest_e4m3(value: f64) -> u8 {
    const LARGEST: u8 = 0x7e;
    let magnitude = value.abs();
    // The positive elements ascend with their bits.
    let (mut low, mut high) = (0u8, LARGEST);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if e4m3(middle) <= magnitude {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    let up = (low + 1).min(LARGEST);
    let (below, above) = (magnitude - e4m3(low), e4m3(up) - magnitude);
    let rounds_up = above < below || (above == below && low & 1 == 1);
    let bits = if rounds_up { up } else { low };
    if value < 0.0 { bits | 0x80 } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for dtype in [
            Dtype::F64,
            Dtype::F32,
            Dtype::F16,
            Dtype::Bf16,
            Dtype::F8E4m3,
            Dtype::I64,
            Dtype::I32,
            Dtype::I8,
        ] {
            let mut bytes = vec![0; 3 * dtype.size()];
            let values = [-3.0, 0.0, 104.0];
            for (element, value) in bytes.chunks_exact_mut(dtype.size()).zip(values) {
                put(element, dtype, value);
            }
            assert_eq!(to_doubles(&bytes, dtype), values, "{dtype:?}");
        }
        let mut byte = [0];
        put(&mut byte, Dtype::U8, 300.0);
        assert_eq!(byte, [255]);
    }

    #[test]
    fn every_finite_e4m3_is_its_own_nearest() {
        for bits in (0..=0x7e).chain(0x81..=0xfe) {
            assert_eq!(nearest_e4m3(e4m3(bits)), bits);
        }
        assert_eq!(nearest_e4m3(1e9), 0x7e);
        assert_eq!(nearest_e4m3(17.0), nearest_e4m3(16.0), "ties go to even");
        assert_eq!(nearest_e4m3(17.1), nearest_e4m3(18.0));
    }
}
