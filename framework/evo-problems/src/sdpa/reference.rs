//! The reference: attention in float64 on the inputs as they are stored.

use evo_plugin::{Dtype, E4m3, Error, Rows, Tensor, TensorMut};
use rayon::prelude::*;

use super::{Attention, Epilogue, Shape};
use crate::product::{TILE_COLUMNS, TILE_ROWS, multiply};
use crate::{Real, rows};

/// Rows that one task computes.
const TASK_ROWS: usize = 8 * TILE_ROWS;

/// Computes the wanted rows of the output.
///
/// # Errors
/// `Failed` where the tensors are not those of the problem.
pub(crate) fn compute(
    attention: &Attention,
    inputs: &[Tensor<'_>],
    rows: Rows<'_>,
    outputs: &mut [TensorMut<'_>],
) -> Result<(), Error> {
    let wrong = || Error::Failed("these are not the tensors of this problem".to_owned());
    let ([q, k, v, rest @ ..], [o]) = (inputs, outputs) else {
        return Err(wrong());
    };
    let o = o.as_mut_slice::<f64>()?;
    let shape = &attention.shape;
    let qkv = [q, k, v];
    let (scales, rest) = rest
        .split_at_checked(3 * attention.scales().min(1))
        .ok_or_else(wrong)?;
    match attention.input_dtype() {
        Dtype::F8E4m3 => {
            let mut by_head = [(); 3].map(|()| Vec::new());
            for (to, scales) in by_head.iter_mut().zip(scales) {
                *to = per_head(attention, scales.as_slice()?).ok_or_else(wrong)?;
            }
            attend::<E4m3>(shape, typed(qkv)?, by_head.each_ref(), rows, o)?;
        }
        Dtype::F16 => rows_of::<half::f16>(shape, typed(qkv)?, rows, o)?,
        Dtype::Bf16 => rows_of::<half::bf16>(shape, typed(qkv)?, rows, o)?,
        _ => rows_of::<f32>(shape, typed(qkv)?, rows, o)?,
    }
    let (alpha, bias) = match (attention.epilogue, rest) {
        (Epilogue::None, []) => return Ok(()),
        (Epilogue::Scale(alpha), []) => (alpha, None),
        (Epilogue::ScaleBias(alpha), [bias]) => (alpha, Some(bias.as_slice::<f32>()?)),
        _ => return Err(wrong()),
    };
    for row in rows::wanted(rows, shape.heads * shape.s)? {
        let head = row / shape.s % attention.heads_per_batch;
        let bias = bias.and_then(|bias| bias.get(head * shape.d..));
        for (column, value) in o[row * shape.d..][..shape.d].iter_mut().enumerate() {
            let bias = bias.and_then(|bias| bias.get(column)).copied();
            *value = f64::from(alpha) * *value + f64::from(bias.unwrap_or(0.0));
        }
    }
    Ok(())
}

fn typed<'a, T: Real>([q, k, v]: [&Tensor<'a>; 3]) -> Result<[&'a [T]; 3], Error> {
    Ok([q.as_slice()?, k.as_slice()?, v.as_slice()?])
}

/// A scale for each head; `None` where their number is wrong.
fn per_head(attention: &Attention, scales: &[f32]) -> Option<Vec<f64>> {
    let fits = scales.len() == attention.scales() && !scales.is_empty();
    let heads = 0..attention.shape.heads;
    let all = heads.map(|head| f64::from(scales[head % scales.len()]));
    fits.then(|| all.collect())
}

/// Computes the wanted rows of the output from slices of a shape's tensors.
///
/// # Errors
/// `Failed` where a slice has another length, or a row does not exist.
pub fn rows_of<T: Real>(
    shape: &Shape,
    inputs: [&[T]; 3],
    rows: Rows<'_>,
    o: &mut [f64],
) -> Result<(), Error> {
    let ones = vec![1.0; shape.heads];
    attend(shape, inputs, [&ones, &ones, &ones], rows, o)
}

