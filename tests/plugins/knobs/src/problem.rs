//! The problem: each row of a matrix is filtered with a few taps, cyclically.

use evo_plugin::{
    CachePolicy, Dtype, Error, FieldInfo, FieldKind, Gate, Params, Problem, ProblemInfo,
    ProblemSpec, Role, Rows, Tensor, TensorMut, TensorSpec, Value,
};

/// `y[r][c] = sum over k of w[k] * x[r][(c + k) % C]`.
pub(crate) struct Filter;

/// The extents of a problem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    rows: usize,
    columns: usize,
    taps: usize,
}

impl Shape {
    pub(crate) fn of(spec: &ProblemSpec) -> Result<Self, Error> {
        Self::from_fields(&spec.fields)
    }

    fn from_fields(fields: &Params) -> Result<Self, Error> {
        Ok(Self {
            rows: evo_plugin::size(fields, "R")?,
            columns: evo_plugin::size(fields, "C")?,
            taps: evo_plugin::size(fields, "TAPS")?,
        })
    }

    /// Rows, columns and taps.
    pub(crate) fn extents(&self) -> [i64; 3] {
        [self.rows, self.columns, self.taps].map(|extent| extent as i64)
    }
}

fn field(name: &str, doc: &str, default: i64) -> FieldInfo {
    FieldInfo {
        name: name.into(),
        doc: doc.into(),
        kind: FieldKind::Int {
            min: 1,
            max: 65_536,
        },
        default: Value::Int(default),
    }
}

fn tensor(name: &str, role: Role, shape: &[usize]) -> TensorSpec {
    TensorSpec {
        name: name.into(),
        role,
        dtype: Dtype::F32,
        shape: shape.to_vec(),
    }
}

fn changes(values: [(&str, i64); 2]) -> Params {
    values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::Int(value)))
        .collect()
}

impl Problem for Filter {
    fn info(&self) -> ProblemInfo {
        ProblemInfo {
            name: "rows".into(),
            doc: "Filters the rows of a matrix".into(),
            fields: vec![
                field("R", "rows", 64),
                field("C", "columns", 256),
                field("TAPS", "weights of the filter", 16),
            ],
        }
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let Shape {
            rows,
            columns,
            taps,
        } = Shape::from_fields(fields)?;
        let elements = (rows * columns) as f64;
        Ok(ProblemSpec {
            problem: "rows".into(),
            fields: fields.clone(),
            tensors: vec![
                tensor("x", Role::Input, &[rows, columns]),
                tensor("w", Role::Input, &[taps]),
                tensor("y", Role::Output, &[rows, columns]),
            ],
            constants: fields.clone(),
            gates: vec![Gate {
                tensor: "y".into(),
                relative_error: 1e-5,
            }],
            flops: 2.0 * elements * taps as f64,
            bytes: 4.0 * (2.0 * elements + taps as f64),
            cache: CachePolicy::Rotate,
            extra_shapes: vec![
                changes([("R", 3), ("C", 17)]),
                changes([("R", 1), ("C", 100)]),
            ],
            unquantised: Params::new(),
            distributions: vec!["uniform".into(), "outliers".into()],
        })
    }

    fn fill(
        &self,
        _spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        inputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        let outliers = match distribution {
            "uniform" => false,
            "outliers" => true,
            other => return Err(Error::Failed(format!("there is no distribution `{other}`"))),
        };
        let mut state = seed;
        for input in inputs {
            for value in input.as_mut_slice::<f32>()? {
                let random = next(&mut state);
                let unit = (random >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
                let scale = if outliers && random.is_multiple_of(257) {
                    1e3
                } else {
                    1.0
                };
                *value = unit * scale;
            }
        }
        Ok(())
    }

    fn reference(
        &self,
        spec: &ProblemSpec,
        inputs: &[Tensor<'_>],
        rows: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        let shape = Shape::of(spec)?;
        let [x, w] = inputs else {
            return Err(Error::Failed("the problem has two inputs".into()));
        };
        let [y] = outputs else {
            return Err(Error::Failed("the problem has one output".into()));
        };
        let (x, w) = (x.as_slice::<f32>()?, w.as_slice::<f32>()?);
        let y = y.as_mut_slice::<f64>()?;
        let all: Vec<u64> = (0..shape.rows as u64).collect();
        let rows = match rows {
            Rows::All => &all,
            Rows::Some(rows) => rows,
        };
        for row in rows {
            let start = *row as usize * shape.columns;
            let x = &x[start..start + shape.columns];
            for (column, y) in y[start..start + shape.columns].iter_mut().enumerate() {
                let terms = w.iter().enumerate().map(|(tap, weight)| {
                    f64::from(*weight) * f64::from(x[(column + tap) % shape.columns])
                });
                *y = terms.sum();
            }
        }
        Ok(())
    }
}

/// SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, "Fast splittable pseudorandom number
/// generators", 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
