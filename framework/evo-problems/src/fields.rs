//! Fields of problems: describing them, reading them, and what follows from them.

use evo_plugin::{Dtype, Error, FieldInfo, FieldKind, Gate, Params, TensorSpec, Value};

/// The most elements that a tensor may have: byte counts and offsets stay far from overflow.
pub(crate) const MAX_ELEMENTS: usize = 1 << 38;

/// An integer field from `min` to `max`.
pub(crate) fn int(name: &str, doc: &str, [min, max]: [i64; 2], default: i64) -> FieldInfo {
    FieldInfo {
        name: name.to_owned(),
        doc: doc.to_owned(),
        kind: FieldKind::Int { min, max },
        default: Value::from(default),
    }
}

/// A field that is one of some names, the first of them by default.
pub(crate) fn choice(name: &str, doc: &str, names: &[&str]) -> FieldInfo {
    FieldInfo {
        name: name.to_owned(),
        doc: doc.to_owned(),
        kind: FieldKind::Choice(names.iter().map(|&name| name.to_owned()).collect()),
        default: Value::from(names.first().copied().unwrap_or_default()),
    }
}

/// A field that is true or false, false by default.
pub(crate) fn flag(name: &str, doc: &str) -> FieldInfo {
    FieldInfo {
        name: name.to_owned(),
        doc: doc.to_owned(),
        kind: FieldKind::Bool,
        default: Value::from(false),
    }
}

/// The field `dtype`.
pub(crate) fn dtype_field() -> FieldInfo {
    choice(
        "dtype",
        "Element type of the tensors",
        &["f32", "f16", "bf16", "f64"],
    )
}

/// Reads the field `dtype`.
///
/// # Errors
/// `Rejected` for a type that these problems do not have.
pub(crate) fn dtype(fields: &Params) -> Result<Dtype, Error> {
    match evo_plugin::choice(fields, "dtype")? {
        "f32" => Ok(Dtype::F32),
        "f16" => Ok(Dtype::F16),
        "bf16" => Ok(Dtype::Bf16),
        "f64" => Ok(Dtype::F64),
        other => Err(Error::Rejected(format!(
            "`dtype` is {other}, but must be f32, f16, bf16 or f64"
        ))),
    }
}

/// Reads extents, each at least 1.
///
/// # Errors
/// `Rejected`, naming the field.
pub(crate) fn extents<const N: usize>(
    fields: &Params,
    names: [&str; N],
) -> Result<[usize; N], Error> {
    let mut extents = [0; N];
    for (extent, name) in extents.iter_mut().zip(names) {
        *extent = evo_plugin::size(fields, name)?;
        if *extent == 0 {
            return Err(Error::Rejected(format!(
                "`{name}` is 0, but must be at least 1"
            )));
        }
    }
    Ok(extents)
}

/// The elements of a tensor, where it is not too large.
///
/// # Errors
/// `Rejected`, naming the tensor and its shape.
pub(crate) fn elements(tensor: &TensorSpec) -> Result<usize, Error> {
    tensor
        .elements()
        .filter(|elements| *elements <= MAX_ELEMENTS)
        .ok_or_else(|| {
            Error::Rejected(format!(
                "the tensor `{}` would have the shape {:?}, and a tensor may have at most \
                 {MAX_ELEMENTS} elements",
                tensor.name, tensor.shape
            ))
        })
}

/// Bytes of all tensors: each input read and each output written once.
///
/// # Errors
/// `Rejected` for a tensor that is too large.
pub(crate) fn bytes(tensors: &[TensorSpec]) -> Result<f64, Error> {
    tensors.iter().try_fold(0.0, |sum, tensor| {
        Ok(sum + elements(tensor)? as f64 * tensor.dtype.size() as f64)
    })
}

/// The constants that constraints may name: every integer and every truth value among the fields,
/// and the bytes of an element.
pub(crate) fn constants(fields: &Params, dtype: Dtype) -> Params {
    let mut constants: Params = fields
        .iter()
        .filter(|(_, value)| matches!(value, Value::Int(_) | Value::Bool(_)))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    constants.insert(
        "BYTES_PER_ELEMENT".to_owned(),
        Value::from(dtype.size() as i64),
    );
    constants
}

/// The gate of an output whose elements are sums of so many terms.
///
/// Output in f16 or bf16 is mostly off by its own rounding. A sum of `n` terms in float32 is off by
/// about `2^-24 sqrt(n/6)` to `2^-24 sqrt(n)/3` of its norm when it is added up in one go, with
/// errors that go either way (N. J. Higham, "The accuracy of floating point summation", 1993); the
/// gate grows with that from where it reaches the ordinary one, so that an honest kernel passes
/// for any length and one that accumulates in half precision does not.
pub(crate) fn gate(output: &str, dtype: Dtype, terms: usize) -> Gate {
    let (least, unit) = match dtype {
        Dtype::F64 => (1e-12, 2f64.powi(-53)),
        Dtype::F16 => (6e-4, 2f64.powi(-24)),
        Dtype::Bf16 => (5e-3, 2f64.powi(-24)),
        _ => (1e-5, 2f64.powi(-24)),
    };
    Gate {
        tensor: output.to_owned(),
        relative_error: f64::max(least, unit * (terms as f64).sqrt()),
    }
}

/// Changes to integer fields, for an extra shape.
pub(crate) fn change<const N: usize>(values: [(&str, i64); N]) -> Params {
    values
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .into()
}
