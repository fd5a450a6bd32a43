//! Arrays of eight lanes in plain Rust: correct everywhere, and as fast as the compiler makes it.

use super::{MAX_LANES, Simd};

/// No instruction set in particular.
#[derive(Clone, Copy)]
pub(super) struct Portable;

type Lanes = [f32; 8];

#[inline(always)]
fn map(value: Lanes, f: impl Fn(f32) -> f32) -> Lanes {
    std::array::from_fn(|lane| f(value[lane]))
}

#[inline(always)]
fn zip(a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

macro_rules! ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $ty),*) -> $out { $body }
    )*};
}

macro_rules! pointer_ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $ty),*) -> $out {
            // SAFETY: the caller promises pointers that are valid for eight elements.
            unsafe { $body }
        }
    )*};
}

// SAFETY: the methods do what the trait says in plain Rust.
unsafe impl Simd for Portable {
    type V = Lanes;
    const LANES: usize = 8;

    ops! {
        fn zero() -> Lanes = [0.0; 8];
        fn splat(value: f32) -> Lanes = [value; 8];
        // Not `f32::mul_add`: without the instruction that is a library call.
        fn mul_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes = zip(zip(a, b, |x, y| x * y), c, |x, y| x + y);
        fn add(a: Lanes, b: Lanes) -> Lanes = zip(a, b, |x, y| x + y);
        fn sub(a: Lanes, b: Lanes) -> Lanes = zip(a, b, |x, y| x - y);
        fn mul(a: Lanes, b: Lanes) -> Lanes = zip(a, b, |x, y| x * y);
        fn div(a: Lanes, b: Lanes) -> Lanes = zip(a, b, |x, y| x / y);
        fn max(a: Lanes, b: Lanes) -> Lanes = zip(a, b, |x, y| if x > y { x } else { y });
        fn round(value: Lanes) -> Lanes = map(value, |x| {
            // Adding 1.5 * 2^23 pushes the fraction out; beyond 2^22 there is none.
            const MAGIC: f32 = 12_582_912.0;
            if x.abs() < 4_194_304.0 { (x + MAGIC) - MAGIC } else { x }
        });
        fn scale_by_pow2(value: Lanes, exponent: Lanes) -> Lanes = zip(value, exponent, |x, n| {
            let shift = n.max(-125.0) as i32;
            f32::from_bits(x.to_bits().wrapping_add((shift << 23) as u32))
        });
        fn select_gt(x: Lanes, y: Lanes, a: Lanes, b: Lanes) -> Lanes =
            std::array::from_fn(|lane| if x[lane] > y[lane] { a[lane] } else { b[lane] });
        fn any_gt(x: Lanes, y: Lanes) -> bool = x.iter().zip(&y).any(|(x, y)| x > y);
        fn lane_index() -> Lanes = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        fn max_lanes(value: Lanes) -> f32 = value.into_iter().fold(value[0], |x, y| if y > x { y } else { x });
        fn sum_lanes(value: Lanes) -> f32 =
            ((value[0] + value[4]) + (value[2] + value[6])) + ((value[1] + value[5]) + (value[3] + value[7]));
        fn bf16_pairs(low: Lanes, high: Lanes) -> Lanes = zip(low, high, |low, high| {
            let low = low.to_bits().wrapping_add(0x8000) >> 16;
            f32::from_bits(low | (high.to_bits().wrapping_add(0x8000) & 0xffff_0000))
        });
        fn transpose(block: &mut [Lanes; MAX_LANES]) -> () = {
            let rows = *block;
            for (i, column) in block.iter_mut().take(8).enumerate() {
                *column = std::array::from_fn(|j| rows[j][i]);
            }
        };
        fn prefetch(_address: *const u8, _near: bool) -> () = ();
    }
    pointer_ops! {
        fn load(from: *const f32) -> Lanes = from.cast::<Lanes>().read_unaligned();
        fn store(to: *mut f32, value: Lanes) -> () = to.cast::<Lanes>().write_unaligned(value);
        fn load_part(from: *const f32, count: usize) -> Lanes = {
            let mut value = [0.0; 8];
            std::ptr::copy_nonoverlapping(from, value.as_mut_ptr(), count.min(8));
            value
        };
        fn store_part(to: *mut f32, value: Lanes, count: usize) -> () =
            std::ptr::copy_nonoverlapping(value.as_ptr(), to, count.min(8));
        fn load_bf16(from: *const half::bf16) -> Lanes =
            from.cast::<[half::bf16; 8]>().read_unaligned().map(half::bf16::to_f32);
        fn load_f16(from: *const half::f16) -> Lanes =
            from.cast::<[half::f16; 8]>().read_unaligned().map(half::f16::to_f32);
        fn store_bf16(to: *mut half::bf16, value: Lanes) -> () =
            to.cast::<[half::bf16; 8]>().write_unaligned(value.map(half::bf16::from_f32));
        fn store_f16(to: *mut half::f16, value: Lanes) -> () =
            to.cast::<[half::f16; 8]>().write_unaligned(value.map(half::f16::from_f32));
    }
}
