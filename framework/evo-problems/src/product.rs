//! Products of matrices in float64, which is what most references come down to.
//!
//! Plain loops over a register tile that the compiler vectorises, compiled once more for each
//! instruction set that helps.

use pulp::{Arch, NullaryFnOnce};

/// Rows of a register tile.
const TILE_ROWS: usize = 4;
/// Columns of a register tile. Rows of the right factor are padded to whole tiles.
pub(crate) const TILE_COLUMNS: usize = 32;

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
    let arch = Arch::new();
    let fused = has_fused(arch);
    let (a_tile, c_tile) = (TILE_ROWS * a_stride, TILE_ROWS * stride);
    for (a, c) in a.chunks(a_tile).zip(c.chunks_mut(c_tile)) {
        for column in (0..columns.min(stride)).step_by(TILE_COLUMNS) {
            arch.dispatch(Tile {
                fused,
                a,
                a_stride,
                depth,
                b: b.get(column..).unwrap_or_default(),
                c: c.get_mut(column..).unwrap_or_default(),
                stride,
            });
        }
    }
}

/// Whether a multiply-add is one instruction; where it is not, it would be a slow call.
fn has_fused(arch: Arch) -> bool {
    #[cfg(target_arch = "x86_64")]
    return matches!(arch, Arch::V3(_) | Arch::V4(_));
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = arch;
        cfg!(target_arch = "aarch64")
    }
}

/// One register tile of `c += a b`.
struct Tile<'a> {
    fused: bool,
    a: &'a [f64],
    a_stride: usize,
    depth: usize,
    b: &'a [f64],
    c: &'a mut [f64],
    stride: usize,
}

impl NullaryFnOnce for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        if self.fused {
            self.with(f64::mul_add);
        } else {
            self.with(|x, y, sum| x * y + sum);
        }
    }
}

impl Tile<'_> {
    #[inline(always)]
    fn with(self, mul_add: impl Fn(f64, f64, f64) -> f64) {
        let Self {
            a,
            a_stride,
            depth,
            b,
            c,
            stride,
            ..
        } = self;
        let rows = a.len().div_ceil(a_stride.max(1)).min(TILE_ROWS);
        // A tile with fewer rows computes its last one several times over.
        let rows: [&[f64]; TILE_ROWS] = std::array::from_fn(|row| {
            let start = row.min(rows.saturating_sub(1)) * a_stride;
            &a[start..start + depth]
        });
        let mut sums = [[0.0; TILE_COLUMNS]; TILE_ROWS];
        for (k, b) in b.chunks(stride).take(depth).enumerate() {
            let b = &b[..TILE_COLUMNS];
            for (sums, row) in sums.iter_mut().zip(rows) {
                let factor = row[k];
                for (sum, value) in sums.iter_mut().zip(b) {
                    *sum = mul_add(factor, *value, *sum);
                }
            }
        }
        for (sums, c) in sums.iter().zip(c.chunks_mut(stride)) {
            for (c, sum) in c.iter_mut().zip(sums) {
                *c += sum;
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
