//! Inputs and outputs in files.

use evo_bundle::source::{Case, Entries, OwnProblem, Text};
use evo_plugin::{Error, Params, ProblemSpec, Rows, Tensor, TensorMut};

use crate::reference::put_rows;
use crate::{Source, element, npy};

/// The fields of a case, with the defaults for those that it does not name.
pub(crate) fn fields(own: &OwnProblem, case: &Case) -> Params {
    let mut fields: Params = own
        .fields
        .iter()
        .map(|field| (field.name.value.clone(), field.default.clone()))
        .collect();
    for (name, value) in &case.fields.0 {
        fields.insert(name.value.clone(), value.clone());
    }
    fields
}

/// The cases for a problem with these fields: each is a distribution, `case-1`, `case-2`, ...
pub(crate) fn matching<'a>(
    own: &'a OwnProblem,
    cases: &'a [Case],
    wanted: &Params,
) -> Vec<&'a Case> {
    let fits = |case: &&Case| fields(own, case) == *wanted;
    cases.iter().filter(fits).collect()
}

/// The name of a case among those with the same fields.
pub(crate) fn distribution(place: usize) -> String {
    format!("case-{}", place + 1)
}

/// A file of a case by the name of its tensor.
fn file<'a>(
    source: &'a Source,
    files: &'a Entries<Text>,
    tensor: &str,
) -> Result<(&'a str, &'a [u8]), Error> {
    let entry = files.0.iter().find(|(name, _)| name.value == tensor);
    let (_, path) = entry.ok_or_else(|| format!("the case has no file for `{tensor}`"))?;
    let path = path.value.as_str();
    let normal = path.strip_prefix("./").unwrap_or(path);
    let content = source.bundle.files.get(normal);
    let content = content.ok_or_else(|| format!("`{path}` is not in the bundle"))?;
    Ok((path, content))
}

/// The bytes of an input of a case.
fn input<'a>(
    source: &'a Source,
    case: &'a Case,
    tensor: &str,
    dtype: evo_plugin::Dtype,
    shape: &[usize],
) -> Result<&'a [u8], Error> {
    let (path, content) = file(source, &case.inputs, tensor)?;
    Ok(npy::input(path, content, dtype, shape)?)
}

/// Fills the inputs from the case of a distribution.
///
/// # Errors
/// Where there is no such case, or a file does not fit.
pub(crate) fn fill(
    source: &Source,
    cases: &[&Case],
    spec: &ProblemSpec,
    distribution: &str,
    inputs: &mut [TensorMut<'_>],
) -> Result<(), Error> {
    let place = (0..cases.len()).find(|place| self::distribution(*place) == distribution);
    let case = place
        .and_then(|place| cases.get(place))
        .ok_or_else(|| Error::Failed(format!("there are no expected values for {distribution}")))?;
    for (tensor, to) in spec.inputs().zip(inputs) {
        let from = input(source, case, &tensor.name, tensor.dtype, &tensor.shape)?;
        element::bytes_mut(to)?.copy_from_slice(from);
    }
    Ok(())
}

/// The outputs of the case whose inputs these are.
///
/// # Errors
/// Where the inputs are of no case, or a file does not fit.
pub(crate) fn reference(
    source: &Source,
    cases: &[&Case],
    spec: &ProblemSpec,
    inputs: &[Tensor<'_>],
    rows: Rows<'_>,
    outputs: &mut [TensorMut<'_>],
) -> Result<(), Error> {
    for case in cases {
        let mut same = true;
        for (tensor, given) in spec.inputs().zip(inputs) {
            let own = input(source, case, &tensor.name, tensor.dtype, &tensor.shape)?;
            same = same && own == element::bytes(given)?;
        }
        if !same {
            continue;
        }
        for (tensor, to) in spec.outputs().zip(outputs) {
            let (path, content) = file(source, &case.outputs, &tensor.name)?;
            let values = npy::output(path, content, &tensor.shape)?;
            put_rows(&values, &tensor.shape, rows, to)?;
        }
        return Ok(());
    }
    Err(Error::Failed(
        "the inputs are of no case of the expected values".to_owned(),
    ))
}
