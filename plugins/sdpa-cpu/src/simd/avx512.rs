//! 512-bit vectors, and the same with the multiply-add on pairs of bf16.

use std::arch::x86_64::*;

use super::{MAX_LANES, Simd};

/// AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// As [`Avx512`], but [`Simd::mul_add`] is the dot product of bf16 pairs (`vdpbf16ps`).
#[derive(Clone, Copy)]
pub(super) struct Avx512Bf16;

macro_rules! common {
    () => {
        type V = __m512;
        const LANES: usize = 16;

        ops! {
            fn zero() -> __m512 = _mm512_setzero_ps();
            fn splat(value: f32) -> __m512 = _mm512_set1_ps(value);
            fn load(from: *const f32) -> __m512 = _mm512_loadu_ps(from);
            fn store(to: *mut f32, value: __m512) -> () = _mm512_storeu_ps(to, value);
            fn load_part(from: *const f32, count: usize) -> __m512 =
                _mm512_maskz_loadu_ps(first_lanes(count), from);
            fn store_part(to: *mut f32, value: __m512, count: usize) -> () =
                _mm512_mask_storeu_ps(to, first_lanes(count), value);
            fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
            fn sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
            fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
            fn div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
            fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
            fn round(value: __m512) -> __m512 = _mm512_roundscale_ps::<8>(value);
            fn scale_by_pow2(value: __m512, exponent: __m512) -> __m512 =
                _mm512_scalef_ps(value, exponent);
            fn select_gt(x: __m512, y: __m512, a: __m512, b: __m512) -> __m512 =
                _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, y), b, a);
            fn any_gt(x: __m512, y: __m512) -> bool = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, y) != 0;
            fn lane_index() -> __m512 = _mm512_setr_ps(
                0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0
            );
            fn max_lanes(value: __m512) -> f32 = _mm512_reduce_max_ps(value);
            fn sum_lanes(value: __m512) -> f32 = _mm512_reduce_add_ps(value);
            fn load_bf16(from: *const half::bf16) -> __m512 = _mm512_castsi512_ps(
                _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast())))
            );
            fn load_f16(from: *const half::f16) -> __m512 =
                _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()));
            fn store_bf16(to: *mut half::bf16, value: __m512) -> () =
                _mm256_storeu_si256(to.cast(), round_to_bf16(value));
            fn store_f16(to: *mut half::f16, value: __m512) -> () = _mm256_storeu_si256(
                to.cast(),
                _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value)
            );
            fn bf16_pairs(low: __m512, high: __m512) -> __m512 = pairs(low, high);
            fn transpose(block: &mut [__m512; MAX_LANES]) -> () = transpose16(block);
            fn prefetch(address: *const u8, near: bool) -> () = if near {
                _mm_prefetch::<_MM_HINT_T0>(address.cast())
            } else {
                _mm_prefetch::<_MM_HINT_T1>(address.cast())
            };
        }
    };
}

macro_rules! ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $ty),*) -> $out {
            // SAFETY: the caller promises the instruction set and valid pointers.
            unsafe { $body }
        }
    )*};
}

// SAFETY: the methods do what the trait says with AVX-512 instructions alone.
unsafe impl Simd for Avx512 {
    common!();
    ops! {
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
    }
}

// SAFETY: as above, and AVX512_BF16.
unsafe impl Simd for Avx512Bf16 {
    common!();
    ops! {
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_dpbf16_ps(
            c,
            std::mem::transmute::<__m512, __m512bh>(a),
            std::mem::transmute::<__m512, __m512bh>(b)
        );
    }
}

/// A mask of the first lanes.
#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    ((1u32 << count.min(16)) - 1) as __mmask16
}

/// Rounds to nearest even in integers: a NaN keeps its quiet bit, for its payload is not rounded up
/// past the exponent by the hardware's own NaNs.
#[inline(always)]
unsafe fn round_to_bf16(value: __m512) -> __m256i {
    // SAFETY: the caller promises AVX-512.
    unsafe {
        let bits = _mm512_castps_si512(value);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(_mm512_add_epi32(bits, bias)))
    }
}

#[inline(always)]
unsafe fn pairs(low: __m512, high: __m512) -> __m512 {
    // SAFETY: the caller promises AVX-512.
    unsafe {
        let half = _mm512_set1_epi32(0x8000);
        let low = _mm512_srli_epi32::<16>(_mm512_add_epi32(_mm512_castps_si512(low), half));
        let high = _mm512_add_epi32(_mm512_castps_si512(high), half);
        // 0xF8 is `a | (b & c)`.
        let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
        _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xF8>(low, high, upper))
    }
}

#[inline(always)]
unsafe fn transpose16(block: &mut [__m512; 16]) {
    // SAFETY: the caller promises AVX-512; all indices are below 16.
    unsafe {
        let mut t = [_mm512_setzero_ps(); 16];
        for i in 0..8 {
            t[2 * i] = _mm512_unpacklo_ps(block[2 * i], block[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_ps(block[2 * i], block[2 * i + 1]);
        }
        // u[4 g + j] holds column j of each 128-bit lane, for the rows 4 g .. 4 g + 4.
        let mut u = [_mm512_setzero_ps(); 16];
        for g in 0..4 {
            for h in 0..2 {
                let a = _mm512_castps_pd(t[4 * g + h]);
                let b = _mm512_castps_pd(t[4 * g + 2 + h]);
                u[4 * g + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                u[4 * g + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        for j in 0..4 {
            let a = _mm512_shuffle_f32x4::<0x88>(u[j], u[4 + j]);
            let b = _mm512_shuffle_f32x4::<0x88>(u[8 + j], u[12 + j]);
            let c = _mm512_shuffle_f32x4::<0xdd>(u[j], u[4 + j]);
            let d = _mm512_shuffle_f32x4::<0xdd>(u[8 + j], u[12 + j]);
            block[j] = _mm512_shuffle_f32x4::<0x88>(a, b);
            block[8 + j] = _mm512_shuffle_f32x4::<0xdd>(a, b);
            block[4 + j] = _mm512_shuffle_f32x4::<0x88>(c, d);
            block[12 + j] = _mm512_shuffle_f32x4::<0xdd>(c, d);
        }
    }
}
