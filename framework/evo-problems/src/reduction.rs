//! The problem `reduction`: a matrix reduced along its rows, along its columns, or to one number.

use evo_plugin::{
    CachePolicy, Dtype, Error, Params, Problem, ProblemInfo, ProblemSpec, Role, Rows, Tensor,
    TensorMut, TensorSpec, Value,
};
use rayon::prelude::*;

use crate::element::with_real;
use crate::fields::{self, change};
use crate::{Real, inputs};

/// Elements that are added up before their sum joins the others, which keeps sums exact enough.
const CHUNK: usize = 1 << 12;
/// Rows that one task reduces along the first dimension.
const TASK_ROWS: usize = 1 << 10;
/// How many times as large outliers are in sums. Were they larger, a long sum in float32 would lose
/// the ordinary elements.
const SUM_OUTLIER: f64 = 8.0;
/// The ways in which inputs are drawn, the ordinary one first.
const DISTRIBUTIONS: [&str; 3] = ["normal", "outliers", "equal"];

/// `y = reduce(x)`.
pub struct Reduction;

/// What is done with the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Sum,
    Mean,
    Max,
    Min,
    L2,
}

impl Op {
    fn start(self) -> f64 {
        match self {
            Self::Max => f64::NEG_INFINITY,
            Self::Min => f64::INFINITY,
            Self::Sum | Self::Mean | Self::L2 => 0.0,
        }
    }

    /// Joins two partial results.
    fn join(self, x: f64, y: f64) -> f64 {
        match self {
            Self::Max => x.max(y),
            Self::Min => x.min(y),
            Self::Sum | Self::Mean | Self::L2 => x + y,
        }
    }

    /// Joins a partial result and an element.
    fn add(self, partial: f64, element: f64) -> f64 {
        match self {
            Self::L2 => element.mul_add(element, partial),
            _ => self.join(partial, element),
        }
    }

    /// The result of so many elements.
    fn finish(self, partial: f64, count: usize) -> f64 {
        match self {
            Self::Mean => partial / count as f64,
            Self::L2 => partial.sqrt(),
            Self::Sum | Self::Max | Self::Min => partial,
        }
    }

    fn is_sum(self) -> bool {
        matches!(self, Self::Sum | Self::Mean | Self::L2)
    }

    fn over<T: Real>(self, elements: &[T]) -> f64 {
        elements
            .chunks(CHUNK)
            .map(|chunk| {
                let add = |partial, element: &T| self.add(partial, element.to_f64());
                chunk.iter().fold(self.start(), add)
            })
            .fold(self.start(), |x, y| self.join(x, y))
    }
}

/// Which dimension is reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Last,
    First,
    All,
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    m: usize,
    n: usize,
    op: Op,
    axis: Axis,
    dtype: Dtype,
}

impl Shape {
    fn read(fields: &Params) -> Result<Self, Error> {
        let [m, n] = fields::extents(fields, ["M", "N"])?;
        let op = match evo_plugin::choice(fields, "op")? {
            "sum" => Op::Sum,
            "mean" => Op::Mean,
            "max" => Op::Max,
            "min" => Op::Min,
            "l2" => Op::L2,
            other => {
                return Err(Error::Rejected(format!(
                    "`op` is {other}, but must be sum, mean, max, min or l2"
                )));
            }
        };
        let axis = match evo_plugin::choice(fields, "axis")? {
            "last" => Axis::Last,
            "first" => Axis::First,
            "all" => Axis::All,
            other => {
                return Err(Error::Rejected(format!(
                    "`axis` is {other}, but must be last, first or all"
                )));
            }
        };
        let dtype = fields::dtype(fields)?;
        Ok(Self {
            m,
            n,
            op,
            axis,
            dtype,
        })
    }

    /// The type of the result: sums of half-precision elements would not fit into their own type.
    fn output(&self) -> Dtype {
        match self.dtype {
            Dtype::F64 => Dtype::F64,
            _ => Dtype::F32,
        }
    }

    /// Results, and elements that each of them has.
    fn counts(&self) -> (usize, usize) {
        match self.axis {
            Axis::Last => (self.m, self.n),
            Axis::First => (self.n, self.m),
            Axis::All => (1, self.m * self.n),
        }
    }
}

