//! The problem `stencil`: one step of a star-shaped stencil on a grid of two or three dimensions.

use evo_plugin::{
    CachePolicy, Dtype, Error, Params, Problem, ProblemInfo, ProblemSpec, Role, Rows, Tensor,
    TensorMut, TensorSpec, Value,
};

use crate::element::with_real;
use crate::fields::{self, change};
use crate::{Real, inputs, rows};

/// Rows that one task computes.
const TASK_ROWS: usize = 64;

/// `y = c[0] x + sum over distances d and directions of c[d] x(d away)`.
pub struct Stencil;

#[derive(Debug, Clone, Copy)]
struct Shape {
    dims: usize,
    z: usize,
    y: usize,
    x: usize,
    radius: usize,
    /// Whether the coefficients are an input; otherwise all of them are one over the points.
    given: bool,
    /// Whether points near the edge are copied; otherwise what lies outside counts as zero.
    copies: bool,
    dtype: Dtype,
}

impl Shape {
    fn read(fields: &Params) -> Result<Self, Error> {
        let [dims, z, y, x, radius] = fields::extents(fields, ["DIMS", "Z", "Y", "X", "RADIUS"])?;
        if dims == 2 && z != 1 {
            return Err(Error::Rejected(format!(
                "Z={z}, but the grid has two dimensions; set DIMS=3, or leave Z at 1"
            )));
        }
        let choice = |name: &str, names: [&str; 2]| match evo_plugin::choice(fields, name)? {
            value if value == names[0] => Ok(false),
            value if value == names[1] => Ok(true),
            other => Err(Error::Rejected(format!(
                "`{name}` is {other}, but must be {} or {}",
                names[0], names[1]
            ))),
        };
        Ok(Self {
            dims,
            z,
            y,
            x,
            radius,
            given: choice("coefficients", ["uniform", "input"])?,
            copies: choice("boundary", ["zero", "copy"])?,
            dtype: fields::dtype(fields)?,
        })
    }

    /// Points of the star.
    fn points(&self) -> usize {
        2 * self.dims * self.radius + 1
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        let tensor = |name: &str, role, shape| TensorSpec {
            name: name.to_owned(),
            role,
            dtype: self.dtype,
            shape,
        };
        let grid = if self.dims == 2 {
            vec![self.y, self.x]
        } else {
            vec![self.z, self.y, self.x]
        };
        let mut tensors = vec![tensor("x", Role::Input, grid.clone())];
        if self.given {
            tensors.push(tensor("c", Role::Input, vec![self.radius + 1]));
        }
        tensors.push(tensor("y", Role::Output, grid));
        tensors
    }

    /// Whether a row of the grid, or a column, is one that is copied.
    fn is_edge(&self, place: usize, extent: usize) -> bool {
        self.copies && (place < self.radius || place + self.radius >= extent)
    }

    /// Points whose neighbours are all looked at, and the sum over all points of the neighbours
    /// that exist.
    fn neighbours(&self) -> f64 {
        let (r, extents) = (self.radius, [self.z, self.y, self.x]);
        let used = &extents[3 - self.dims..];
        if self.copies {
            let inside = |extent: &usize| extent.saturating_sub(2 * r) as f64;
            return used.iter().map(inside).product::<f64>() * (self.points() - 1) as f64;
        }
        let points: f64 = used.iter().map(|extent| *extent as f64).product();
        // Of an extent E, E - d points have a neighbour at distance d on one side.
        let share = |extent: &usize| {
            let pairs: f64 = (1..=r).map(|d| extent.saturating_sub(d) as f64).sum();
            2.0 * pairs / *extent as f64
        };
        points * used.iter().map(share).sum::<f64>()
    }
}

