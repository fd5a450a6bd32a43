//! The problem `conv2d`: a layer of two-dimensional filters, without flipping them.

use evo_plugin::{
    CachePolicy, Dtype, Error, Params, Problem, ProblemInfo, ProblemSpec, Role, Rows, Tensor,
    TensorMut, TensorSpec, Value,
};

use crate::element::with_real;
use crate::fields::{self, change};
use crate::product::{TILE_COLUMNS, multiply};
use crate::{Real, inputs, rows};

/// Rows that one task computes at most.
const TASK_ROWS: usize = 64;

/// `y[n,k,p,q] = sum over c,r,s of x[n, c, p*STRIDE+r-PAD, q*STRIDE+s-PAD] w[k,c,r,s]`.
pub struct Conv2d;

/// The extents and how the tensors are stored.
#[derive(Debug, Clone, Copy)]
struct Shape {
    n: usize,
    c: usize,
    h: usize,
    w: usize,
    k: usize,
    r: usize,
    s: usize,
    stride: usize,
    pad: usize,
    /// Rows of the output.
    p: usize,
    /// Columns of the output.
    q: usize,
    /// Whether channels are the last dimension.
    nhwc: bool,
    dtype: Dtype,
}

/// Steps of a filter along an extent of the input.
fn steps(
    names: [&str; 2],
    [extent, filter]: [usize; 2],
    stride: usize,
    pad: usize,
) -> Result<usize, Error> {
    let padded = pad.checked_mul(2).and_then(|pad| extent.checked_add(pad));
    padded
        .and_then(|padded| padded.checked_sub(filter))
        .map(|room| room / stride + 1)
        .ok_or_else(|| {
            Error::Rejected(format!(
                "the filter does not fit: {}={filter} is more than {}={extent} with PAD={pad} on \
                 both sides",
                names[1], names[0]
            ))
        })
}

impl Shape {
    fn read(fields: &Params) -> Result<Self, Error> {
        let [n, c, h, w] = fields::extents(fields, ["N", "C", "H", "W"])?;
        let [k, r, s, stride] = fields::extents(fields, ["K", "R", "S", "STRIDE"])?;
        let pad = evo_plugin::size(fields, "PAD")?;
        if pad >= r.max(s) {
            return Err(Error::Rejected(format!(
                "PAD={pad} is not less than the filter (R={r}, S={s}): whole rows or columns of \
                 the output would see nothing but padding"
            )));
        }
        Ok(Self {
            n,
            c,
            h,
            w,
            k,
            r,
            s,
            stride,
            pad,
            p: steps(["H", "R"], [h, r], stride, pad)?,
            q: steps(["W", "S"], [w, s], stride, pad)?,
            nhwc: match evo_plugin::choice(fields, "layout")? {
                "nchw" => false,
                "nhwc" => true,
                other => {
                    return Err(Error::Rejected(format!(
                        "`layout` is {other}, but must be nchw or nhwc"
                    )));
                }
            },
            dtype: fields::dtype(fields)?,
        })
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        let tensor = |name: &str, role, outer: usize, channels, rows, columns| TensorSpec {
            name: name.to_owned(),
            role,
            dtype: self.dtype,
            shape: if self.nhwc {
                vec![outer, rows, columns, channels]
            } else {
                vec![outer, channels, rows, columns]
            },
        };
        vec![
            tensor("x", Role::Input, self.n, self.c, self.h, self.w),
            tensor("w", Role::Input, self.k, self.c, self.r, self.s),
            tensor("y", Role::Output, self.n, self.k, self.p, self.q),
        ]
    }

    /// Terms of each sum.
    fn depth(&self) -> usize {
        self.c * self.r * self.s
    }

    /// Pairs of an output and a filter tap along one extent for which there is an input.
    fn taps(&self, outputs: usize, filter: usize, extent: usize) -> f64 {
        let inside = |output: usize| {
            let first = output * self.stride;
            // Taps t with pad <= first + t < pad + extent.
            let from = self.pad.saturating_sub(first);
            let to = (self.pad + extent).saturating_sub(first).min(filter);
            to.saturating_sub(from)
        };
        (0..outputs).map(|output| inside(output) as f64).sum()
    }

