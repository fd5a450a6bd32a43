//! The exponential, to several degrees of exactness.
//!
//! All variants split `x = n + f` with a whole `n` and `|f| <= 1/2`, take a polynomial of `f`, and
//! put `n` into the exponent. The polynomials are minimax in relative error over that interval
//! (found by Lawson's iteration in float64, then rounded).

use super::Simd;

/// A variant of the exponential of non-positive numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExpKind {
    /// `e^x` within about 1 ulp: two-step range reduction and a polynomial of degree 6.
    Exact,
    /// `2^x`, degree 5: relative error 1e-7.
    Poly5,
    /// `2^x`, degree 4: relative error 2.6e-6.
    Poly4,
    /// `2^x`, degree 3: relative error 7.5e-5.
    Poly3,
    /// `2^x`, degree 2: relative error 1.7e-3.
    Poly2,
}

impl ExpKind {
    /// Every variant with its name in configurations.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("exact", Self::Exact),
        ("poly5", Self::Poly5),
        ("poly4", Self::Poly4),
        ("poly3", Self::Poly3),
        ("poly2", Self::Poly2),
    ];

    /// What the argument has to be multiplied by beforehand: variants in base 2 want `x log2 e`.
    pub(crate) fn prescale(self) -> f32 {
        match self {
            Self::Exact => 1.0,
            _ => std::f32::consts::LOG2_E,
        }
    }
}

pub(super) const EXACT: u8 = 0;

const E6: [f32; 7] = [
    1.0,
    1.0,
    0.499_999_9,
    0.166_664_2,
    0.041_668_225,
    0.008_374_816,
    0.001_383_684_6,
];
const TWO5: [f32; 6] = [
    1.000_000_1,
    0.693_146_94,
    0.240_221_2,
    0.055_507_13,
    0.009_675_542,
    0.001_327_647_2,
];
const TWO4: [f32; 5] = [
    0.999_999_3,
    0.693_121_8,
    0.240_247_44,
    0.055_917_863,
    0.009_570_102,
];
const TWO3: [f32; 4] = [0.999_928_06, 0.693_260_97, 0.242_611_13, 0.055_171_67];
const TWO2: [f32; 3] = [1.000_443_1, 0.703_448_06, 0.238_428_95];

#[inline(always)]
unsafe fn horner<S: Simd, const N: usize>(coefficients: &[f32; N], x: S::V) -> S::V {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let mut value = S::splat(coefficients[N - 1]);
        for coefficient in coefficients.iter().rev().skip(1) {
            value = S::mul_add(value, x, S::splat(*coefficient));
        }
        value
    }
}

/// The exponential of `x <= 0`, or of `x` up to about 100. `KIND` is 0 for `e^x`, else the degree
/// of the polynomial for `2^x`.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub(super) unsafe fn exp<S: Simd, const KIND: u8>(x: S::V) -> S::V {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        if KIND == EXACT {
            // Below this the result is 0 anyway, and the reduction would lose its meaning.
            let x = S::max(x, S::splat(-120.0));
            // ln 2 in two parts, the first of which has trailing zeros: n times it is exact.
            let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
            let f = S::mul_add(n, S::splat(-0.693_359_4), x);
            let f = S::mul_add(n, S::splat(2.121_944_4e-4), f);
            return S::scale_by_pow2(horner::<S, 7>(&E6, f), n);
        }
        let n = S::round(x);
        let f = S::sub(x, n);
        let value = match KIND {
            2 => horner::<S, 3>(&TWO2, f),
            3 => horner::<S, 4>(&TWO3, f),
            4 => horner::<S, 5>(&TWO4, f),
            _ => horner::<S, 6>(&TWO5, f),
        };
        S::scale_by_pow2(value, n)
    }
}