impl Problem for Reduction {
    fn info(&self) -> ProblemInfo {
        let extent = |name, doc, default| fields::int(name, doc, [1, 1 << 30], default);
        ProblemInfo {
            name: "reduction".to_owned(),
            doc: "A matrix reduced by a sum, a mean, a maximum, a minimum or the Euclidean norm"
                .to_owned(),
            fields: vec![
                extent("M", "Rows of the input", 1024),
                extent("N", "Columns of the input", 4096),
                fields::choice(
                    "op",
                    "What is computed",
                    &["sum", "mean", "max", "min", "l2"],
                ),
                fields::choice(
                    "axis",
                    "last: a result for each row; first: for each column; all: one result",
                    &["last", "first", "all"],
                ),
                fields::dtype_field(),
            ],
        }
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let shape = Shape::read(fields)?;
        let tensor = |name: &str, role, dtype, shape| TensorSpec {
            name: name.to_owned(),
            role,
            dtype,
            shape,
        };
        let x = tensor("x", Role::Input, shape.dtype, vec![shape.m, shape.n]);
        let elements = fields::elements(&x)?;
        let (results, each) = shape.counts();
        let tensors = vec![x, tensor("y", Role::Output, shape.output(), vec![results])];
        let mut constants = fields::constants(fields, shape.dtype);
        constants.insert("RESULTS".to_owned(), Value::from(results as i64));
        constants.insert("TERMS".to_owned(), Value::from(each as i64));
        let operations = if shape.op == Op::L2 { 2.0 } else { 1.0 };
        Ok(ProblemSpec {
            problem: "reduction".to_owned(),
            fields: fields.clone(),
            constants,
            gates: vec![fields::gate("y", shape.output(), each)],
            flops: operations * elements as f64,
            bytes: fields::bytes(&tensors)?,
            tensors,
            cache: CachePolicy::Rotate,
            extra_shapes: vec![
                change([("M", 67), ("N", 101)]),
                change([("M", 1), ("N", 1031)]),
                change([("M", 1031), ("N", 1)]),
                change([("M", 3), ("N", 257)]),
                change([("M", 1), ("N", 1)]),
            ],
            unquantised: Params::new(),
            distributions: DISTRIBUTIONS.map(str::to_owned).to_vec(),
        })
    }

    fn fill(
        &self,
        spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        inputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        inputs::known(distribution, &DISTRIBUTIONS)?;
        let shape = Shape::read(&spec.fields)?;
        let [x] = inputs else {
            return Err(format!("{} inputs instead of 1", inputs.len()).into());
        };
        with_real!(shape.dtype, T => {
            fill(&shape, x.as_mut_slice::<T>()?, seed, distribution);
            Ok(())
        })
    }

    fn reference(
        &self,
        spec: &ProblemSpec,
        inputs: &[Tensor<'_>],
        _: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        // The output has one dimension, so one row: there is nothing to choose from.
        let shape = Shape::read(&spec.fields)?;
        let ([x], [y]) = (inputs, outputs) else {
            return Err("reduction has one input and one output".into());
        };
        let y = y.as_mut_slice::<f64>()?;
        with_real!(shape.dtype, T => {
            reduce(&shape, x.as_slice::<T>()?, y);
            Ok(())
        })
    }
}

/// Draws the matrix. What is to be summed has the mean 1, because a sum that cancels has no
/// relative error that any arithmetic could keep small. Under `equal` every element is the same
/// number of quarters, whose sums are exact.
fn fill<T: Real>(shape: &Shape, x: &mut [T], seed: u64, distribution: &str) {
    let is_sum = shape.op.is_sum();
    let scale = if is_sum {
        SUM_OUTLIER
    } else {
        inputs::outlier(T::DTYPE)
    };
    let mean = if is_sum { 1.0 } else { 0.0 };
    match distribution {
        "outliers" => inputs::draw(x, seed, 0, |generator| {
            let value = mean + inputs::normal(generator);
            if inputs::rare(generator) {
                value * scale
            } else {
                value
            }
        }),
        "equal" => {
            let mut first = [0.0f64];
            inputs::draw(&mut first, seed, 0, |generator| {
                inputs::uniform(generator, 1.0, 9.0).floor() / 4.0
            });
            x.fill(T::from_f64(first[0]));
        }
        _ => inputs::draw(x, seed, 0, |generator| mean + inputs::normal(generator)),
    }
}

fn reduce<T: Real>(shape: &Shape, x: &[T], y: &mut [f64]) {
    let Shape { n, op, axis, .. } = *shape;
    let (_, count) = shape.counts();
    match axis {
        Axis::Last => y
            .par_iter_mut()
            .zip(x.par_chunks_exact(n))
            .for_each(|(y, row)| *y = op.over(row)),
        Axis::First => {
            let partial: Vec<Vec<f64>> = x
                .par_chunks(n * TASK_ROWS)
                .map(|rows| {
                    let mut partial = vec![op.start(); n];
                    for row in rows.chunks_exact(n) {
                        for (partial, element) in partial.iter_mut().zip(row) {
                            *partial = op.add(*partial, element.to_f64());
                        }
                    }
                    partial
                })
                .collect();
            y.fill(op.start());
            for partial in &partial {
                for (y, partial) in y.iter_mut().zip(partial) {
                    *y = op.join(*y, *partial);
                }
            }
        }
        Axis::All => {
            // In the order of the chunks, however many threads there are.
            let partial: Vec<f64> = x.par_chunks(1 << 16).map(|part| op.over(part)).collect();
            if let Some(y) = y.first_mut() {
                *y = partial.iter().fold(op.start(), |x, y| op.join(x, *y));
            }
        }
    }
    for y in y {
        *y = op.finish(*y, count);
    }
}
