//! Softmax over blocks of scores, in both orientations.

use super::exp::exp;
use super::{MASKED, Simd};

/// One step of the online softmax on a block of transposed scores: keys along the rows, queries
/// along the lanes, so that nothing has to be reduced across lanes.
///
/// Maxima are kept multiplied by `factor` and rounded: the same rounded number is subtracted
/// everywhere, so that its error cancels in the quotient.
#[derive(Clone, Copy)]
pub(crate) struct TileSoftmax {
    /// Scores, replaced by their exponentials (or by bf16 pairs of those of two keys, in the
    /// first half of the rows).
    pub(crate) scores: *mut f32,
    pub(crate) keys: usize,
    /// Vectors of queries.
    pub(crate) vecs: usize,
    /// Number of leading keys that every query may see.
    pub(crate) unmasked: usize,
    /// The first query that sees key 0 of this block: key `k` is seen from query `first_seer + k`.
    pub(crate) first_seer: f32,
    /// Running maxima times `factor`, one for each query.
    pub(crate) max: *mut f32,
    /// Running sums.
    pub(crate) sum: *mut f32,
    /// Receives the factors by which older sums and outputs shrink.
    pub(crate) shrink: *mut f32,
    /// What a score is multiplied by before the exponential.
    pub(crate) factor: f32,
    /// A maximum moves only when it grows by more than this.
    pub(crate) threshold: f32,
}

impl TileSoftmax {
    /// Returns whether any maximum moved.
    ///
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd, const KIND: u8, const PAIRS: bool>(&self) -> bool {
        let width = self.vecs * S::LANES;
        let mut moved = false;
        for vec in 0..self.vecs {
            let lane = vec * S::LANES;
            // SAFETY: column `lane` of every row is inside the block; the statistics have `width`
            // elements.
            unsafe {
                let column = self.scores.add(lane);
                self.mask::<S>(column, width, lane);
                let factor = S::splat(self.factor);
                let block_max = S::mul(column_max::<S>(column, width, self.keys), factor);
                let old = S::load(self.max.add(lane));
                let bar = S::add(old, S::splat(self.threshold));
                moved |= S::any_gt(block_max, bar);
                let new = S::select_gt(block_max, bar, block_max, old);
                S::store(self.max.add(lane), new);
                let shrink = exp::<S, KIND>(S::sub(old, new));
                S::store(self.shrink.add(lane), shrink);
                // A query that has seen no key yet: subtracting its maximum from masked scores would
                // leave the rounding error of a huge number instead of something hugely negative.
                let unset = S::splat(0.5 * MASKED * self.factor);
                let base = S::select_gt(new, unset, new, S::zero());
                let total = self.exponentials::<S, KIND, PAIRS>(column, width, factor, base);
                let sum = S::mul_add(S::load(self.sum.add(lane)), shrink, total);
                S::store(self.sum.add(lane), sum);
            }
        }
        moved
    }

    #[inline(always)]
    unsafe fn mask<S: Simd>(&self, column: *mut f32, width: usize, lane: usize) {
        for key in self.unmasked..self.keys {
            // SAFETY: `key` is inside the block.
            unsafe {
                let at = column.add(key * width);
                // Seen where lane index + lane >= first_seer + key.
                let bar = S::splat(self.first_seer + key as f32 - lane as f32);
                let masked = S::splat(MASKED);
                S::store(at, S::select_gt(bar, S::lane_index(), masked, S::load(at)));
            }
        }
    }

    #[inline(always)]
    unsafe fn exponentials<S: Simd, const KIND: u8, const PAIRS: bool>(
        &self,
        column: *mut f32,
        width: usize,
        factor: S::V,
        max: S::V,
    ) -> S::V {
        // SAFETY: `key` is inside the block; a pair is written no later than it is read.
        unsafe {
            let negated = S::sub(S::zero(), max);
            let (mut even, mut odd) = (S::zero(), S::zero());
            for pair in 0..self.keys / 2 {
                let from = column.add(2 * pair * width);
                let low = exponential::<S, KIND>(from, factor, negated);
                let high = exponential::<S, KIND>(from.add(width), factor, negated);
                even = S::add(even, low);
                odd = S::add(odd, high);
                if PAIRS {
                    S::store(column.add(pair * width), S::bf16_pairs(low, high));
                } else {
                    S::store(from, low);
                    S::store(from.add(width), high);
                }
            }
            if self.keys % 2 == 1 {
                let from = column.add((self.keys - 1) * width);
                let last = exponential::<S, KIND>(from, factor, negated);
                even = S::add(even, last);
                if PAIRS {
                    S::store(
                        column.add(self.keys / 2 * width),
                        S::bf16_pairs(last, S::zero()),
                    );
                } else {
                    S::store(from, last);
                }
            }
            S::add(even, odd)
        }
    }
}

