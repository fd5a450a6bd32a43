//! The one matrix-product kernel: `C = start(C) + A B` for a column strip of `C`.
//!
//! A tile of `MR` rows by `NV` vectors of `C` stays in registers while the kernel walks along the
//! depth: each step loads `NV` vectors of `B` and multiplies them by `MR` broadcast elements of
//! `A`. Who is `A` and who is `B` decides which matrix lies along the lanes; see the callers.

use super::Simd;

/// Rows of the register tiles that kernels are compiled for.
pub(crate) const MICRO_ROWS: [usize; 6] = [4, 6, 8, 12, 16, 24];

/// Widths of the register tiles in vectors.
pub(crate) const MICRO_VECS: [usize; 4] = [1, 2, 3, 4];

/// What becomes of the old `C`.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    /// It is overwritten.
    Zero,
    /// The product is added to it.
    Keep,
    /// It is multiplied, column by column, by these factors first.
    Scale(*const f32),
}

/// One product. Strides count elements.
#[derive(Clone, Copy)]
pub(crate) struct Gemm {
    /// Rows of `A` and `C`.
    pub(crate) rows: usize,
    /// Columns of `A` and rows of `B`.
    pub(crate) depth: usize,
    /// `A`, in panels of `MR` rows.
    pub(crate) a: *const f32,
    /// From one panel to the next.
    pub(crate) a_panel: usize,
    /// Along the rows where elements of a row lie side by side, else along the depth.
    pub(crate) a_stride: usize,
    /// Whether the last panel is padded to `MR` rows, and `C` with it.
    pub(crate) padded: bool,
    /// `B`, whose rows have `NV` vectors.
    pub(crate) b: *const f32,
    pub(crate) b_stride: usize,
    /// `C`, whose rows have `NV` vectors.
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
    pub(crate) start: Start,
    /// Memory that is wanted soon, spread over the tiles of this product.
    pub(crate) prefetch: Prefetch,
}

/// A range of memory to bring into a cache.
#[derive(Clone, Copy)]
pub(crate) struct Prefetch {
    pub(crate) from: *const u8,
    pub(crate) bytes: usize,
    /// Into the first-level cache rather than the second.
    pub(crate) near: bool,
}

impl Prefetch {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        from: std::ptr::null(),
        bytes: 0,
        near: false,
    };
}

const LINE: usize = 64;

impl Gemm {
    /// Computes the product with tiles of `MR` rows and `NV` vectors. `DEPTH_UNIT`: the elements
    /// of a row of `A` lie side by side; otherwise those of a column do.
    ///
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents and strides.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd, const MR: usize, const NV: usize, const DEPTH_UNIT: bool>(
        &self,
    ) {
        let whole = if self.padded {
            self.rows.div_ceil(MR)
        } else {
            self.rows / MR
        };
        let lines_per_tile = self.prefetch.bytes.div_ceil(LINE).div_ceil(whole.max(1));
        let mut ahead = self.prefetch.from;
        // SAFETY: panel `p` and rows `p * MR ..` of `C` are inside the caller's matrices;
        // prefetching has no requirement on its address.
        unsafe {
            for panel in 0..whole {
                for line in 0..lines_per_tile {
                    S::prefetch(ahead.wrapping_add(line * LINE), self.prefetch.near);
                }
                ahead = ahead.wrapping_add(lines_per_tile * LINE);
                let a = self.a.add(panel * self.a_panel);
                self.tile::<S, MR, NV, DEPTH_UNIT>(a, panel * MR);
            }
            if self.padded {
                return;
            }
            // The rest, in tiles of fewer rows.
            let mut row = whole * MR;
            let mut a = self.a.add(whole * self.a_panel);
            let step = if DEPTH_UNIT { self.a_stride } else { 1 };
            while self.rows - row >= 4 {
                self.tile::<S, 4, NV, DEPTH_UNIT>(a, row);
                a = a.add(4 * step);
                row += 4;
            }
            while row < self.rows {
                self.tile::<S, 1, NV, DEPTH_UNIT>(a, row);
                a = a.add(step);
                row += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const MR: usize, const NV: usize, const DEPTH_UNIT: bool>(
        &self,
        a: *const f32,
        row: usize,
    ) {
        // SAFETY: all offsets stay inside the matrices that the caller describes.
        unsafe {
            let c = self.c.add(row * self.c_stride);
            let mut acc = [[S::zero(); NV]; MR];
            let stride = self.a_stride;
            let mut b = self.b;
            let mut a = a;
            for _ in 0..self.depth {
                let mut columns = [S::zero(); NV];
                for (j, column) in columns.iter_mut().enumerate() {
                    *column = S::load(b.add(j * S::LANES));
                }
                for (i, sums) in acc.iter_mut().enumerate() {
                    let at = if DEPTH_UNIT {
                        a.add(i * stride)
                    } else {
                        a.add(i)
                    };
                    let factor = S::splat(at.read_unaligned());
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = S::mul_add(factor, column, *sum);
                    }
                }
                b = b.add(self.b_stride);
                a = if DEPTH_UNIT { a.add(1) } else { a.add(stride) };
            }
            for (i, sums) in acc.iter().enumerate() {
                for (j, sum) in sums.iter().enumerate() {
                    let to = c.add(i * self.c_stride + j * S::LANES);
                    let value = match self.start {
                        Start::Zero => *sum,
                        Start::Keep => S::add(S::load(to), *sum),
                        Start::Scale(factors) => {
                            let factor = S::load(factors.add(j * S::LANES));
                            S::add(S::mul(S::load(to), factor), *sum)
                        }
                    };
                    S::store(to, value);
                }
            }
        }
    }
}
