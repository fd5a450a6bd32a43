//! 256-bit vectors with FMA and half-precision conversion.

use std::arch::x86_64::*;

use super::{MAX_LANES, Simd};

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

macro_rules! ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $ty),*) -> $out {
            // SAFETY: the caller promises the instruction set and valid pointers.
            unsafe { $body }
        }
    )*};
}

// SAFETY: the methods do what the trait says with AVX2, FMA and F16C instructions alone.
unsafe impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;

    ops! {
        fn zero() -> __m256 = _mm256_setzero_ps();
        fn splat(value: f32) -> __m256 = _mm256_set1_ps(value);
        fn load(from: *const f32) -> __m256 = _mm256_loadu_ps(from);
        fn store(to: *mut f32, value: __m256) -> () = _mm256_storeu_ps(to, value);
        fn load_part(from: *const f32, count: usize) -> __m256 =
            _mm256_maskload_ps(from, first_lanes(count));
        fn store_part(to: *mut f32, value: __m256, count: usize) -> () =
            _mm256_maskstore_ps(to, first_lanes(count), value);
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fn round(value: __m256) -> __m256 =
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value);
        fn scale_by_pow2(value: __m256, exponent: __m256) -> __m256 = {
            // Added to the exponent field; the clamp keeps it from wrapping.
            let exponent = _mm256_max_ps(exponent, _mm256_set1_ps(-125.0));
            let shifted = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(exponent));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), shifted))
        };
        fn select_gt(x: __m256, y: __m256, a: __m256, b: __m256) -> __m256 =
            _mm256_blendv_ps(b, a, _mm256_cmp_ps::<_CMP_GT_OQ>(x, y));
        fn any_gt(x: __m256, y: __m256) -> bool =
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(x, y)) != 0;
        fn lane_index() -> __m256 = _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
        fn max_lanes(value: __m256) -> f32 = {
            let x = _mm_max_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
        };
        fn sum_lanes(value: __m256) -> f32 = {
            let x = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        };
        fn load_bf16(from: *const half::bf16) -> __m256 = _mm256_castsi256_ps(
            _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())))
        );
        fn load_f16(from: *const half::f16) -> __m256 = _mm256_cvtph_ps(_mm_loadu_si128(from.cast()));
        fn store_bf16(to: *mut half::bf16, value: __m256) -> () = {
            let bits = _mm256_castps_si256(value);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            let rounded = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, bias));
            let packed = _mm_packus_epi32(
                _mm256_castsi256_si128(rounded),
                _mm256_extracti128_si256::<1>(rounded),
            );
            _mm_storeu_si128(to.cast(), packed)
        };
        fn store_f16(to: *mut half::f16, value: __m256) -> () = _mm_storeu_si128(
            to.cast(),
            _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value)
        );
        fn bf16_pairs(low: __m256, high: __m256) -> __m256 = {
            let half = _mm256_set1_epi32(0x8000);
            let low = _mm256_srli_epi32::<16>(_mm256_add_epi32(_mm256_castps_si256(low), half));
            let high = _mm256_add_epi32(_mm256_castps_si256(high), half);
            let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            _mm256_castsi256_ps(_mm256_or_si256(low, _mm256_and_si256(high, upper)))
        };
        fn transpose(block: &mut [__m256; MAX_LANES]) -> () = transpose8(block);
        fn prefetch(address: *const u8, near: bool) -> () = if near {
            _mm_prefetch::<_MM_HINT_T0>(address.cast())
        } else {
            _mm_prefetch::<_MM_HINT_T1>(address.cast())
        };
    }
}

/// A mask of the first lanes.
#[inline(always)]
unsafe fn first_lanes(count: usize) -> __m256i {
    // SAFETY: the caller promises AVX2.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(8) as i32), lanes)
    }
}

#[inline(always)]
unsafe fn transpose8(block: &mut [__m256; MAX_LANES]) {
    // SAFETY: the caller promises AVX2; all indices are below 8.
    unsafe {
        let mut t = [_mm256_setzero_ps(); 8];
        for i in 0..4 {
            t[2 * i] = _mm256_unpacklo_ps(block[2 * i], block[2 * i + 1]);
            t[2 * i + 1] = _mm256_unpackhi_ps(block[2 * i], block[2 * i + 1]);
        }
        // u[4 g + j] holds column j of each 128-bit lane, for the rows 4 g .. 4 g + 4.
        let mut u = [_mm256_setzero_ps(); 8];
        for g in 0..2 {
            for h in 0..2 {
                let a = _mm256_castps_pd(t[4 * g + h]);
                let b = _mm256_castps_pd(t[4 * g + 2 + h]);
                u[4 * g + 2 * h] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                u[4 * g + 2 * h + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
            }
        }
        for j in 0..4 {
            block[j] = _mm256_permute2f128_ps::<0x20>(u[j], u[4 + j]);
            block[4 + j] = _mm256_permute2f128_ps::<0x31>(u[j], u[4 + j]);
        }
    }
}
