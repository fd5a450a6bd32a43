//! Static check and build, with a small cache: a candidate is often built by one request and
//! measured by the next.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use evo_plugin::Error;
use evo_types::{BuildRequest, ContentHash, KernelInfo, Outcome, Params, Phase, RejectedBy};

use crate::component::{Built, Kernel};
use crate::fault::{Fault, outcome_of};

/// Builds that are kept.
const KEPT: usize = 16;

/// Builds kernels; never the same twice in a row.
#[derive(Default)]
pub(crate) struct Builder {
    kept: VecDeque<(ContentHash, Rc<Built>)>,
}

/// A finished build.
pub(crate) struct Finished {
    pub(crate) built: Rc<Built>,
    pub(crate) seconds: f64,
}

impl Builder {
    /// The static check and the build.
    ///
    /// # Errors
    /// The outcome of a candidate that was refused or could not be built.
    pub(crate) fn build(
        &mut self,
        kernel: &Kernel,
        request: &BuildRequest,
    ) -> Result<Rc<Built>, Fault> {
        check_request(kernel, request)?;
        accept(kernel, request)?;
        Ok(self.build_accepted(kernel, request)?.built)
    }

    /// The build alone.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub(crate) fn build_accepted(
        &mut self,
        kernel: &Kernel,
        request: &BuildRequest,
    ) -> Result<Finished, Fault> {
        let start = Instant::now();
        let key = key(kernel, request)?;
        let known = self.kept.iter().find(|(other, _)| *other == key);
        let built = match known {
            Some((_, built)) => Rc::clone(built),
            None => {
                let built = kernel
                    .build(request)
                    .map_err(|error| Fault::from(outcome_of(error, Phase::Build)))?;
                let built = Rc::new(built);
                if self.kept.len() == KEPT {
                    self.kept.pop_front();
                }
                self.kept.push_back((key, Rc::clone(&built)));
                built
            }
        };
        Ok(Finished {
            built,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// What does not need the plugin's own judgement.
pub(crate) fn check_request(kernel: &Kernel, request: &BuildRequest) -> Result<(), Fault> {
    let info = &kernel.info;
    let reject = |reason| {
        Fault::from(Outcome::Rejected {
            by: RejectedBy::Kernel,
            reason,
        })
    };
    if !info.problems.contains(&request.problem.problem) {
        return Err(reject(format!(
            "the kernel `{}` does not solve the problem `{}`; it solves: {}",
            info.name,
            request.problem.problem,
            info.problems.join(", ")
        )));
    }
    if !info.devices.contains(&request.device.kind) {
        return Err(reject(format!(
            "the kernel `{}` does not run on a device of kind `{}`; it runs on: {}",
            info.name,
            request.device.kind,
            info.devices.join(", ")
        )));
    }
    Ok(())
}

/// The kernel's static check.
///
/// # Errors
/// The outcome of a candidate that was refused.
pub(crate) fn accept(kernel: &Kernel, request: &BuildRequest) -> Result<(), Fault> {
    kernel
        .accept(request)
        .map_err(|error| match error {
            // Here any error is a refusal, except a panic or exhausted memory.
            Error::Failed(reason) => outcome_of(Error::Rejected(reason), Phase::Accept),
            error => outcome_of(error, Phase::Accept),
        })
        .map_err(Fault::from)
}

fn key(kernel: &Kernel, request: &BuildRequest) -> Result<ContentHash, Fault> {
    let request = serde_json::to_vec(request)
        .map_err(|error| Fault::internal(format!("a request cannot be written: {error}")))?;
    let (plugin, version) = &kernel.plugin;
    Ok(ContentHash::of_parts(&[
        plugin.as_bytes(),
        version.as_bytes(),
        kernel.info.name.as_bytes(),
        kernel.info.version.as_bytes(),
        &request,
    ]))
}

/// What tells one execution of a kernel from another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts {
    /// The machine code, whatever names and paths it was built with.
    pub(crate) code: ContentHash,
    /// The launch geometry, as the build says it.
    pub(crate) launch: Params,
    /// The parameters that act at launch only, by the kernel's own description.
    pub(crate) runtime: Params,
}

impl Parts {
    pub(crate) fn of(kernel: &Kernel, built: &Built, config: &Params) -> Self {
        Self {
            code: built.code.hash.clone(),
            launch: built.artifact.launch.clone(),
            runtime: runtime_params(&kernel.info, config),
        }
    }

    /// The identity of the whole. The kernel is part of it: which entry point it launches, and with
    /// which arguments, is code that the artifact does not hold.
    pub(crate) fn execution(&self, kernel: &Kernel) -> ContentHash {
        let (plugin, version) = &kernel.plugin;
        ContentHash::of_parts(&[
            plugin.as_bytes(),
            version.as_bytes(),
            kernel.info.name.as_bytes(),
            kernel.info.version.as_bytes(),
            self.code.as_str().as_bytes(),
            document(&self.launch).as_bytes(),
            document(&self.runtime).as_bytes(),
        ])
    }
}

/// Identity of what is executed.
pub(crate) fn execution(kernel: &Kernel, built: &Built, config: &Params) -> ContentHash {
    Parts::of(kernel, built, config).execution(kernel)
}

fn runtime_params(info: &KernelInfo, config: &Params) -> Params {
    info.params
        .iter()
        .filter(|param| param.runtime)
        .map(|param| {
            let value = config.get(&param.name).unwrap_or(&param.default);
            (param.name.clone(), value.clone())
        })
        .collect()
}

/// Parameters as JSON; they hold finite numbers and text only, so that this cannot fail.
fn document(params: &Params) -> String {
    serde_json::to_string(params).unwrap_or_default()
}
