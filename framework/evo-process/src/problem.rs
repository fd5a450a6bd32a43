//! A problem of the other process.

use std::sync::Arc;

use evo_plugin::{Error, Params, Problem, ProblemInfo, ProblemSpec, Rows, Tensor, TensorMut};
use serde::Deserialize;
use serde_json::json;

use crate::connection::Connection;
use crate::kernel::Done;
use crate::tensors::Staging;

pub(crate) struct ProcessProblem {
    connection: Arc<Connection>,
    info: ProblemInfo,
}

#[derive(Deserialize)]
struct Resolved {
    spec: ProblemSpec,
}

impl ProcessProblem {
    pub(crate) fn new(connection: &Arc<Connection>, info: ProblemInfo) -> Self {
        Self {
            connection: Arc::clone(connection),
            info,
        }
    }
}

impl Problem for ProcessProblem {
    fn info(&self) -> ProblemInfo {
        self.info.clone()
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let question = json!({ "problem": self.info.name, "fields": fields });
        let resolved: Resolved = self.connection.ask("resolve", question)?;
        Ok(resolved.spec)
    }

    fn fill(
        &self,
        spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        inputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        let mut staging = Staging::default();
        let inputs = inputs
            .iter_mut()
            .map(|tensor| staging.write(tensor))
            .collect::<Result<Vec<_>, _>>()?;
        let question = json!({
            "problem": self.info.name,
            "spec": spec,
            "seed": seed,
            "distribution": distribution,
            "inputs": inputs,
        });
        staging
            .ask(&self.connection, "fill", question)
            .map(|Done {}| ())
    }

    fn reference(
        &self,
        spec: &ProblemSpec,
        inputs: &[Tensor<'_>],
        rows: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        let mut staging = Staging::default();
        let inputs = inputs
            .iter()
            .map(|tensor| staging.read(tensor))
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = outputs
            .iter_mut()
            .map(|tensor| staging.write(tensor))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = match rows {
            Rows::All => None,
            Rows::Some(rows) => Some(rows),
        };
        let question = json!({
            "problem": self.info.name,
            "spec": spec,
            "inputs": inputs,
            "outputs": outputs,
            "rows": rows,
        });
        staging
            .ask(&self.connection, "reference", question)
            .map(|Done {}| ())
    }
}
