//! Storage types: how elements of a tensor become `f32` lanes and back.

use half::{bf16, f16};

use super::{MAX_LANES, Simd};

/// An element type of the tensors.
///
/// # Safety
/// The vector methods ask of their caller what [`Simd`] asks.
pub(crate) unsafe trait Elem: Copy + Send + Sync + 'static {
    const ZERO: Self;

    unsafe fn load<S: Simd>(from: *const Self) -> S::V;
    unsafe fn store<S: Simd>(to: *mut Self, value: S::V);

    /// Loads `count < LANES` elements and nothing beyond; the other lanes are zero.
    #[inline(always)]
    unsafe fn load_part<S: Simd>(from: *const Self, count: usize) -> S::V {
        let mut whole = [Self::ZERO; MAX_LANES];
        // SAFETY: the caller promises `count` readable elements; `whole` has room for any vector.
        unsafe {
            std::ptr::copy_nonoverlapping(from, whole.as_mut_ptr(), count.min(MAX_LANES));
            Self::load::<S>(whole.as_ptr())
        }
    }

    /// Stores the first `count < LANES` lanes and nothing beyond.
    #[inline(always)]
    unsafe fn store_part<S: Simd>(to: *mut Self, value: S::V, count: usize) {
        let mut whole = [Self::ZERO; MAX_LANES];
        // SAFETY: the caller promises `count` writable elements; `whole` has room for any vector.
        unsafe {
            Self::store::<S>(whole.as_mut_ptr(), value);
            std::ptr::copy_nonoverlapping(whole.as_ptr(), to, count.min(MAX_LANES));
        }
    }
}

macro_rules! elem {
    ($ty:ty, $zero:expr, $load:ident, $store:ident, {$($more:tt)*}) => {
        // SAFETY: forwards to the methods of `Simd` for this type.
        unsafe impl Elem for $ty {
            const ZERO: Self = $zero;

            #[inline(always)]
            unsafe fn load<S: Simd>(from: *const Self) -> S::V {
                // SAFETY: the caller's promise is the one that `Simd` asks for.
                unsafe { S::$load(from) }
            }

            #[inline(always)]
            unsafe fn store<S: Simd>(to: *mut Self, value: S::V) {
                // SAFETY: the caller's promise is the one that `Simd` asks for.
                unsafe { S::$store(to, value) }
            }

            $($more)*
        }
    };
}

elem!(f32, 0.0, load, store, {
    #[inline(always)]
    unsafe fn load_part<S: Simd>(from: *const Self, count: usize) -> S::V {
        // SAFETY: the caller's promise is the one that `Simd` asks for.
        unsafe { S::load_part(from, count) }
    }

    #[inline(always)]
    unsafe fn store_part<S: Simd>(to: *mut Self, value: S::V, count: usize) {
        // SAFETY: the caller's promise is the one that `Simd` asks for.
        unsafe { S::store_part(to, value, count) }
    }
});
elem!(bf16, bf16::ZERO, load_bf16, store_bf16, {});
elem!(f16, f16::ZERO, load_f16, store_f16, {});
