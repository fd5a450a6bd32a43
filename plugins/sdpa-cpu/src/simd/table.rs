//! Function pointers: every kernel for every instruction set, chosen at load.

use super::pack::{PackColumns, PackPanels, PackRows, PackTransposed, StoreRows, StoreTransposed};
use super::softmax::{RowSoftmax, ScaleRows, TileSoftmax};
use super::{Elem, ExpKind, Gemm, Isa};

/// A product, see [`Gemm`].
pub(crate) type GemmFn = unsafe fn(&Gemm);
/// A softmax step, see [`TileSoftmax`].
pub(crate) type TileSoftmaxFn = unsafe fn(&TileSoftmax) -> bool;
/// A softmax step, see [`RowSoftmax`].
pub(crate) type RowSoftmaxFn = unsafe fn(&RowSoftmax);

/// Compiles the generic kernels for one instruction set.
macro_rules! compile {
    ($module:ident, $simd:path $(, $features:literal)?) => {
        mod $module {
            use super::*;
            type S = $simd;

            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn gemm<const MR: usize, const NV: usize, const UNIT: bool>(job: &Gemm) {
                // SAFETY: the caller promises the instruction set and valid pointers.
                unsafe { job.run::<S, MR, NV, UNIT>() }
            }

            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn tile_softmax<const KIND: u8, const PAIRS: bool>(job: &TileSoftmax) -> bool {
                // SAFETY: the caller promises the instruction set and valid pointers.
                unsafe { job.run::<S, KIND, PAIRS>() }
            }

            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn row_softmax<const KIND: u8>(job: &RowSoftmax) {
                // SAFETY: the caller promises the instruction set and valid pointers.
                unsafe { job.run::<S, KIND>() }
            }

            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn scale_rows(job: &ScaleRows) {
                // SAFETY: the caller promises the instruction set and valid pointers.
                unsafe { job.run::<S>() }
            }

            compile!(@pack pack_rows PackRows $($features)?);
            compile!(@pack pack_transposed PackTransposed $($features)?);
            compile!(@pack pack_panels PackPanels $($features)?);
            compile!(@pack store_transposed StoreTransposed $($features)?);
            compile!(@pack store_rows StoreRows $($features)?);

            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn pack_columns<T: Elem, const PAIRS: bool>(job: &PackColumns<T>) {
                // SAFETY: the caller promises the instruction set and valid pointers.
                unsafe { job.run::<S, PAIRS>() }
            }
        }
    };
    (@pack $name:ident $job:ident $($features:literal)?) => {
        $(#[target_feature(enable = $features)])?
        pub(super) unsafe fn $name<T: Elem>(job: &$job<T>) {
            // SAFETY: the caller promises the instruction set and valid pointers.
            unsafe { job.run::<S>() }
        }
    };
}

compile!(portable, crate::simd::portable::Portable);
#[cfg(target_arch = "x86_64")]
compile!(avx2, crate::simd::avx2::Avx2, "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
compile!(
    avx512,
    crate::simd::avx512::Avx512,
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
);

/// The dot-product instruction set shares everything but the product.
#[cfg(target_arch = "x86_64")]
mod avx512_bf16 {
    use super::Gemm;
    use crate::simd::avx512::Avx512Bf16;

    #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub(super) unsafe fn gemm<const MR: usize, const NV: usize, const UNIT: bool>(job: &Gemm) {
        // SAFETY: the caller promises the instruction set and valid pointers.
        unsafe { job.run::<Avx512Bf16, MR, NV, UNIT>() }
    }
}

/// Picks a function of the module of an instruction set.
macro_rules! pick {
    ($isa:expr, $($function:tt)+) => {
        match $isa {
            Isa::Portable => portable::$($function)+,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::$($function)+,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => avx512::$($function)+,
            #[cfg(not(target_arch = "x86_64"))]
            _ => portable::$($function)+,
        }
    };
}

/// Whether a register tile of this shape is compiled for the instruction set: those that leave
/// the accumulators, the vectors of `B` and one broadcast in registers.
pub(crate) fn micro_shape_exists(isa: Isa, rows: usize, vecs: usize) -> bool {
    use super::gemm::{MICRO_ROWS, MICRO_VECS};
    MICRO_ROWS.contains(&rows) && MICRO_VECS.contains(&vecs) && rows * vecs + vecs < isa.registers()
}

/// Lists the register tiles of an instruction set.
macro_rules! shapes {
    ($module:ident, $unit:literal, $rows:expr, $vecs:expr, [$(($mr:literal, $nv:literal)),* $(,)?]) => {
        match ($rows, $vecs) {
            $(($mr, $nv) => Some($module::gemm::<$mr, $nv, $unit> as GemmFn),)*
            _ => None,
        }
    };
}

macro_rules! small_shapes {
    ($module:ident, $unit:literal, $rows:expr, $vecs:expr) => {
        shapes!(
            $module,
            $unit,
            $rows,
            $vecs,
            [(4, 1), (6, 1), (8, 1), (12, 1), (4, 2), (6, 2), (4, 3)]
        )
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! large_shapes {
    ($module:ident, $unit:literal, $rows:expr, $vecs:expr) => {
        shapes!(
            $module,
            $unit,
            $rows,
            $vecs,
            [
                (4, 1),
                (6, 1),
                (8, 1),
                (12, 1),
                (16, 1),
                (24, 1),
                (4, 2),
                (6, 2),
                (8, 2),
                (12, 2),
                (4, 3),
                (6, 3),
                (8, 3),
                (4, 4),
                (6, 4),
            ]
        )
    };
}

/// The product for a register tile; `depth_unit` as in [`Gemm::run`]. `None` where
/// [`micro_shape_exists`] is false.
pub(crate) fn gemm(isa: Isa, rows: usize, vecs: usize, depth_unit: bool) -> Option<GemmFn> {
    match (isa, depth_unit) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, false) => small_shapes!(avx2, false, rows, vecs),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, true) => small_shapes!(avx2, true, rows, vecs),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, false) => large_shapes!(avx512, false, rows, vecs),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, true) => large_shapes!(avx512, true, rows, vecs),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, false) => large_shapes!(avx512_bf16, false, rows, vecs),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, true) => large_shapes!(avx512_bf16, true, rows, vecs),
        (_, false) => small_shapes!(portable, false, rows, vecs),
        (_, true) => small_shapes!(portable, true, rows, vecs),
    }
}

