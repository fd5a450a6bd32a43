//! The reference: attention in float64 on the inputs as they are stored.
//!
//! Plain loops over fixed-size blocks that the compiler vectorises, compiled once more for each
//! instruction set that helps; heads and rows are spread over all cores.

use evo_plugin::{Error, Rows, Tensor, TensorMut};
use rayon::prelude::*;

use crate::shape::{Shape, Storage};
use crate::simd::{Elem, Isa};

/// Rows of a register tile.
const TILE_ROWS: usize = 4;
/// Columns of a register tile.
const TILE_COLUMNS: usize = 32;
/// Rows that one task computes.
const TASK_ROWS: usize = 32;

/// Computes the wanted rows of the output.
///
/// # Errors
/// `Failed` where the tensors are not those of the shape.
pub(crate) fn compute(
    shape: &Shape,
    inputs: &[Tensor<'_>],
    rows: Rows<'_>,
    outputs: &mut [TensorMut<'_>],
) -> Result<(), Error> {
    let ([q, k, v], [o]) = (inputs, outputs) else {
        return Err(Error::Failed(
            "attention has three inputs and one output".to_owned(),
        ));
    };
    let o = o.as_mut_slice::<f64>()?;
    match shape.storage {
        Storage::F32 => rows_of::<f32>(
            shape,
            [q.as_slice()?, k.as_slice()?, v.as_slice()?],
            rows,
            o,
        ),
        Storage::F16 => rows_of::<half::f16>(
            shape,
            [q.as_slice()?, k.as_slice()?, v.as_slice()?],
            rows,
            o,
        ),
        Storage::Bf16 => rows_of::<half::bf16>(
            shape,
            [q.as_slice()?, k.as_slice()?, v.as_slice()?],
            rows,
            o,
        ),
    }
}

/// As [`compute`], on slices.
pub(crate) fn rows_of<T: Elem>(
    shape: &Shape,
    inputs: [&[T]; 3],
    rows: Rows<'_>,
    o: &mut [f64],
) -> Result<(), Error> {
    let elements = shape.elements();
    if inputs.iter().any(|input| input.len() != elements) || o.len() != elements {
        return Err(Error::Failed(format!(
            "every tensor must have {elements} elements"
        )));
    }
    let all_rows = shape.heads * shape.s;
    let isa = Isa::best();
    // As many heads at a time as there are threads: their float64 copies bound the memory.
    let batch = rayon::current_num_threads().max(1);
    for first in (0..shape.heads).step_by(batch) {
        let heads = first..shape.heads.min(first + batch);
        let copies: Vec<Head> = heads
            .clone()
            .into_par_iter()
            .map(|head| Head::new(shape, inputs[1], inputs[2], head))
            .collect();
        let wanted: Vec<usize> = match rows {
            Rows::All => (heads.start * shape.s..heads.end * shape.s).collect(),
            Rows::Some(rows) => rows
                .iter()
                .filter_map(|row| usize::try_from(*row).ok())
                .filter(|row| heads.contains(&(row / shape.s)) && *row < all_rows)
                .collect(),
        };
        // Runs of rows of one head.
        let tasks: Vec<&[usize]> = wanted
            .chunk_by(|a, b| a / shape.s == b / shape.s)
            .flat_map(|head| head.chunks(TASK_ROWS))
            .collect();
        let results: Vec<Vec<f64>> = tasks
            .par_iter()
            .map(|rows| {
                let head = copies.get(rows[0] / shape.s - first);
                head.map_or_else(Vec::new, |head| head.rows(isa, shape, inputs[0], rows))
            })
            .collect();
        for (rows, result) in tasks.iter().zip(&results) {
            for (row, values) in rows.iter().zip(result.chunks_exact(shape.d)) {
                o[row * shape.d..][..shape.d].copy_from_slice(values);
            }
        }
    }
    Ok(())
}

/// Keys and values of one head in float64, padded with zeros to whole tiles.
struct Head {
    /// Transposed keys: `D` rows of `padded_s`.
    k: Vec<f64>,
    padded_s: usize,
    /// Values: `S` rows of `padded_d`.
    v: Vec<f64>,
    padded_d: usize,
}

impl Head {
    fn new<T: Elem>(shape: &Shape, k: &[T], v: &[T], head: usize) -> Self {
        let (s, d) = (shape.s, shape.d);
        let padded_s = s.next_multiple_of(TILE_COLUMNS);
        let padded_d = d.next_multiple_of(TILE_COLUMNS);
        let mut copy = Self {
            k: vec![0.0; d * padded_s],
            padded_s,
            v: vec![0.0; s * padded_d],
            padded_d,
        };
        let range = head * s * d..(head + 1) * s * d;
        for (n, row) in k[range.clone()].chunks_exact(d).enumerate() {
            for (column, value) in row.iter().enumerate() {
                copy.k[column * padded_s + n] = f64::from(value.to_f32());
            }
        }
        for (n, row) in v[range].chunks_exact(d).enumerate() {
            for (column, value) in row.iter().enumerate() {
                copy.v[n * padded_d + column] = f64::from(value.to_f32());
            }
        }
        copy
    }

    /// The outputs of some rows of this head, given by their numbers over all heads.
    fn rows<T: Elem>(&self, isa: Isa, shape: &Shape, q: &[T], rows: &[usize]) -> Vec<f64> {
        let d = shape.d;
        let scale = 1.0 / (d as f64).sqrt();
        let mut outputs = Vec::with_capacity(rows.len() * d);
        let mut scores = vec![0.0; TILE_ROWS * self.padded_s];
        let mut results = vec![0.0; TILE_ROWS * self.padded_d];
        let mut queries = vec![0.0; TILE_ROWS * d];
        for tile in rows.chunks(TILE_ROWS) {
            queries.fill(0.0);
            for (to, row) in queries.chunks_exact_mut(d).zip(tile) {
                for (to, from) in to.iter_mut().zip(&q[row * d..][..d]) {
                    *to = f64::from(from.to_f32()) * scale;
                }
            }
            let seen = |row: usize| {
                if shape.causal {
                    row % shape.s + 1
                } else {
                    shape.s
                }
            };
            let keys = tile.iter().map(|row| seen(*row)).max().unwrap_or(0);
            // What the last columns of a tile hold beyond `keys` is never used.
            let columns = keys.next_multiple_of(TILE_COLUMNS);
            product(
                isa,
                &queries,
                d,
                &self.k,
                self.padded_s,
                columns,
                &mut scores,
            );
            let mut sums = [1.0; TILE_ROWS];
            for ((row, scores), sum) in tile
                .iter()
                .zip(scores.chunks_exact_mut(self.padded_s))
                .zip(&mut sums)
            {
                *sum = exponentials(&mut scores[..keys], seen(*row));
            }
            let depth = [self.padded_s, keys];
            product_rows(isa, &scores, depth, &self.v, self.padded_d, &mut results);
            for ((_, result), sum) in tile
                .iter()
                .zip(results.chunks_exact(self.padded_d))
                .zip(sums)
            {
                outputs.extend(result[..d].iter().map(|value| value / sum));
            }
        }
        outputs
    }
}

/// Replaces scores by exponentials, those beyond `seen` by zeros; returns their sum.
fn exponentials(scores: &mut [f64], seen: usize) -> f64 {
    let (seen, masked) = scores.split_at_mut(seen.min(scores.len()));
    let max = seen.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in seen {
        *score = (*score - max).exp();
        sum += *score;
    }
    masked.fill(0.0);
    sum
}

/// `c[row][..columns] = a[row][..depth] b`, `a` and `c` with [`TILE_ROWS`] rows, `b` and `c` with
/// rows of `stride`.
fn product(
    isa: Isa,
    a: &[f64],
    depth: usize,
    b: &[f64],
    stride: usize,
    columns: usize,
    c: &mut [f64],
) {
    for column in (0..columns).step_by(TILE_COLUMNS) {
        tile(
            isa,
            a,
            [depth, depth],
            &b[column..],
            stride,
            &mut c[column..],
            stride,
        );
    }
}

/// As [`product`] over all columns, with rows of `a` that are `depth[0]` apart and `depth[1]` long.
fn product_rows(isa: Isa, a: &[f64], depth: [usize; 2], b: &[f64], stride: usize, c: &mut [f64]) {
    for column in (0..stride).step_by(TILE_COLUMNS) {
        tile(
            isa,
            a,
            depth,
            &b[column..],
            stride,
            &mut c[column..],
            stride,
        );
    }
}

/// One register tile, with the widest vectors that the CPU has.
fn tile(
    isa: Isa,
    a: &[f64],
    depth: [usize; 2],
    b: &[f64],
    b_stride: usize,
    c: &mut [f64],
    c_stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    match isa {
        // SAFETY: `isa` is one that this CPU has.
        Isa::Avx512 => return unsafe { tile_avx512(a, depth, b, b_stride, c, c_stride) },
        // SAFETY: `isa` is one that this CPU has.
        Isa::Avx2 => return unsafe { tile_avx2(a, depth, b, b_stride, c, c_stride) },
        _ => {}
    }
    let _ = isa;
    tile_with(|x, y, z| x * y + z, a, depth, b, b_stride, c, c_stride);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn tile_avx512(
    a: &[f64],
    depth: [usize; 2],
    b: &[f64],
    b_stride: usize,
    c: &mut [f64],
    c_stride: usize,
) {
    tile_with(f64::mul_add, a, depth, b, b_stride, c, c_stride);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn tile_avx2(
    a: &[f64],
    depth: [usize; 2],
    b: &[f64],
    b_stride: usize,
    c: &mut [f64],
    c_stride: usize,
) {
    tile_with(f64::mul_add, a, depth, b, b_stride, c, c_stride);
}

#[inline(always)]
fn tile_with(
    mul_add: impl Fn(f64, f64, f64) -> f64,
    a: &[f64],
    [a_stride, depth]: [usize; 2],
    b: &[f64],
    b_stride: usize,
    c: &mut [f64],
    c_stride: usize,
) {
    let mut acc = [[0.0; TILE_COLUMNS]; TILE_ROWS];
    let rows: [&[f64]; TILE_ROWS] = std::array::from_fn(|row| &a[row * a_stride..][..depth]);
    for (k, b) in b.chunks(b_stride).take(depth).enumerate() {
        let b = &b[..TILE_COLUMNS];
        for (sums, row) in acc.iter_mut().zip(rows) {
            let factor = row[k];
            for (sum, value) in sums.iter_mut().zip(b) {
                *sum = mul_add(factor, *value, *sum);
            }
        }
    }
    for (sums, c) in acc.iter().zip(c.chunks_mut(c_stride)) {
        c[..TILE_COLUMNS].copy_from_slice(sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Inputs, shape};

    /// Attention as its definition reads.
    fn naive(shape: &Shape, [q, k, v]: [&[f32]; 3]) -> Vec<f64> {
        let (s, d) = (shape.s, shape.d);
        let at = |x: &[f32], head: usize, row: usize, column: usize| {
            f64::from(x[(head * s + row) * d + column])
        };
        let mut o = Vec::new();
        for head in 0..shape.heads {
            for i in 0..s {
                let seen = if shape.causal { i + 1 } else { s };
                let score = |j: usize| -> f64 {
                    let dot: f64 = (0..d).map(|c| at(q, head, i, c) * at(k, head, j, c)).sum();
                    dot / (d as f64).sqrt()
                };
                let weights: Vec<f64> = (0..seen).map(|j| score(j).exp()).collect();
                let sum: f64 = weights.iter().sum();
                o.extend((0..d).map(|c| {
                    weights
                        .iter()
                        .enumerate()
                        .map(|(j, w)| w * at(v, head, j, c))
                        .sum::<f64>()
                        / sum
                }));
            }
        }
        o
    }

    #[test]
    fn it_is_attention() {
        for (extents, causal) in [
            ([1, 2, 37, 5], true),
            ([2, 1, 64, 33], false),
            ([1, 1, 1, 1], true),
            ([1, 1, 41, 32], false),
        ] {
            let inputs = Inputs::<f32>::new(shape::<f32>(extents, causal), 5, "normal");
            let wanted = naive(&inputs.shape, inputs.slices());
            for (x, y) in inputs.reference().iter().zip(&wanted) {
                assert!((x - y).abs() <= 1e-12 * y.abs().max(1.0), "{x} {y}");
            }
        }
    }

    #[test]
    fn chosen_rows_are_those_of_the_whole() {
        let inputs = Inputs::<f32>::new(shape::<f32>([2, 2, 45, 6], true), 5, "normal");
        let whole = inputs.reference();
        let rows = [0, 3, 44, 45, 130, 179];
        let mut some = vec![-7.0; whole.len()];
        rows_of(&inputs.shape, inputs.slices(), Rows::Some(&rows), &mut some).unwrap();
        for (row, (some, whole)) in some.chunks(6).zip(whole.chunks(6)).enumerate() {
            if rows.contains(&(row as u64)) {
                assert_eq!(some, whole);
            } else {
                assert_eq!(some, [-7.0; 6]);
            }
        }
    }

    #[test]
    fn every_instruction_set_agrees() {
        let a: Vec<f64> = (0..TILE_ROWS * 9)
            .map(|x| f64::from(x as u32) - 17.0)
            .collect();
        let b: Vec<f64> = (0..9 * TILE_COLUMNS)
            .map(|x| f64::from(x as u32 % 13) - 6.0)
            .collect();
        let results = [Isa::Portable, Isa::Avx2, Isa::Avx512]
            .into_iter()
            .filter(|isa| isa.is_available())
            .map(|isa| {
                let mut c = vec![0.0; TILE_ROWS * TILE_COLUMNS];
                tile(isa, &a, [9, 9], &b, TILE_COLUMNS, &mut c, TILE_COLUMNS);
                c
            });
        let results: Vec<_> = results.collect();
        // Small whole numbers: every order of summing is exact.
        assert!(results.iter().all(|result| *result == results[0]) && results[0][0] != 0.0);
    }
}
