//! The kernel of a description as the framework sees it.

use std::sync::Arc;

use evo_bundle::Bundle;
use evo_bundle::source::Language;
use evo_plugin::{Artifact, BuildRequest, Error, Instance, Kernel, KernelInfo, ParamInfo, Params};
use evo_types::{ContentHash, format_params};

use crate::call::Call;
use crate::cuda;
use crate::host;
use crate::text::Rendered;
use crate::{Source, values};

/// The kernel of a description.
pub(crate) struct SourceKernel {
    source: Arc<Source>,
    version: String,
}

/// Everything about a candidate that is known without compiling it.
pub(crate) struct Job {
    pub(crate) call: Call,
    pub(crate) rendered: Rendered,
    pub(crate) values: Params,
}

impl SourceKernel {
    pub(crate) fn new(source: Arc<Source>) -> Result<Self, String> {
        // Where it lies does not change what it is.
        let anywhere = Bundle {
            origin: String::new(),
            folder: String::new(),
            ..source.bundle.clone()
        };
        let bytes = anywhere.to_bytes().map_err(|error| error.to_string())?;
        let version = format!("1+{}", ContentHash::of_bytes(&bytes).short());
        Ok(Self { source, version })
    }

    /// Changes with the description and with every file, not with the place where they are.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    fn job(&self, request: &BuildRequest) -> Result<Job, Error> {
        let description = &self.source.description;
        let values = values::of_candidate(description, request);
        let call = Call::resolve(description, request, &values)?;
        let rendered = Rendered::new(&self.source, &values, &request.config)?;
        Ok(Job {
            call,
            rendered,
            values,
        })
    }

    fn is_cuda(&self) -> bool {
        self.source.description.language == Language::Cuda
    }
}

/// A failed build as people read it: the first error, the parameters in force, and in the log the
/// whole text of the compiler.
pub(crate) fn build_failed(first: &str, command: &str, log: &str, config: &Params) -> Error {
    let with = if config.is_empty() {
        String::new()
    } else {
        format!(" (with {})", format_params(config))
    };
    Error::BuildFailed {
        message: format!("{first}{with}"),
        log: format!("parameters: {}\n{command}\n{log}", format_params(config)),
    }
}

impl Kernel for SourceKernel {
    fn info(&self) -> KernelInfo {
        let description = &self.source.description;
        KernelInfo {
            name: description.name.clone(),
            version: self.version.clone(),
            doc: description.doc.clone(),
            problems: vec![description.problem_name().to_owned()],
            devices: vec![if self.is_cuda() { "cuda" } else { "cpu" }.to_owned()],
            params: description
                .params
                .iter()
                .map(|param| ParamInfo {
                    name: param.name.clone(),
                    doc: param.doc.clone(),
                    default: param.default.clone(),
                    runtime: param.runtime,
                })
                .collect(),
            space: description.space.clone(),
            deterministic: description.deterministic,
            prepares: false,
        }
    }

    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        let job = self.job(request)?;
        if self.is_cuda() {
            cuda::check(&self.source, request, &job)?;
        }
        Ok(())
    }

    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error> {
        let job = self.job(request)?;
        if self.is_cuda() {
            cuda::build(&self.source, request, job)
        } else {
            host::build(&self.source, request, job)
        }
    }

    fn load(
        &self,
        artifact: &Artifact,
        request: &BuildRequest,
    ) -> Result<Box<dyn Instance>, Error> {
        let values = values::of_candidate(&self.source.description, request);
        let call = Call::resolve(&self.source.description, request, &values)?;
        if self.is_cuda() {
            cuda::load(&self.source, artifact, request, call)
        } else {
            host::load(artifact, call)
        }
    }
}
