//! Tensors and calls.

use evo_plugin::abi::RawTensor;
use evo_plugin::{
    Dtype, E4m3, Params, Problem, ProblemSpec, Role, Rows, Tensor, TensorMut, TensorSpec, Value,
};
use evo_problems::{Conv2d, Gemm, Real, Reduction, Sdpa, Stencil};
use half::{bf16, f16};

/// Every problem.
pub(crate) fn all() -> [Box<dyn Problem>; 5] {
    [
        Box::new(Sdpa),
        Box::new(Gemm),
        Box::new(Conv2d),
        Box::new(Reduction),
        Box::new(Stencil),
    ]
}

/// The fields of a problem: its defaults, changed by `NAME=VALUE` words.
pub(crate) fn fields(problem: &dyn Problem, words: &str) -> Params {
    let mut fields: Params = problem
        .info()
        .fields
        .into_iter()
        .map(|field| (field.name, field.default))
        .collect();
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        let value = match value {
            "true" => Value::from(true),
            "false" => Value::from(false),
            _ => value
                .parse::<i64>()
                .map(Value::from)
                .or_else(|_| value.parse::<f64>().map(Value::Float))
                .unwrap_or_else(|_| Value::from(value)),
        };
        assert!(fields.insert(name.to_owned(), value).is_some(), "{name}");
    }
    fields
}

pub(crate) fn resolve(problem: &dyn Problem, words: &str) -> ProblemSpec {
    problem.resolve(&fields(problem, words)).unwrap()
}

/// A tensor of the framework's: bytes, aligned for any type.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Buffer {
    words: Vec<u64>,
    shape: Vec<i64>,
    dtype: Dtype,
}

impl Buffer {
    pub(crate) fn new(tensor: &TensorSpec, dtype: Dtype) -> Self {
        let bytes = tensor.elements().unwrap() * dtype.size();
        Self {
            words: vec![u64::MAX; bytes.div_ceil(8)],
            shape: tensor.shape.iter().map(|extent| *extent as i64).collect(),
            dtype,
        }
    }

    fn raw(&self) -> RawTensor {
        // SAFETY: the buffer has the elements of its shape and lives as long as the calls.
        unsafe { RawTensor::host(self.words.as_ptr() as *mut u8, self.dtype, &self.shape) }
    }

    fn slice<T: Real>(&self) -> &[T] {
        // SAFETY: as above; nobody writes it now.
        unsafe { Tensor::from_raw(self.raw()) }.as_slice().unwrap()
    }

    /// The elements as doubles.
    pub(crate) fn values(&self) -> Vec<f64> {
        fn of<T: Real>(buffer: &Buffer) -> Vec<f64> {
            buffer.slice::<T>().iter().map(|x| x.to_f64()).collect()
        }
        match self.dtype {
            Dtype::F64 => of::<f64>(self),
            Dtype::F32 => of::<f32>(self),
            Dtype::F16 => of::<f16>(self),
            Dtype::Bf16 => of::<bf16>(self),
            Dtype::F8E4m3 => of::<E4m3>(self),
            other => panic!("{other:?}"),
        }
    }
}

/// The inputs of a problem under a distribution.
pub(crate) fn fill(
    problem: &dyn Problem,
    spec: &ProblemSpec,
    seed: u64,
    distribution: &str,
) -> Vec<Buffer> {
    let buffers: Vec<Buffer> = spec
        .inputs()
        .map(|tensor| Buffer::new(tensor, tensor.dtype))
        .collect();
    // SAFETY: each buffer is its tensor's alone during the call.
    let mut tensors: Vec<TensorMut<'_>> = buffers
        .iter()
        .map(|buffer| unsafe { TensorMut::from_raw(buffer.raw()) })
        .collect();
    problem
        .fill(spec, seed, distribution, &mut tensors)
        .unwrap();
    buffers
}

/// The reference of the one output.
pub(crate) fn reference(
    problem: &dyn Problem,
    spec: &ProblemSpec,
    inputs: &[Buffer],
    rows: Rows<'_>,
) -> Vec<f64> {
    let output = spec
        .tensors
        .iter()
        .find(|t| t.role == Role::Output)
        .unwrap();
    let buffer = Buffer::new(output, Dtype::F64);
    // SAFETY: nobody writes the inputs during the call.
    let tensors: Vec<Tensor<'_>> = inputs
        .iter()
        .map(|buffer| unsafe { Tensor::from_raw(buffer.raw()) })
        .collect();
    // SAFETY: the output is the call's alone.
    let mut outputs = [unsafe { TensorMut::from_raw(buffer.raw()) }];
    problem
        .reference(spec, &tensors, rows, &mut outputs)
        .unwrap();
    buffer.values()
}

/// Relative Frobenius error.
pub(crate) fn relative(got: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    let (error, norm) = got
        .iter()
        .zip(wanted)
        .fold((0.0, 0.0), |(error, norm), (x, y)| {
            (error + (x - y).powi(2), norm + y * y)
        });
    if error == 0.0 {
        0.0
    } else {
        (error / norm).sqrt()
    }
}
