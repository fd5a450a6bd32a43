//! Products of matrices in float64, which is what most references come down to.

use pulp::{Arch, Simd, WithSimd};

/// Rows of a register tile.
pub(crate) const TILE_ROWS: usize = 6;
/// Vectors of a row of a register tile: with six rows, as many sums as every instruction set has
/// registers for, and more than a multiply-add takes cycles.
const TILE_VECTORS: usize = 2;
/// Rows of the right factor are padded to multiples of so many columns: the longest two vectors.
pub(crate) const TILE_COLUMNS: usize = 16;

/// Adds the product of `a` and `b` to `c`, over the first `columns` columns rounded up to whole
/// tiles. Rows of `a` are `a_stride` apart and `depth` long; `b` has `depth` rows, and those of `b`
/// and `c` are `stride` long, a multiple of [`TILE_COLUMNS`]. `c` has as many rows as `a`.
pub(crate) fn multiply(
    a: &[f64],
    [a_stride, depth]: [usize; 2],
    b: &[f64],
    stride: usize,
    columns: usize,
    c: &mut [f64],
) {
    let columns = columns.next_multiple_of(TILE_COLUMNS).min(stride);
    Arch::new().dispatch(Multiply {
        a,
        a_stride,
        depth,
        b,
        stride,
        columns,
        c,
    });
}

struct Multiply<'a> {
    a: &'a [f64],
    a_stride: usize,
    depth: usize,
    b: &'a [f64],
    stride: usize,
    columns: usize,
    c: &'a mut [f64],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = TILE_VECTORS * S::F64_LANES;
        let tiles = self.a.chunks(TILE_ROWS * self.a_stride);
        for (a, c) in tiles.zip(self.c.chunks_mut(TILE_ROWS * self.stride)) {
            let rows = a.len().div_ceil(self.a_stride.max(1));
            // A tile with fewer rows computes its last one several times over.
            let rows: [&[f64]; TILE_ROWS] = std::array::from_fn(|row| {
                let start = row.min(rows.saturating_sub(1)) * self.a_stride;
                &a[start..start + self.depth]
            });
            for column in (0..self.columns).step_by(width) {
                let mut sums = [[simd.splat_f64s(0.0); TILE_VECTORS]; TILE_ROWS];
                for (k, b) in self.b.chunks(self.stride).take(self.depth).enumerate() {
                    let (b, _) = S::as_simd_f64s(&b[column..column + width]);
                    for (sums, row) in sums.iter_mut().zip(rows) {
                        let factor = simd.splat_f64s(row[k]);
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = simd.mul_add_e_f64s(factor, *b, *sum);
                        }
                    }
                }
                for (sums, c) in sums.iter().zip(c.chunks_mut(self.stride)) {
                    let (c, _) = S::as_mut_simd_f64s(&mut c[column..column + width]);
                    for (c, sum) in c.iter_mut().zip(sums) {
                        *c = simd.add_f64s(*c, *sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_product(
            rows in 1usize..10,
            depth in 1usize..12,
            columns in 1usize..70,
            pad in 0usize..3,
        ) {
            // Small whole numbers: every order of summing is exact.
            let (a_stride, stride) = (depth + pad, columns.next_multiple_of(TILE_COLUMNS));
            let number = |index: usize, modulus: usize| (index * 7 % modulus) as f64 - 3.0;
            let a: Vec<f64> = (0..rows * a_stride).map(|index| number(index, 11)).collect();
            let b: Vec<f64> = (0..depth * stride).map(|index| number(index, 13)).collect();
            let mut c = vec![1.0; rows * stride];
            multiply(&a, [a_stride, depth], &b, stride, columns, &mut c);
            for row in 0..rows {
                for column in 0..columns {
                    let sum: f64 = (0..depth)
                        .map(|k| a[row * a_stride + k] * b[k * stride + column])
                        .sum();
                    prop_assert_eq!(c[row * stride + column], sum + 1.0);
                }
            }
        }
    }
}