/// The softmax step on transposed scores; with `pairs` it leaves bf16 pairs.
pub(crate) fn tile_softmax(isa: Isa, exp: ExpKind, pairs: bool) -> TileSoftmaxFn {
    match (exp, pairs) {
        (ExpKind::Exact, false) => pick!(isa, tile_softmax::<0, false>),
        (ExpKind::Poly5, false) => pick!(isa, tile_softmax::<5, false>),
        (ExpKind::Poly4, false) => pick!(isa, tile_softmax::<4, false>),
        (ExpKind::Poly3, false) => pick!(isa, tile_softmax::<3, false>),
        (ExpKind::Poly2, false) => pick!(isa, tile_softmax::<2, false>),
        (ExpKind::Exact, true) => pick!(isa, tile_softmax::<0, true>),
        (ExpKind::Poly5, true) => pick!(isa, tile_softmax::<5, true>),
        (ExpKind::Poly4, true) => pick!(isa, tile_softmax::<4, true>),
        (ExpKind::Poly3, true) => pick!(isa, tile_softmax::<3, true>),
        (ExpKind::Poly2, true) => pick!(isa, tile_softmax::<2, true>),
    }
}

/// The softmax step of the baselines, on scores with keys along the lanes.
pub(crate) fn row_softmax(isa: Isa) -> RowSoftmaxFn {
    pick!(isa, row_softmax::<5>)
}

pub(crate) fn scale_rows(isa: Isa) -> unsafe fn(&ScaleRows) {
    pick!(isa, scale_rows)
}

pub(crate) fn pack_rows<T: Elem>(isa: Isa) -> unsafe fn(&PackRows<T>) {
    pick!(isa, pack_rows::<T>)
}

pub(crate) fn pack_transposed<T: Elem>(isa: Isa) -> unsafe fn(&PackTransposed<T>) {
    pick!(isa, pack_transposed::<T>)
}

pub(crate) fn pack_panels<T: Elem>(isa: Isa) -> unsafe fn(&PackPanels<T>) {
    pick!(isa, pack_panels::<T>)
}

pub(crate) fn pack_columns<T: Elem>(isa: Isa, pairs: bool) -> unsafe fn(&PackColumns<T>) {
    if pairs {
        pick!(isa, pack_columns::<T, true>)
    } else {
        pick!(isa, pack_columns::<T, false>)
    }
}

pub(crate) fn store_transposed<T: Elem>(isa: Isa) -> unsafe fn(&StoreTransposed<T>) {
    pick!(isa, store_transposed::<T>)
}

pub(crate) fn store_rows<T: Elem>(isa: Isa) -> unsafe fn(&StoreRows<T>) {
    pick!(isa, store_rows::<T>)
}
