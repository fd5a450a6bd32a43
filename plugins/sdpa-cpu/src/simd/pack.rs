//! Changes of layout: from tensors to what the micro-kernels read, and back.
//!
//! A store of a whole vector may run over the end of a short panel row as long as a later store
//! overwrites the excess; the last stores of a panel are cut to size.

use super::{Elem, MAX_LANES, Simd};

/// Converts rows: `to[row][..width] = scale * from[row][..columns]`, padded with zeros.
#[derive(Clone, Copy)]
pub(crate) struct PackRows<T> {
    pub(crate) from: *const T,
    pub(crate) from_stride: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) to: *mut f32,
    /// Distance between rows of the result; columns up to it become zero.
    pub(crate) to_stride: usize,
    pub(crate) scale: f32,
}

/// Transposes rows into lanes: `to[column][row] = scale * from[row][column]`; missing rows are zero.
#[derive(Clone, Copy)]
pub(crate) struct PackTransposed<T> {
    pub(crate) from: *const T,
    pub(crate) from_stride: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) to: *mut f32,
    /// Room for rows in the result: a multiple of the lanes, not less than `rows`.
    pub(crate) width: usize,
    pub(crate) scale: f32,
}

/// Packs rows into panels, the depth slowest: `to[panel][column][row in panel]`.
#[derive(Clone, Copy)]
pub(crate) struct PackPanels<T> {
    pub(crate) from: *const T,
    pub(crate) from_stride: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) to: *mut f32,
    pub(crate) panel: usize,
}

/// Packs columns into panels: `to[panel][row][column in panel]`. With pairs, a row of the result
/// is a row of bf16 in the lower halves and the next one in the upper halves.
#[derive(Clone, Copy)]
pub(crate) struct PackColumns<T> {
    pub(crate) from: *const T,
    pub(crate) from_stride: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) to: *mut f32,
    pub(crate) panel: usize,
}

/// Stores transposed results: `to[row][column] = from[column][row] / sum[row]`.
#[derive(Clone, Copy)]
pub(crate) struct StoreTransposed<T> {
    pub(crate) from: *const f32,
    /// Distance between rows of `from`: a multiple of the lanes.
    pub(crate) width: usize,
    pub(crate) sum: *const f32,
    pub(crate) to: *mut T,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Converts rows of results: `to[row][..columns] = from[row][..columns] / sum[row]`.
#[derive(Clone, Copy)]
pub(crate) struct StoreRows<T> {
    pub(crate) from: *const f32,
    pub(crate) from_stride: usize,
    pub(crate) sum: *const f32,
    pub(crate) to: *mut T,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Loads up to a vector of elements.
#[inline(always)]
unsafe fn load<S: Simd, T: Elem>(from: *const T, count: usize) -> S::V {
    // SAFETY: the caller promises `count` elements.
    unsafe {
        if count >= S::LANES {
            T::load::<S>(from)
        } else {
            T::load_part::<S>(from, count)
        }
    }
}

/// Stores up to a vector of elements.
#[inline(always)]
unsafe fn store<S: Simd, T: Elem>(to: *mut T, value: S::V, count: usize) {
    // SAFETY: the caller promises room for `count` elements.
    unsafe {
        if count >= S::LANES {
            T::store::<S>(to, value);
        } else {
            T::store_part::<S>(to, value, count);
        }
    }
}

impl<T: Elem> PackRows<T> {
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(&self) {
        for row in 0..self.rows {
            // SAFETY: `row` and the columns are inside the caller's matrices.
            unsafe {
                let from = self.from.add(row * self.from_stride);
                let to = self.to.add(row * self.to_stride);
                for at in (0..self.to_stride).step_by(S::LANES) {
                    let count = self.columns.saturating_sub(at);
                    let value = if count == 0 {
                        S::zero()
                    } else {
                        load::<S, T>(from.add(at), count)
                    };
                    let value = S::mul(value, S::splat(self.scale));
                    store::<S, f32>(to.add(at), value, self.to_stride - at);
                }
            }
        }
    }
}

impl<T: Elem> PackTransposed<T> {
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(&self) {
        // Only a real scale is multiplied by: the elements may be bit patterns.
        let scaled = self.scale != 1.0;
        for first in (0..self.width).step_by(S::LANES) {
            for column in (0..self.columns).step_by(S::LANES) {
                let count = self.columns - column;
                // SAFETY: rows and columns are inside the caller's matrices.
                unsafe {
                    let mut block = [S::zero(); MAX_LANES];
                    for (i, row) in (first..self.rows).take(S::LANES).enumerate() {
                        let from = self.from.add(row * self.from_stride + column);
                        block[i] = load::<S, T>(from, count);
                        if scaled {
                            block[i] = S::mul(block[i], S::splat(self.scale));
                        }
                    }
                    S::transpose(&mut block);
                    for (i, value) in block.iter().take(count.min(S::LANES)).enumerate() {
                        S::store(self.to.add((column + i) * self.width + first), *value);
                    }
                }
            }
        }
    }
}

impl<T: Elem> PackPanels<T> {
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(&self) {
        let panel_size = self.panel * self.columns;
        for (index, first) in (0..self.rows).step_by(self.panel).enumerate() {
            // SAFETY: the panel is inside `to`.
            let to = unsafe { self.to.add(index * panel_size) };
            for column in (0..self.columns).step_by(S::LANES) {
                // The later rows first: what they write too much, the earlier rows overwrite.
                let parts = self.panel.div_ceil(S::LANES);
                for part in (0..parts).rev() {
                    let lane = part * S::LANES;
                    // SAFETY: rows and columns are inside the caller's matrices, and `room` is
                    // what is left of the panel.
                    unsafe {
                        let mut block = self.block::<S>(first, lane, column);
                        S::transpose(&mut block);
                        let count = (self.columns - column).min(S::LANES);
                        for (i, value) in block.iter().take(count).enumerate() {
                            let at = (column + i) * self.panel + lane;
                            store::<S, f32>(to.add(at), *value, panel_size - at);
                        }
                    }
                }
            }
        }
    }