/// The exponential of a vector of scores. A function, because the compiler does not inline a
/// closure into a function with other target features.
#[inline(always)]
unsafe fn exponential<S: Simd, const KIND: u8>(
    from: *const f32,
    factor: S::V,
    negated: S::V,
) -> S::V {
    // SAFETY: the caller promises a vector of scores.
    unsafe { exp::<S, KIND>(S::mul_add(S::load(from), factor, negated)) }
}

/// The maximum of each lane over the rows of a block.
#[inline(always)]
unsafe fn column_max<S: Simd>(column: *const f32, width: usize, keys: usize) -> S::V {
    // SAFETY: the caller promises `keys` rows of `width`.
    unsafe {
        let mut best = [S::splat(MASKED); 4];
        let mut key = 0;
        while key + 4 <= keys {
            for (i, best) in best.iter_mut().enumerate() {
                *best = S::max(*best, S::load(column.add((key + i) * width)));
            }
            key += 4;
        }
        while key < keys {
            best[0] = S::max(best[0], S::load(column.add(key * width)));
            key += 1;
        }
        S::max(S::max(best[0], best[1]), S::max(best[2], best[3]))
    }
}

/// One step of the online softmax on a block of scores with queries along the rows and keys along
/// the lanes. Rows have room for a whole number of vectors.
#[derive(Clone, Copy)]
pub(crate) struct RowSoftmax {
    /// Scores, replaced by their exponentials; masked ones and the padding by zeros.
    pub(crate) scores: *mut f32,
    pub(crate) rows: usize,
    pub(crate) stride: usize,
    pub(crate) keys: usize,
    /// Keys that the first row sees, less one for each row before it; each later row sees one
    /// more, up to `keys`.
    pub(crate) seen: i64,
    /// Running maxima times `factor`, running sums, and where the factors by which older sums
    /// and outputs shrink go: one for each row.
    pub(crate) max: *mut f32,
    pub(crate) sum: *mut f32,
    pub(crate) shrink: *mut f32,
    pub(crate) factor: f32,
}

impl RowSoftmax {
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd, const KIND: u8>(&self) {
        let padded = self.keys.next_multiple_of(S::LANES);
        for row in 0..self.rows {
            let seen = usize::try_from(self.seen.saturating_add(row as i64)).unwrap_or(0);
            let seen = seen.min(self.keys);
            // SAFETY: the row and its statistics are inside the caller's buffers.
            unsafe {
                let scores = self.scores.add(row * self.stride);
                for key in seen..padded {
                    *scores.add(key) = MASKED;
                }
                let mut best = S::splat(MASKED);
                for at in (0..seen).step_by(S::LANES) {
                    best = S::max(best, S::load(scores.add(at)));
                }
                let old = *self.max.add(row);
                let new = old.max(S::max_lanes(best) * self.factor);
                let (factor, negated) = (S::splat(self.factor), S::splat(-new));
                let mut total = S::zero();
                for at in (0..padded).step_by(S::LANES) {
                    if at >= seen {
                        S::store(scores.add(at), S::zero());
                        continue;
                    }
                    let score = S::load(scores.add(at));
                    let value = exp::<S, KIND>(S::mul_add(score, factor, negated));
                    total = S::add(total, value);
                    S::store(scores.add(at), value);
                }
                let shrink = S::max_lanes(exp::<S, KIND>(S::splat(old - new)));
                *self.max.add(row) = new;
                *self.shrink.add(row) = shrink;
                *self.sum.add(row) = *self.sum.add(row) * shrink + S::sum_lanes(total);
            }
        }
    }
}

/// Multiplies each row of a matrix by its own factor.
#[derive(Clone, Copy)]
pub(crate) struct ScaleRows {
    pub(crate) data: *mut f32,
    pub(crate) rows: usize,
    pub(crate) stride: usize,
    /// A multiple of the lanes.
    pub(crate) width: usize,
    pub(crate) factors: *const f32,
}

impl ScaleRows {
    /// # Safety
    /// As [`Simd`]; the pointers must be valid for the extents.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(&self) {
        for row in 0..self.rows {
            // SAFETY: the row is inside the caller's matrix.
            unsafe {
                let data = self.data.add(row * self.stride);
                let factor = S::splat(*self.factors.add(row));
                for at in (0..self.width).step_by(S::LANES) {
                    S::store(data.add(at), S::mul(S::load(data.add(at)), factor));
                }
            }
        }
    }
}