    /// The element of the input that a tap meets, `None` in the padding.
    fn input(&self, n: usize, c: usize, [p, r]: [usize; 2], [q, s]: [usize; 2]) -> Option<usize> {
        let h = (p * self.stride + r).checked_sub(self.pad)?;
        let w = (q * self.stride + s).checked_sub(self.pad)?;
        if h >= self.h || w >= self.w {
            return None;
        }
        Some(if self.nhwc {
            ((n * self.h + h) * self.w + w) * self.c + c
        } else {
            ((n * self.c + c) * self.h + h) * self.w + w
        })
    }

    /// The inputs under the filter at one output, in the order of a filter's elements.
    fn patch<T: Real>(
        &self,
        x: &[T],
        n: usize,
        p: usize,
        q: usize,
        mut put: impl FnMut(usize, f64),
    ) {
        for tap in 0..self.depth() {
            let [c, r, s] = self.tap(tap);
            let value = self
                .input(n, c, [p, r], [q, s])
                .map_or(0.0, |index| x[index].to_f64());
            put(tap, value);
        }
    }

    /// Channel, row and column of an element of a filter.
    fn tap(&self, tap: usize) -> [usize; 3] {
        if self.nhwc {
            [tap % self.c, tap / self.c / self.s, tap / self.c % self.s]
        } else {
            let plane = self.r * self.s;
            [tap / plane, tap % plane / self.s, tap % self.s]
        }
    }
}