    /// The rows of a panel from `lane` on, as far as a vector reaches.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, first: usize, lane: usize, column: usize) -> [S::V; MAX_LANES] {
        // SAFETY: rows and columns are inside the caller's matrix.
        unsafe {
            let mut block = [S::zero(); MAX_LANES];
            let end = self.rows.min(first + self.panel);
            for (i, row) in (first + lane..end).take(S::LANES).enumerate() {
                let from = self.from.add(row * self.from_stride + column);
                block[i] = load::<S, T>(from, self.columns - column);
            }
            block
        }
    }
}

impl<T: Elem> PackColumns<T> {
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd, const PAIRS: bool>(&self) {
        let rows = if PAIRS {
            self.rows.div_ceil(2)
        } else {
            self.rows
        };
        let panel_size = self.panel * rows;
        for (index, first) in (0..self.columns).step_by(self.panel).enumerate() {
            // SAFETY: the panel is inside `to`.
            let to = unsafe { self.to.add(index * panel_size) };
            for row in 0..rows {
                for lane in (0..self.panel).step_by(S::LANES) {
                    // SAFETY: rows and columns are inside the caller's matrices, and what is
                    // stored is cut to the panel.
                    unsafe {
                        let value = self.vector::<S, PAIRS>(row, first + lane);
                        let at = row * self.panel + lane;
                        store::<S, f32>(to.add(at), value, panel_size - at);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn vector<S: Simd, const PAIRS: bool>(&self, row: usize, column: usize) -> S::V {
        // SAFETY: only existing rows and columns are read.
        unsafe {
            if column >= self.columns {
                return S::zero();
            }
            let count = self.columns - column;
            let from = self.from.add(column);
            if !PAIRS {
                return load::<S, T>(from.add(row * self.from_stride), count);
            }
            let from = from.add(2 * row * self.from_stride);
            let low = load::<S, T>(from, count);
            let has_high = 2 * row + 1 < self.rows;
            let high = if has_high {
                load::<S, T>(from.add(self.from_stride), count)
            } else {
                S::zero()
            };
            S::bf16_pairs(low, high)
        }
    }
}

impl<T: Elem> StoreTransposed<T> {
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(&self) {
        for first in (0..self.rows).step_by(S::LANES) {
            for column in (0..self.columns).step_by(S::LANES) {
                // SAFETY: rows and columns are inside the caller's matrices.
                unsafe {
                    let inverse = S::div(S::splat(1.0), S::load(self.sum.add(first)));
                    let count = self.columns - column;
                    let mut block = [S::zero(); MAX_LANES];
                    for (i, value) in block.iter_mut().take(count.min(S::LANES)).enumerate() {
                        let from = self.from.add((column + i) * self.width + first);
                        *value = S::mul(S::load(from), inverse);
                    }
                    S::transpose(&mut block);
                    for (i, row) in (first..self.rows).take(S::LANES).enumerate() {
                        store::<S, T>(self.to.add(row * self.columns + column), block[i], count);
                    }
                }
            }
        }
    }
}

impl<T: Elem> StoreRows<T> {
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents, and rows of `from` must have room
    /// for a whole number of vectors.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(&self) {
        for row in 0..self.rows {
            // SAFETY: the row is inside the caller's matrices.
            unsafe {
                let inverse = S::splat(1.0 / *self.sum.add(row));
                for column in (0..self.columns).step_by(S::LANES) {
                    let from = self.from.add(row * self.from_stride + column);
                    let value = S::mul(S::load(from), inverse);
                    let to = self.to.add(row * self.columns + column);
                    store::<S, T>(to, value, self.columns - column);
                }
            }
        }
    }
}
