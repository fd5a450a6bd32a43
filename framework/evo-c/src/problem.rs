//! A problem of a C plugin.

use evo_plugin::abi::RawTensor;
use evo_plugin::{Error, Params, Problem, ProblemInfo, ProblemSpec, Rows, Tensor, TensorMut};

use crate::abi;
use crate::component::Component;
use crate::describe::{self, Source};
use crate::function::Function;
use crate::marshal::{OwnedParams, OwnedSpec, c_text};
use crate::sink::call;

/// A problem whose table was checked.
pub(crate) struct CProblem {
    pub(crate) component: Component<abi::Problem>,
    pub(crate) info: ProblemInfo,
    /// Whether what it writes may have nothing that this version does not know.
    pub(crate) strict: bool,
}

impl Problem for CProblem {
    fn info(&self) -> ProblemInfo {
        self.info.clone()
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let resolve = self.component.table.resolve.ok_or("`resolve` is NULL")?;
        let owned = OwnedParams::new(fields)?;
        let list = owned.list();
        let problem = self.component.address;
        let returned = call(Function::Resolve, &self.component.label, |host| {
            // SAFETY: the plugin's own table and function, and fields that outlive the call.
            unsafe { resolve(problem, &raw const list, host) }
        })?;
        let what = format!("what `resolve` of the problem `{}` wrote", self.info.name);
        let text = std::str::from_utf8(&returned.bytes)
            .map_err(|error| Error::Failed(format!("{what} is not UTF-8: {error}")))?;
        let source = Source {
            what: &what,
            strict: self.strict,
        };
        Ok(describe::spec(text, source, &self.info.name, fields)?)
    }

    fn fill(
        &self,
        spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        inputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        let fill = self.component.table.fill.ok_or("`fill` is NULL")?;
        let spec = OwnedSpec::new(spec)?;
        let distribution = c_text(distribution)?;
        let inputs: Vec<RawTensor> = inputs.iter().map(|tensor| *tensor.raw()).collect();
        call(Function::Fill, &self.component.label, |host| {
            // SAFETY: as in `resolve`; the inputs are lent for writing during the call.
            unsafe {
                fill(
                    self.component.address,
                    spec.as_ptr(),
                    seed,
                    distribution.as_ptr(),
                    inputs.as_ptr(),
                    inputs.len(),
                    host,
                )
            }
        })?;
        Ok(())
    }

    fn reference(
        &self,
        spec: &ProblemSpec,
        inputs: &[Tensor<'_>],
        rows: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        let reference = self
            .component
            .table
            .reference
            .ok_or("`reference` is NULL")?;
        let spec = OwnedSpec::new(spec)?;
        let inputs: Vec<RawTensor> = inputs.iter().map(|tensor| *tensor.raw()).collect();
        let outputs: Vec<RawTensor> = outputs.iter().map(|tensor| *tensor.raw()).collect();
        let (rows, row_count) = match rows {
            Rows::All => (std::ptr::null(), 0),
            Rows::Some(rows) => (rows.as_ptr(), rows.len()),
        };
        call(Function::Reference, &self.component.label, |host| {
            // SAFETY: as in `resolve`; the inputs are readable and the outputs lent for writing
            // during the call.
            unsafe {
                reference(
                    self.component.address,
                    spec.as_ptr(),
                    inputs.as_ptr(),
                    inputs.len(),
                    rows,
                    row_count,
                    outputs.as_ptr(),
                    outputs.len(),
                    host,
                )
            }
        })?;
        Ok(())
    }
}
