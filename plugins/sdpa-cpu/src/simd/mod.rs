//! Vectors: one trait, an implementation per instruction set, and the kernels generic over it.
//!
//! A generic kernel is compiled once for each instruction set, inside a function that has the
//! matching `target_feature`s; [`table`] hands out function pointers to those, so that everything
//! above this module is free of instruction sets.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod elem;
mod exp;
mod gemm;
mod isa;
mod pack;
mod portable;
mod softmax;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub(crate) use elem::Elem;
pub(crate) use exp::ExpKind;
pub(crate) use gemm::{Gemm, MICRO_ROWS, MICRO_VECS, Prefetch, Start};
pub(crate) use isa::Isa;
pub(crate) use pack::{
    PackColumns, PackPanels, PackRows, PackTransposed, StoreRows, StoreTransposed,
};
pub(crate) use softmax::{RowSoftmax, ScaleRows, TileSoftmax};
pub(crate) use table::micro_shape_exists;

/// The most lanes that any vector here has: the size of scratch blocks on the stack.
pub(crate) const MAX_LANES: usize = 16;

/// A score that stands for "masked": its exponential is zero beside any real score, yet it is
/// finite, so that no arithmetic on it makes a NaN.
pub(crate) const MASKED: f32 = -1e30;

/// A vector of `f32` lanes of one instruction set.
///
/// # Safety
/// Every method may be called only where the CPU has the instruction set. Pointers must be valid
/// for [`Simd::LANES`] elements unless the method says otherwise; they need no alignment.
pub(crate) unsafe trait Simd: Copy {
    /// The vector.
    type V: Copy;
    /// Number of `f32` lanes.
    const LANES: usize;

    unsafe fn zero() -> Self::V;
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, value: Self::V);
    /// The first `count < LANES` elements, touching nothing beyond; the other lanes are zero.
    unsafe fn load_part(from: *const f32, count: usize) -> Self::V;
    /// The first `count < LANES` lanes, touching nothing beyond.
    unsafe fn store_part(to: *mut f32, value: Self::V, count: usize);
    /// `a * b + c`, fused where the instruction set can. The dot-product instruction set reads
    /// `a` and `b` as pairs of bf16 and adds both products to `c`.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The nearest integer, as a float.
    unsafe fn round(value: Self::V) -> Self::V;
    /// `value * 2^exponent` for a whole `exponent <= 0` and `0.5 <= value <= 2`. A result under
    /// the least normal number may come out as any number below `2^-124`.
    unsafe fn scale_by_pow2(value: Self::V, exponent: Self::V) -> Self::V;
    /// `x > y ? a : b` in each lane.
    unsafe fn select_gt(x: Self::V, y: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Whether `x > y` in any lane.
    unsafe fn any_gt(x: Self::V, y: Self::V) -> bool;
    /// 0, 1, 2, ... in the lanes.
    unsafe fn lane_index() -> Self::V;
    unsafe fn max_lanes(value: Self::V) -> f32;
    unsafe fn sum_lanes(value: Self::V) -> f32;
    unsafe fn load_bf16(from: *const half::bf16) -> Self::V;
    unsafe fn load_f16(from: *const half::f16) -> Self::V;
    /// Rounds to nearest even.
    unsafe fn store_bf16(to: *mut half::bf16, value: Self::V);
    /// Rounds to nearest even.
    unsafe fn store_f16(to: *mut half::f16, value: Self::V);
    /// Two vectors of non-negative finite numbers, rounded to bf16 (to nearest, ties upward),
    /// interleaved: lane `i` holds `low[i]` in its lower half and `high[i]` in its upper half.
    unsafe fn bf16_pairs(low: Self::V, high: Self::V) -> Self::V;
    /// Transposes the square block of the first [`Simd::LANES`] vectors in place.
    unsafe fn transpose(block: &mut [Self::V; MAX_LANES]);
    /// Asks for a cache line in the first-level (`near`) or second-level cache. Any address will do.
    unsafe fn prefetch(address: *const u8, near: bool);
}
