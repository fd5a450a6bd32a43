//! The reference that is a function: compiled without optimisation surprises, called with doubles.

use std::collections::BTreeMap;
use std::sync::Arc;

use evo_bundle::ScalarType;
use evo_bundle::source::{Argument, Entries, Expr, Language, Text};
use evo_plugin::{Dtype, Error, Params, ProblemSpec, Rows, Tensor, TensorMut};
use rayon::prelude::*;

use crate::call::Slot;
use crate::host::{Built, Entry, Pointers, Shim, Toolchain, Unit, compile, load_entry};
use crate::{Source, element, values};

/// Optimised, but with the arithmetic that is written: no contraction, no reordering.
const FLAGS: [&str; 3] = ["-O2", "-ffp-contract=off", "-fno-fast-math"];

/// The function of a description.
#[derive(Clone, Copy)]
pub(crate) struct Function<'a> {
    pub(crate) source: &'a Source,
    pub(crate) file: &'a Text,
    pub(crate) symbol: &'a Text,
    pub(crate) by_rows: bool,
    pub(crate) defines: &'a Entries<Expr>,
}

impl Function<'_> {
    /// Computes the outputs.
    ///
    /// # Errors
    /// Where the reference does not compile, with the compiler's text.
    pub(crate) fn compute(
        &self,
        spec: &ProblemSpec,
        inputs: &[Tensor<'_>],
        rows: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        let slots = self.slots(spec)?;
        let entry = load_entry(&self.build(spec, &slots)?.bytes)?;
        let slots: Vec<Slot> = slots.into_iter().map(|(slot, _)| slot).collect();
        let doubles: Vec<Vec<f64>> = inputs
            .iter()
            .map(|input| Ok(element::to_doubles(element::bytes(input)?, input.dtype()?)))
            .collect::<Result<_, Error>>()?;
        // What the function forgets is seen, where it is to compute everything. Otherwise most of
        // the memory is never touched.
        let empty = match rows {
            Rows::All => f64::NAN,
            Rows::Some(_) => 0.0,
        };
        let mut results: Vec<Vec<f64>> = spec
            .outputs()
            .map(|output| vec![empty; output.elements().unwrap_or(0)])
            .collect();
        let addresses = Addresses {
            inputs: doubles.iter().map(|it| it.as_ptr() as u64).collect(),
            outputs: results
                .iter_mut()
                .map(|it| it.as_mut_ptr() as u64)
                .collect(),
        };
        if self.by_rows {
            let total = common_rows(spec)?;
            compute_rows(entry, &slots, &addresses, rows, total);
        } else {
            call(entry, &slots, &addresses, None);
        }
        for ((tensor, values), to) in spec.outputs().zip(&results).zip(outputs) {
            put_rows(values, &tensor.shape, rows, to)?;
        }
        Ok(())
    }

    /// Compiles the function, so that what is wrong with it is known before it is needed.
    ///
    /// # Errors
    /// Where it does not compile, with the compiler's text.
    pub(crate) fn check(&self, spec: &ProblemSpec) -> Result<(), Error> {
        self.build(spec, &self.slots(spec)?).map(drop)
    }

    fn build(
        &self,
        spec: &ProblemSpec,
        slots: &[(Slot, Option<usize>)],
    ) -> Result<Arc<Built>, Error> {
        let description = &self.source.description;
        let known = known(spec);
        let path = self.file.value.as_str();
        let language = match path.rsplit('.').next() {
            Some("c") => Language::C,
            _ => Language::Cpp,
        };
        let mut arguments = slots.to_vec();
        if self.by_rows {
            arguments.extend([(Slot::Scalar(ScalarType::I64, 0), None); 2]);
        }
        let symbol = &self.symbol.value;
        let file = description.file();
        let shim = Shim::new(language, path, symbol, &arguments, Pointers::Double, file);
        let macros = self
            .defines
            .0
            .iter()
            .map(|(name, expr)| {
                let value = values::evaluate(description, expr, &known)?;
                Ok(format!("-D{}={}", name.value, values::as_macro(&value)))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let files: BTreeMap<String, Vec<u8>> = self.source.bundle.files.clone();
        let unit = Unit {
            files: &files,
            shim: &shim,
            more_sources: Vec::new(),
            macros: &macros,
            flags: &FLAGS.map(str::to_owned),
        };
        Toolchain::of(language)
            .map_err(Error::Failed)
            .and_then(|toolchain| {
                compile(&toolchain, &unit).map_err(|failure| {
                    Error::Failed(format!(
                        "the reference does not compile: {}\n{}\n{}",
                        failure.message, failure.command, failure.log
                    ))
                })
            })
    }

    /// The arguments of the reference with their lines: those of the kernel without the workspace
    /// and without scalars that depend on a parameter or on the device.
    fn slots(&self, spec: &ProblemSpec) -> Result<Vec<(Slot, Option<usize>)>, Error> {
        let description = &self.source.description;
        let known = known(spec);
        let candidates = description.names_of_candidates();
        let mut slots = Vec::new();
        let (mut inputs, mut outputs) = (0, 0);
        let lines = description.argument_lines.iter().copied().map(Some);
        for (argument, line) in description.arguments.iter().zip(lines) {
            let slot = match argument {
                Argument::Input { .. } => {
                    inputs += 1;
                    Slot::Input(inputs - 1, Dtype::F64)
                }
                Argument::Output { .. } => {
                    outputs += 1;
                    Slot::Output(outputs - 1, Dtype::F64)
                }
                Argument::Scalar { kind, value } if !value.mentions(&candidates) => {
                    let number = values::evaluate(description, value, &known)?;
                    let scalar = ScalarType::of(&kind.value).unwrap_or(ScalarType::I64);
                    Slot::Scalar(scalar, u64::from_le_bytes(scalar.bytes(&number)?))
                }
                Argument::Scalar { .. } | Argument::Workspace { .. } | Argument::Tensor(_) => {
                    continue;
                }
            };
            slots.push((slot, line));
        }
        if inputs != spec.inputs().count() || outputs != spec.outputs().count() {
            return Err(Error::Failed(
                "the problem has other tensors than its description".to_owned(),
            ));
        }
        Ok(slots)
    }
}

/// What the problem's expressions may name.
fn known(spec: &ProblemSpec) -> Params {
    let mut known = spec.constants.clone();
    known.extend(spec.fields.clone());
    known
}

/// The buffers of the reference, as addresses.
struct Addresses {
    inputs: Vec<u64>,
    outputs: Vec<u64>,
}

/// Calls the function once, for some rows or for all.
fn call(entry: Entry, slots: &[Slot], addresses: &Addresses, rows: Option<(u64, u64)>) {
    let address = |list: &[u64], index: usize| list.get(index).copied().unwrap_or_default();
    let mut words: Vec<u64> = slots
        .iter()
        .map(|slot| match slot {
            Slot::Input(index, _) => address(&addresses.inputs, *index),
            Slot::Output(index, _) => address(&addresses.outputs, *index),
            Slot::Workspace => 0,
            Slot::Scalar(_, bits) => *bits,
        })
        .collect();
    words.extend(rows.iter().flat_map(|(first, last)| [*first, *last]));
    // SAFETY: the shim was made for these slots; the addresses are those of live buffers with as
    // many doubles as the problem's tensors have elements. The rest is the author's matter.
    unsafe { entry.call(&mut words) };
}

/// The number of rows, which must be the same for all outputs.
fn common_rows(spec: &ProblemSpec) -> Result<u64, Error> {
    let counts: Vec<usize> = spec
        .outputs()
        .map(|output| rows_of(&output.shape).0)
        .collect();
    match counts.split_first() {
        Some((first, rest)) if rest.iter().all(|other| other == first) => Ok(*first as u64),
        _ => Err(Error::Failed(format!(
            "`by_rows` needs outputs with equally many rows, and there are {counts:?}"
        ))),
    }
}

/// Rows and the elements of one.
fn rows_of(shape: &[usize]) -> (usize, usize) {
    match shape.split_last() {
        Some((row, rest)) => (rest.iter().product(), *row),
        None => (1, 1),
    }
}

/// Computes some rows, or all of them, on every core.
fn compute_rows(entry: Entry, slots: &[Slot], addresses: &Addresses, rows: Rows<'_>, total: u64) {
    match rows {
        Rows::Some(wanted) => wanted
            .par_iter()
            .for_each(|row| call(entry, slots, addresses, Some((*row, *row + 1)))),
        Rows::All => {
            // Several parts for each core, should some take longer than others.
            let parts = 4 * rayon::current_num_threads() as u64;
            let part = total.div_ceil(parts).max(1);
            (0..total.div_ceil(part)).into_par_iter().for_each(|index| {
                let first = index * part;
                let last = (first + part).min(total);
                call(entry, slots, addresses, Some((first, last)));
            });
        }
    }
}

/// Copies the wanted rows of a result into an output.
///
/// # Errors
/// Where the output is no tensor of doubles.
pub(crate) fn put_rows(
    values: &[f64],
    shape: &[usize],
    rows: Rows<'_>,
    to: &mut TensorMut<'_>,
) -> Result<(), Error> {
    let to = to.as_mut_slice::<f64>()?;
    match rows {
        Rows::All => {
            for (to, from) in to.iter_mut().zip(values) {
                *to = *from;
            }
        }
        Rows::Some(wanted) => {
            let (_, row) = rows_of(shape);
            for index in wanted {
                let start = usize::try_from(*index)
                    .unwrap_or(usize::MAX)
                    .saturating_mul(row);
                let range = start..start.saturating_add(row);
                if let (Some(to), Some(from)) = (to.get_mut(range.clone()), values.get(range)) {
                    to.copy_from_slice(from);
                }
            }
        }
    }
    Ok(())
}