/// As [`rows_of`], with a scale for each head of each input.
fn attend<T: Real>(
    shape: &Shape,
    inputs: [&[T]; 3],
    scales: [&Vec<f64>; 3],
    rows: Rows<'_>,
    o: &mut [f64],
) -> Result<(), Error> {
    let elements = shape.elements();
    if inputs.iter().any(|input| input.len() != elements) || o.len() != elements {
        return Err(Error::Failed(format!(
            "every tensor must have {elements} elements"
        )));
    }
    let wanted = rows::wanted(rows, shape.heads * shape.s)?;
    // As many heads at a time as there are threads: their float64 copies bound the memory.
    let batch = rayon::current_num_threads().max(1);
    for wanted in wanted.chunk_by(|a, b| a / shape.s / batch == b / shape.s / batch) {
        // Runs of rows of one head.
        let heads: Vec<&[usize]> = wanted.chunk_by(|a, b| a / shape.s == b / shape.s).collect();
        let copies: Vec<(usize, Head)> = heads
            .par_iter()
            .filter_map(|rows| rows.first())
            .map(|row| row / shape.s)
            .map(|head| (head, Head::new(shape, inputs, scales, head)))
            .collect();
        let tasks: Vec<&[usize]> = heads
            .iter()
            .flat_map(|rows| rows.chunks(TASK_ROWS))
            .collect();
        rows::compute(&tasks, shape.d, o, |rows| {
            let head = rows.first().map_or(0, |row| row / shape.s);
            let copy = copies.iter().find(|(of, _)| *of == head);
            copy.map_or_else(Vec::new, |(_, head)| head.rows(shape, inputs[0], rows))
        });
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
    /// What queries are multiplied by.
    scale: f64,
}

impl Head {
    fn new<T: Real>(
        shape: &Shape,
        [_, k, v]: [&[T]; 3],
        scales: [&Vec<f64>; 3],
        head: usize,
    ) -> Self {
        let (s, d) = (shape.s, shape.d);
        let [q_scale, k_scale, v_scale] = scales.map(|scales| scales[head]);
        let padded_s = s.next_multiple_of(TILE_COLUMNS);
        let padded_d = d.next_multiple_of(TILE_COLUMNS);
        let mut copy = Self {
            k: vec![0.0; d * padded_s],
            padded_s,
            v: vec![0.0; s * padded_d],
            padded_d,
            scale: q_scale / (d as f64).sqrt(),
        };
        let range = head * s * d..(head + 1) * s * d;
        for (n, row) in k[range.clone()].chunks_exact(d).enumerate() {
            for (column, value) in row.iter().enumerate() {
                copy.k[column * padded_s + n] = k_scale * value.to_f64();
            }
        }
        for (n, row) in v[range].chunks_exact(d).enumerate() {
            for (column, value) in row.iter().enumerate() {
                copy.v[n * padded_d + column] = v_scale * value.to_f64();
            }
        }
        copy
    }

    /// The outputs of some rows of this head, given by their numbers over all heads.
    fn rows<T: Real>(&self, shape: &Shape, q: &[T], rows: &[usize]) -> Vec<f64> {
        let d = shape.d;
        let mut outputs = Vec::with_capacity(rows.len() * d);
        let mut scores = vec![0.0; TILE_ROWS * self.padded_s];
        let mut results = vec![0.0; TILE_ROWS * self.padded_d];
        let mut queries = vec![0.0; TILE_ROWS * d];
        for tile in rows.chunks(TILE_ROWS) {
            queries.fill(0.0);
            for (to, row) in queries.chunks_exact_mut(d).zip(tile) {
                for (to, from) in to.iter_mut().zip(&q[row * d..][..d]) {
                    *to = from.to_f64() * self.scale;
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
            scores.fill(0.0);
            multiply(
                &queries,
                [d, d],
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
            results.fill(0.0);
            multiply(
                &scores,
                depth,
                &self.v,
                self.padded_d,
                self.padded_d,
                &mut results,
            );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdpa::testing::{Inputs, shape};

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
}
