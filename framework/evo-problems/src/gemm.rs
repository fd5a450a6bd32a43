//! The problem `gemm`: the product of two matrices.

use evo_plugin::{
    CachePolicy, Dtype, Error, Params, Problem, ProblemInfo, ProblemSpec, Role, Rows, Tensor,
    TensorMut, TensorSpec,
};
use rayon::prelude::*;

use crate::element::with_real;
use crate::fields::{self, change};
use crate::product::{TILE_COLUMNS, multiply};
use crate::{Real, inputs, rows};

/// Columns of C that one task computes.
const PANEL: usize = 4 * TILE_COLUMNS;
/// Elements of A that are held in float64 at a time.
const BLOCK: usize = 1 << 21;

/// `C = op(A) op(B)`.
pub struct Gemm;

/// The extents and how the factors are stored.
#[derive(Debug, Clone, Copy)]
struct Shape {
    m: usize,
    n: usize,
    k: usize,
    trans_a: bool,
    trans_b: bool,
    dtype: Dtype,
}

impl Shape {
    fn read(fields: &Params) -> Result<Self, Error> {
        let [m, n, k] = fields::extents(fields, ["M", "N", "K"])?;
        Ok(Self {
            m,
            n,
            k,
            trans_a: evo_plugin::flag(fields, "TRANS_A")?,
            trans_b: evo_plugin::flag(fields, "TRANS_B")?,
            dtype: fields::dtype(fields)?,
        })
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        let tensor = |name: &str, role, rows, columns, transposed| TensorSpec {
            name: name.to_owned(),
            role,
            dtype: self.dtype,
            shape: if transposed {
                vec![columns, rows]
            } else {
                vec![rows, columns]
            },
        };
        vec![
            tensor("a", Role::Input, self.m, self.k, self.trans_a),
            tensor("b", Role::Input, self.k, self.n, self.trans_b),
            tensor("c", Role::Output, self.m, self.n, false),
        ]
    }
}

impl Problem for Gemm {
    fn info(&self) -> ProblemInfo {
        let extent = |name, doc| fields::int(name, doc, [1, 1 << 24], 1024);
        ProblemInfo {
            name: "gemm".to_owned(),
            doc: "Matrix product: C = op(A) op(B)".to_owned(),
            fields: vec![
                extent("M", "Rows of C"),
                extent("N", "Columns of C"),
                extent("K", "Terms of each sum"),
                fields::dtype_field(),
                fields::flag("TRANS_A", "Whether A is stored as K rows of M"),
                fields::flag("TRANS_B", "Whether B is stored as N rows of K"),
            ],
        }
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let shape = Shape::read(fields)?;
        let tensors = shape.tensors();
        Ok(ProblemSpec {
            problem: "gemm".to_owned(),
            fields: fields.clone(),
            constants: fields::constants(fields, shape.dtype),
            gates: vec![fields::gate("c", shape.dtype, shape.k)],
            flops: 2.0 * shape.m as f64 * shape.n as f64 * shape.k as f64,
            bytes: fields::bytes(&tensors)?,
            tensors,
            cache: CachePolicy::Rotate,
            extra_shapes: vec![
                change([("M", 67), ("N", 43), ("K", 101)]),
                change([("M", 1), ("N", 129), ("K", 33)]),
                change([("M", 131), ("N", 1), ("K", 65)]),
                change([("M", 19), ("N", 17), ("K", 1)]),
                change([("M", 257), ("N", 5), ("K", 7)]),
            ],
            unquantised: Params::new(),
            distributions: inputs::DENSE.map(str::to_owned).to_vec(),
        })
    }

    fn fill(
        &self,
        spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        inputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        inputs::known(distribution, &inputs::DENSE)?;
        let shape = Shape::read(&spec.fields)?;
        let [a, b] = inputs else {
            return Err(format!("{} inputs instead of 2", inputs.len()).into());
        };
        // Equal rows of B would make every sum a multiple of one that may cancel.
        let of_b = if distribution == "equal_rows" {
            "normal"
        } else {
            distribution
        };
        with_real!(shape.dtype, T => {
            let (a, b) = (a.as_mut_slice::<T>()?, b.as_mut_slice::<T>()?);
            inputs::dense(b, shape.n, seed, 1, of_b);
            if distribution == "equal_rows" && shape.trans_a {
                inputs::dense(a, shape.m, seed, 0, "normal");
                a.par_chunks_exact_mut(shape.m).for_each(inputs::equal_elements);
            } else {
                inputs::dense(a, shape.k, seed, 0, distribution);
            }
            Ok(())
        })
    }

    fn reference(
        &self,
        spec: &ProblemSpec,
        inputs: &[Tensor<'_>],
        rows: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        let shape = Shape::read(&spec.fields)?;
        let ([a, b], [c]) = (inputs, outputs) else {
            return Err("gemm has two inputs and one output".into());
        };
        let c = c.as_mut_slice::<f64>()?;
        let rows = rows::wanted(rows, shape.m)?;
        with_real!(shape.dtype, T => {
            product(&shape, a.as_slice::<T>()?, b.as_slice::<T>()?, &rows, c);
            Ok(())
        })
    }
}

/// Computes the wanted rows of C: a block of rows at a time, its panels of columns side by side.
fn product<T: Real>(shape: &Shape, a: &[T], b: &[T], rows: &[usize], c: &mut [f64]) {
    let Shape {
        m,
        n,
        k,
        trans_a,
        trans_b,
        ..
    } = *shape;
    let a_at = |row: usize, term: usize| {
        a[if trans_a {
            term * m + row
        } else {
            row * k + term
        }]
        .to_f64()
    };
    let b_at = |term: usize, column: usize| {
        b[if trans_b {
            column * k + term
        } else {
            term * n + column
        }]
        .to_f64()
    };
    for rows in rows.chunks((BLOCK / k).clamp(6, 252)) {
        let factor: Vec<f64> = rows
            .par_iter()
            .flat_map_iter(|&row| (0..k).map(move |term| a_at(row, term)))
            .collect();
        let panels: Vec<Vec<f64>> = (0..n.div_ceil(PANEL))
            .into_par_iter()
            .map(|panel| {
                let first = panel * PANEL;
                let width = PANEL.min(n - first);
                let stride = width.next_multiple_of(TILE_COLUMNS);
                let mut columns = vec![0.0; k * stride];
                for (term, to) in columns.chunks_exact_mut(stride).enumerate() {
                    for (column, to) in to.iter_mut().enumerate().take(width) {
                        *to = b_at(term, first + column);
                    }
                }
                let mut result = vec![0.0; rows.len() * stride];
                multiply(&factor, [k, k], &columns, stride, width, &mut result);
                result
            })
            .collect();
        for (panel, result) in panels.iter().enumerate() {
            let first = panel * PANEL;
            let width = PANEL.min(n - first);
            let stride = width.next_multiple_of(TILE_COLUMNS);
            for (row, values) in rows.iter().zip(result.chunks_exact(stride)) {
                c[row * n + first..][..width].copy_from_slice(&values[..width]);
            }
        }
    }
}
