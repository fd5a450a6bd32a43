//! The 8-bit float of quantised tensors.

/// A float with 4 exponent and 3 mantissa bits, bias 7, no infinity, and NaN where all bits but
/// the sign are set: the "E4M3" of P. Micikevicius et al., "FP8 formats for deep learning", 2022,
/// as CUDA (`__nv_fp8_e4m3`) and PyTorch (`float8_e4m3fn`) have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct E4m3(u8);

/// What the exponents of E4M3 and of single precision differ by.
const REBIAS: u32 = 127 - 7;
/// Mantissa bits of single precision that E4M3 lacks.
const DROPPED: u32 = 23 - 3;

impl E4m3 {
    /// The largest finite number.
    pub const MAX: f32 = 448.0;

    /// The number with these bits.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits.
    pub fn to_bits(self) -> u8 {
        self.0
    }

    /// The nearest number, ties to even. What is larger than [`Self::MAX`], infinity too, becomes
    /// that; NaN stays NaN.
    pub fn from_f32(value: f32) -> Self {
        let magnitude = value.abs();
        let code = if value.is_nan() {
            0x7f
        } else if magnitude >= Self::MAX {
            0x7e
        } else if magnitude < 2f32.powi(-6) {
            // Units of the subnormals; 8 of them are the first normal number, whose bits are 8.
            (magnitude * 512.0).round_ties_even() as u8
        } else {
            let bits = magnitude.to_bits();
            let even = (bits >> DROPPED) & 1;
            let rounded = (bits + (1 << (DROPPED - 1)) - 1 + even) >> DROPPED;
            (rounded - (REBIAS << 3)) as u8
        };
        Self(code | if value.is_sign_negative() { 0x80 } else { 0 })
    }

    /// The value, which is exact.
    pub fn to_f32(self) -> f32 {
        let (exponent, mantissa) = (u32::from(self.0 >> 3 & 0xf), u32::from(self.0 & 7));
        let magnitude = match (exponent, mantissa) {
            (15, 7) => f32::NAN,
            (0, _) => mantissa as f32 / 512.0,
            _ => f32::from_bits((exponent + REBIAS) << 23 | mantissa << DROPPED),
        };
        if self.0 & 0x80 == 0 {
            magnitude
        } else {
            -magnitude
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finite() -> impl Iterator<Item = E4m3> {
        (0..=u8::MAX)
            .map(E4m3::from_bits)
            .filter(|number| !number.to_f32().is_nan())
    }

    #[test]
    fn all_256_codes_survive_the_round_trip() {
        for bits in 0..=u8::MAX {
            let number = E4m3::from_bits(bits);
            assert_eq!(E4m3::from_f32(number.to_f32()).to_bits(), bits);
        }
        assert_eq!(finite().count(), 254);
    }

    #[test]
    fn it_has_the_published_landmarks() {
        // The table of the paper: largest and smallest normal, largest and smallest subnormal.
        for (bits, value) in [
            (0b0111_1110, 448.0),
            (0b0000_1000, 2f32.powi(-6)),
            (0b0000_0111, 0.875 * 2f32.powi(-6)),
            (0b1000_0001, -(2f32.powi(-9))),
            (0b0011_1000, 1.0),
        ] {
            assert_eq!(E4m3::from_bits(bits).to_f32(), value);
        }
        assert!(E4m3::from_bits(0x7f).to_f32().is_nan() && E4m3::from_bits(0xff).to_f32().is_nan());
    }

    #[test]
    fn what_is_too_large_saturates_and_ties_go_to_even() {
        for (value, bits) in [
            (448.0, 0x7e),
            (465.0, 0x7e),
            (1e30, 0x7e),
            (f32::INFINITY, 0x7e),
            (f32::NEG_INFINITY, 0xfe),
            (f32::NAN, 0x7f),
            (-0.0, 0x80),
            // Halfway between 1 and 1.125, and between 1.125 and 1.25.
            (1.0625, 0x38),
            (1.1875, 0x3a),
            // Half of the least subnormal number, and just above.
            (2f32.powi(-10), 0x00),
            (1.01 * 2f32.powi(-10), 0x01),
        ] {
            assert_eq!(E4m3::from_f32(value).to_bits(), bits, "{value}");
        }
    }

    proptest! {
        #[test]
        fn the_nearest_number_is_found(value in prop_oneof![-448f32..448.0, -0.1f32..0.1]) {
            let error = |number: E4m3| (f64::from(number.to_f32()) - f64::from(value)).abs();
            let least = finite().map(error).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(error(E4m3::from_f32(value)), least);
        }
    }
}
