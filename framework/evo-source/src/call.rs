//! The arguments of one call: where each comes from.

use evo_bundle::ScalarType;
use evo_bundle::source::{Argument, Description};
use evo_plugin::{BuildRequest, Dtype, Error, Io, Params, Role, Value};

use crate::values;

/// Where an argument comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Slot {
    /// The address of an input.
    Input(usize, Dtype),
    /// The address of an output.
    Output(usize, Dtype),
    /// The address of the workspace.
    Workspace,
    /// A number, in the lowest bytes.
    Scalar(ScalarType, u64),
}

/// A call with every argument known but the addresses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) slots: Vec<Slot>,
    pub(crate) workspace: usize,
    /// What depends on the configuration and is not in the code: part of the execution's
    /// identity.
    pub(crate) launch: Params,
}

impl Call {
    /// The call for a request.
    ///
    /// # Errors
    /// `Rejected` where an argument has no value, or the problem has no such tensor.
    pub(crate) fn resolve(
        description: &Description,
        request: &BuildRequest,
        values: &Params,
    ) -> Result<Self, Error> {
        let mut call = Self {
            slots: Vec::new(),
            workspace: 0,
            launch: Params::new(),
        };
        let candidates = description.names_of_candidates();
        for (place, argument) in description.arguments.iter().enumerate() {
            let slot = match argument {
                Argument::Input { name, .. }
                | Argument::Output { name, .. }
                | Argument::Tensor(name) => tensor(request, &name.value).ok_or_else(|| {
                    let known: Vec<&str> = request
                        .problem
                        .tensors
                        .iter()
                        .map(|tensor| tensor.name.as_str())
                        .collect();
                    let message = format!(
                        "the problem `{}` has no tensor `{}`, but: {}",
                        request.problem.problem,
                        name.value,
                        known.join(", ")
                    );
                    Error::Rejected(description.fault(name, message).to_string())
                })?,
                Argument::Scalar { kind, value } => {
                    let number = values::evaluate(description, value, values)?;
                    let scalar = ScalarType::of(&kind.value);
                    let scalar = scalar.ok_or_else(|| {
                        Error::Rejected(format!("`{}` is no type of a scalar", kind.value))
                    })?;
                    let bytes = scalar.bytes(&number).map_err(|error| {
                        Error::Rejected(description.fault(kind, error).to_string())
                    })?;
                    if value.mentions(&candidates) {
                        call.launch.insert(format!("argument_{place}"), number);
                    }
                    Slot::Scalar(scalar, u64::from_le_bytes(bytes))
                }
                Argument::Workspace { bytes } => {
                    call.workspace = values::size(description, bytes, values, 0)?;
                    let size = i64::try_from(call.workspace).unwrap_or(i64::MAX);
                    call.launch
                        .insert("workspace_bytes".to_owned(), Value::Int(size));
                    Slot::Workspace
                }
            };
            call.slots.push(slot);
        }
        call.check_outputs(request)?;
        Ok(call)
    }

    /// An output that is no argument would never be written.
    fn check_outputs(&self, request: &BuildRequest) -> Result<(), Error> {
        for (index, output) in request.problem.outputs().enumerate() {
            let taken = |slot: &Slot| matches!(slot, Slot::Output(own, _) if *own == index);
            if !self.slots.iter().any(taken) {
                return Err(Error::Rejected(format!(
                    "the output `{}` of the problem `{}` is no argument of the kernel: add \
                     `tensor(\"{}\")`",
                    output.name, request.problem.problem, output.name
                )));
            }
        }
        Ok(())
    }

    /// The value of each argument as 64 bits: addresses, and scalars in the lowest bytes.
    ///
    /// # Errors
    /// Where the framework gave fewer buffers than the problem has.
    pub(crate) fn fill(&self, io: &mut Io<'_>, words: &mut Vec<u64>) -> Result<(), Error> {
        words.clear();
        for slot in &self.slots {
            words.push(match slot {
                Slot::Input(index, _) => io.input(*index)?.pointer() as u64,
                Slot::Output(index, _) => io.output(*index)?.pointer() as u64,
                Slot::Workspace => io.workspace_pointer().0 as u64,
                Slot::Scalar(_, bits) => *bits,
            });
        }
        Ok(())
    }
}

fn tensor(request: &BuildRequest, name: &str) -> Option<Slot> {
    let place = |role: Role| {
        let of_role = request.problem.tensors.iter().filter(|it| it.role == role);
        of_role
            .enumerate()
            .find(|(_, tensor)| tensor.name == name)
            .map(|(index, tensor)| (index, tensor.dtype))
    };
    let input = place(Role::Input).map(|(index, dtype)| Slot::Input(index, dtype));
    input.or_else(|| place(Role::Output).map(|(index, dtype)| Slot::Output(index, dtype)))
}