impl Problem for Conv2d {
    fn info(&self) -> ProblemInfo {
        let extent = |name, doc, default| fields::int(name, doc, [1, 1 << 20], default);
        let filter = |name, doc| fields::int(name, doc, [1, 255], 3);
        ProblemInfo {
            name: "conv2d".to_owned(),
            doc: "Two-dimensional convolution layer (cross-correlation: filters are not flipped)"
                .to_owned(),
            fields: vec![
                extent("N", "Images", 1),
                extent("C", "Channels of the input", 32),
                extent("H", "Rows of an image", 56),
                extent("W", "Columns of an image", 56),
                extent("K", "Filters: channels of the output", 32),
                filter("R", "Rows of a filter"),
                filter("S", "Columns of a filter"),
                fields::int("STRIDE", "Step of the filter, both ways", [1, 255], 1),
                fields::int("PAD", "Zeros around an image, on every side", [0, 254], 1),
                fields::dtype_field(),
                fields::choice("layout", "Order of the dimensions", &["nchw", "nhwc"]),
            ],
        }
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let shape = Shape::read(fields)?;
        let tensors = shape.tensors();
        let bytes = fields::bytes(&tensors)?;
        let mut constants = fields::constants(fields, shape.dtype);
        for (name, value) in [("P", shape.p), ("Q", shape.q)] {
            constants.insert(name.to_owned(), Value::from(value as i64));
        }
        constants.insert("NHWC".to_owned(), Value::from(shape.nhwc));
        // As small as the filter, its stride and its padding allow, and a little more.
        let (r, s) = (shape.r as i64, shape.s as i64);
        let extra = |n, c, [h, w]: [i64; 2], k| {
            change([("N", n), ("C", c), ("H", r + h), ("W", s + w), ("K", k)])
        };
        Ok(ProblemSpec {
            problem: "conv2d".to_owned(),
            fields: fields.clone(),
            constants,
            gates: vec![fields::gate("y", shape.dtype, shape.depth())],
            flops: 2.0
                * (shape.n * shape.k * shape.c) as f64
                * shape.taps(shape.p, shape.r, shape.h)
                * shape.taps(shape.q, shape.s, shape.w),
            bytes,
            tensors,
            cache: CachePolicy::Rotate,
            extra_shapes: vec![
                extra(1, 3, [10, 16], 5),
                extra(2, 1, [16, 30], 1),
                extra(1, 17, [4, 6], 33),
                extra(3, 5, [0, 0], 7),
                extra(1, 2, [1, 66], 3),
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
        let [x, w] = inputs else {
            return Err(format!("{} inputs instead of 2", inputs.len()).into());
        };
        let row = if shape.nhwc { shape.c } else { shape.w };
        // Equal filters would make equal outputs; only the image has equal rows.
        let of_filters = if distribution == "equal_rows" {
            "normal"
        } else {
            distribution
        };
        with_real!(shape.dtype, T => {
            inputs::dense(x.as_mut_slice::<T>()?, row, seed, 0, distribution);
            inputs::dense(w.as_mut_slice::<T>()?, row, seed, 1, of_filters);
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
        let ([x, w], [y]) = (inputs, outputs) else {
            return Err("conv2d has two inputs and one output".into());
        };
        let y = y.as_mut_slice::<f64>()?;
        let last = if shape.nhwc { shape.q } else { shape.k };
        let rows = rows::wanted(rows, shape.n * shape.p * last)?;
        with_real!(shape.dtype, T => {
            let (x, w) = (x.as_slice::<T>()?, w.as_slice::<T>()?);
            if shape.nhwc {
                channels_last(&shape, x, w, &rows, y);
            } else {
                channels_first(&shape, x, w, rows, y);
            }
            Ok(())
        })
    }
}

/// Rows of the output are the filters at one place: its patch times all filters.
fn channels_last<T: Real>(shape: &Shape, x: &[T], w: &[T], rows: &[usize], y: &mut [f64]) {
    let (depth, columns) = (shape.depth(), shape.k);
    let stride = columns.next_multiple_of(TILE_COLUMNS);
    let mut filters = vec![0.0; depth * stride];
    for (k, filter) in w.chunks_exact(depth).enumerate() {
        for (tap, value) in filter.iter().enumerate() {
            filters[tap * stride + k] = value.to_f64();
        }
    }
    let groups: Vec<&[usize]> = rows.chunks(TASK_ROWS).collect();
    rows::compute(&groups, columns, y, |rows| {
        let mut patches = vec![0.0; rows.len() * depth];
        for (row, patch) in rows.iter().zip(patches.chunks_exact_mut(depth)) {
            let (image, place) = (row / (shape.p * shape.q), row % (shape.p * shape.q));
            shape.patch(x, image, place / shape.q, place % shape.q, |tap, value| {
                patch[tap] = value;
            });
        }
        let mut result = vec![0.0; rows.len() * stride];
        multiply(
            &patches,
            [depth, depth],
            &filters,
            stride,
            columns,
            &mut result,
        );
        trim(&result, stride, columns)
    });
}

/// Rows of the output are one filter along a row of the image: filters times the patches of that
/// row. Rows are grouped by the image's row, so that its patches are gathered once.
fn channels_first<T: Real>(shape: &Shape, x: &[T], w: &[T], mut rows: Vec<usize>, y: &mut [f64]) {
    let (depth, columns) = (shape.depth(), shape.q);
    let stride = columns.next_multiple_of(TILE_COLUMNS);
    let line = |row: usize| (row / (shape.k * shape.p), row % shape.p);
    rows.sort_by_key(|row| line(*row));
    let groups: Vec<&[usize]> = rows.chunk_by(|a, b| line(*a) == line(*b)).collect();
    rows::compute(&groups, columns, y, |rows| {
        let (image, p) = rows.first().map_or((0, 0), |row| line(*row));
        let mut patches = vec![0.0; depth * stride];
        for q in 0..columns {
            shape.patch(x, image, p, q, |tap, value| {
                patches[tap * stride + q] = value
            });
        }
        let filters: Vec<f64> = rows
            .iter()
            .flat_map(|row| &w[row / shape.p % shape.k * depth..][..depth])
            .map(|value| value.to_f64())
            .collect();
        let mut result = vec![0.0; rows.len() * stride];
        multiply(
            &filters,
            [depth, depth],
            &patches,
            stride,
            columns,
            &mut result,
        );
        trim(&result, stride, columns)
    });
}

/// Rows without their padding.
fn trim(padded: &[f64], stride: usize, columns: usize) -> Vec<f64> {
    padded
        .chunks_exact(stride)
        .flat_map(|row| &row[..columns])
        .copied()
        .collect()
}