impl Problem for Stencil {
    fn info(&self) -> ProblemInfo {
        let extent = |name, doc, default| fields::int(name, doc, [1, 1 << 24], default);
        ProblemInfo {
            name: "stencil".to_owned(),
            doc: "One step of a star-shaped stencil on a grid of two or three dimensions"
                .to_owned(),
            fields: vec![
                fields::int("DIMS", "Dimensions of the grid", [2, 3], 2),
                extent(
                    "X",
                    "Points along the last dimension, which is contiguous",
                    2048,
                ),
                extent("Y", "Points along the dimension before it", 2048),
                extent(
                    "Z",
                    "Points along the first of three dimensions; 1 in two",
                    1,
                ),
                fields::int("RADIUS", "How far the star reaches", [1, 16], 1),
                fields::choice(
                    "coefficients",
                    "uniform: one over the points of the star; input: a tensor of RADIUS + 1, by distance",
                    &["uniform", "input"],
                ),
                fields::choice(
                    "boundary",
                    "zero: what lies outside counts as 0; copy: points within RADIUS of an edge stay",
                    &["zero", "copy"],
                ),
                fields::dtype_field(),
            ],
        }
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let shape = Shape::read(fields)?;
        let tensors = shape.tensors();
        let bytes = fields::bytes(&tensors)?;
        let mut constants = fields::constants(fields, shape.dtype);
        constants.insert("POINTS".to_owned(), Value::from(shape.points() as i64));
        constants.insert("GIVEN_COEFFICIENTS".to_owned(), Value::from(shape.given));
        constants.insert("COPY_BOUNDARY".to_owned(), Value::from(shape.copies));
        let grid: f64 = (shape.x * shape.y * shape.z) as f64;
        // An addition for each neighbour and a product for each coefficient of a point.
        let products = if shape.given {
            (shape.radius + 1) as f64
        } else {
            1.0
        };
        let flops = shape.neighbours() + if shape.copies { 0.0 } else { products * grid };
        let deep = |z: i64| if shape.dims == 3 { z } else { 1 };
        let extra = |x, y, z| change([("X", x), ("Y", y), ("Z", deep(z))]);
        Ok(ProblemSpec {
            problem: "stencil".to_owned(),
            fields: fields.clone(),
            constants,
            gates: vec![fields::gate("y", shape.dtype, shape.points())],
            flops,
            bytes,
            tensors,
            cache: CachePolicy::Rotate,
            extra_shapes: vec![
                extra(67, 43, 9),
                extra(129, 5, 7),
                extra(1, 71, 3),
                extra(131, 1, 1),
                extra(35, 37, 39),
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
        let (x, c) = match inputs {
            [x] if !shape.given => (x, None),
            [x, c] if shape.given => (x, Some(c)),
            _ => return Err(format!("{} inputs are not what a stencil has", inputs.len()).into()),
        };
        with_real!(shape.dtype, T => {
            inputs::dense(x.as_mut_slice::<T>()?, shape.x, seed, 0, distribution);
            if let Some(c) = c {
                // Away from zero, so that no coefficient can be left out unnoticed.
                inputs::draw(c.as_mut_slice::<T>()?, seed, 1, |generator| {
                    inputs::uniform(generator, 0.25, 1.0)
                });
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
        let [y] = outputs else {
            return Err("stencil has one output".into());
        };
        let y = y.as_mut_slice::<f64>()?;
        let rows = rows::wanted(rows, shape.z * shape.y)?;
        with_real!(shape.dtype, T => {
            let (x, c) = match inputs {
                [x] if !shape.given => (x.as_slice::<T>()?, None),
                [x, c] if shape.given => (x.as_slice::<T>()?, Some(c.as_slice::<T>()?)),
                _ => return Err("stencil has one input, or two with coefficients".into()),
            };
            let uniform = || vec![1.0 / shape.points() as f64; shape.radius + 1];
            let of = |c: &[T]| c.iter().map(|c| c.to_f64()).collect();
            step(&shape, x, &c.map_or_else(uniform, of), &rows, y);
            Ok(())
        })
    }
}

/// Computes the wanted rows, numbered over all planes.
fn step<T: Real>(shape: &Shape, x: &[T], c: &[f64], rows: &[usize], out: &mut [f64]) {
    let groups: Vec<&[usize]> = rows.chunks(TASK_ROWS).collect();
    rows::compute(&groups, shape.x, out, |rows| {
        let mut result = Vec::with_capacity(rows.len() * shape.x);
        for row in rows {
            result.extend(row_of(shape, x, c, *row));
        }
        result
    });
}

fn row_of<T: Real>(shape: &Shape, x: &[T], c: &[f64], row: usize) -> Vec<f64> {
    let (z, y) = (row / shape.y, row % shape.y);
    let line = |row: usize| &x[row * shape.x..][..shape.x];
    let old = line(row);
    if shape.is_edge(y, shape.y) || (shape.dims == 3 && shape.is_edge(z, shape.z)) {
        return old.iter().map(|value| value.to_f64()).collect();
    }
    let center = c.first().copied().unwrap_or(0.0);
    let mut sums: Vec<f64> = old.iter().map(|value| center * value.to_f64()).collect();
    for (d, factor) in c.iter().enumerate().skip(1) {
        // Neighbours in the same row, then whole rows above, below, before and behind.
        for (sum, value) in sums.iter_mut().skip(d).zip(old) {
            *sum += factor * value.to_f64();
        }
        for (sum, value) in sums.iter_mut().zip(old.iter().skip(d)) {
            *sum += factor * value.to_f64();
        }
        let mut rows = Vec::with_capacity(4);
        rows.extend(y.checked_sub(d).map(|_| row - d));
        rows.extend((y + d < shape.y).then_some(row + d));
        if shape.dims == 3 {
            rows.extend(z.checked_sub(d).map(|_| row - d * shape.y));
            rows.extend((z + d < shape.z).then_some(row + d * shape.y));
        }
        for row in rows {
            for (sum, value) in sums.iter_mut().zip(line(row)) {
                *sum += factor * value.to_f64();
            }
        }
    }
    for (place, (sum, value)) in sums.iter_mut().zip(old).enumerate() {
        if shape.is_edge(place, shape.x) {
            *sum = value.to_f64();
        }
    }
    sums
}
