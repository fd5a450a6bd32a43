//! Calls to the parts of plugins, with documents as JSON and errors as values.

use std::rc::Rc;

use abi_stable::std_types::RSlice;
use evo_plugin::__private::host;
use evo_plugin::abi::{
    BoxedInstance, BoxedKernel, BoxedProblem, RawArtifact, RawResult, RawTensor,
};
use evo_plugin::{Error, Rows};
use evo_types::{Artifact, BuildRequest, KernelInfo, Params, PluginKind, ProblemSpec};
use serde::Serialize;

use crate::bulk::Doubles;
use crate::device_reference;
use crate::gpu::Gpu;
use crate::identity::Code;
use crate::loader::LoadedPlugin;
use crate::memory::{BufferSet, Expected, OutOfMemory};
use crate::site::Site;

fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::Failed(format!("a document cannot be written: {error}")))
}

impl From<OutOfMemory> for Error {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error.0)
    }
}

/// A kernel of a plugin.
pub(crate) struct Kernel {
    raw: BoxedKernel,
    pub(crate) info: KernelInfo,
    /// Name and version of the plugin.
    pub(crate) plugin: (String, String),
    /// Where it works.
    pub(crate) site: Site,
}

/// A built artifact, as document and as the boundary has it.
#[derive(Clone)]
pub(crate) struct Built {
    pub(crate) artifact: Artifact,
    /// What the artifact's bytes are, whatever names are in them.
    pub(crate) code: Code,
    pub(crate) raw: RawArtifact,
}

impl Kernel {
    pub(crate) fn find(plugin: &Rc<LoadedPlugin>, name: &str, site: Site) -> Result<Self, Error> {
        let raw = host::result(plugin.raw.kernel(name.into()))?;
        let info = plugin.info.kernels.iter().find(|info| info.name == name);
        let info = info.cloned().ok_or_else(|| {
            Error::Failed(format!("the plugin does not describe the kernel `{name}`"))
        })?;
        Ok(Self {
            raw,
            info,
            plugin: (plugin.info.name.clone(), plugin.info.version.clone()),
            site,
        })
    }

    pub(crate) fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        host::result(self.raw.accept(json(request)?.as_str().into()))
    }

    pub(crate) fn build(&self, request: &BuildRequest) -> Result<Built, Error> {
        let raw = host::result(self.raw.build(json(request)?.as_str().into()))?;
        let artifact = host::from_raw(&raw)?;
        Ok(Built {
            code: Code::of(&artifact.bytes),
            artifact,
            raw,
        })
    }

    pub(crate) fn load(&self, built: &Built, request: &BuildRequest) -> Result<Instance, Error> {
        let request = json(request)?;
        let raw = host::result(self.raw.load(&built.raw, request.as_str().into()))?;
        Ok(Instance {
            raw,
            site: self.site.clone(),
        })
    }
}

/// A loaded kernel.
pub(crate) struct Instance {
    raw: BoxedInstance,
    site: Site,
}

impl Instance {
    pub(crate) fn workspace_size(&self) -> Result<usize, Error> {
        host::result(self.raw.workspace_size())
    }

    pub(crate) fn prepare(&mut self, set: &BufferSet) -> Result<(), Error> {
        let inputs = RSlice::from_slice(set.io().inputs.as_slice());
        host::result(self.raw.prepare(inputs))
    }

    pub(crate) fn bind(&mut self, set: &BufferSet) -> Result<(), Error> {
        host::result(self.raw.bind(set.io()))
    }

    /// Launches once; the work may go on until [`Site::wait`].
    pub(crate) fn launch(&mut self, set: &BufferSet) -> Result<(), Error> {
        host::result(self.launch_raw(set))
    }

    /// As [`launch`](Self::launch), for handing the answer on to another plugin.
    pub(crate) fn launch_raw(&mut self, set: &BufferSet) -> RawResult<()> {
        self.raw.launch(set.io(), self.site.stream().0)
    }

    /// Where it works.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }
}

/// A problem of a plugin.
pub(crate) struct Problem {
    raw: BoxedProblem,
    pub(crate) name: String,
    built_in: bool,
}

impl Problem {
    pub(crate) fn find(plugin: &Rc<LoadedPlugin>, name: &str) -> Result<Self, Error> {
        let raw = host::result(plugin.raw.problem(name.into()))?;
        Ok(Self {
            raw,
            name: name.to_owned(),
            built_in: plugin.kind == PluginKind::BuiltIn,
        })
    }

    pub(crate) fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let text = host::result(self.raw.resolve(json(fields)?.as_str().into()))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Failed(format!("its answer cannot be read: {error}")))
    }

    pub(crate) fn fill(
        &self,
        spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        set: &mut BufferSet,
    ) -> Result<(), Error> {
        let spec = json(spec)?;
        let inputs = RSlice::from_slice(set.raw_inputs());
        host::result(
            self.raw
                .fill(spec.as_str().into(), seed, distribution.into(), inputs),
        )
    }

    /// The GPU that computes references for kernels of a site, all rows as fast as the host
    /// computes a few.
    fn referee<'s>(&self, spec: &ProblemSpec, site: &'s Site) -> Option<&'s Gpu> {
        let gpu = site.gpu()?;
        let able = self.built_in && device_reference::is_for(spec);
        (able && gpu.reference().is_available()).then_some(gpu)
    }

    /// Whether the reference of all rows costs no more than that of some.
    pub(crate) fn has_fast_reference(&self, spec: &ProblemSpec, site: &Site) -> bool {
        device_reference::is_fast_for(spec) && self.referee(spec, site).is_some()
    }

    /// The reference for the inputs of a set: all rows, or at least those in `rows`.
    pub(crate) fn reference(
        &self,
        spec: &ProblemSpec,
        set: &BufferSet,
        rows: Option<&[u64]>,
    ) -> Result<Vec<Doubles>, Error> {
        let all_are_worth_it = rows.is_none() || device_reference::is_fast_for(spec);
        let referee = self.referee(spec, set.site());
        if let Some(gpu) = referee.filter(|_| all_are_worth_it) {
            let host = |rows: &[u64]| {
                let mut outputs = self.host_reference(spec, set, Some(rows))?;
                Ok(outputs.pop().unwrap_or_default())
            };
            if let Some(values) = gpu.reference().compute(gpu, spec, set, host)? {
                return Ok(vec![values]);
            }
        }
        self.host_reference(spec, set, rows)
    }

    /// As [`reference`](Self::reference), computed by the problem itself; other rows than those asked
    /// for may be NaN.
    pub(crate) fn host_reference(
        &self,
        spec: &ProblemSpec,
        set: &BufferSet,
        rows: Option<&[u64]>,
    ) -> Result<Vec<Doubles>, Error> {
        let mut expected = spec
            .outputs()
            .map(Expected::new)
            .collect::<Result<Vec<_>, _>>()?;
        let raw: Vec<RawTensor> = expected.iter_mut().map(Expected::raw).collect();
        let (all, rows) = host::rows(rows.map_or(Rows::All, Rows::Some));
        let text = json(spec)?;
        host::result(self.raw.reference(
            text.as_str().into(),
            RSlice::from_slice(set.raw_inputs()),
            all,
            rows.as_rslice(),
            RSlice::from_slice(&raw),
        ))?;
        Ok(expected.into_iter().map(Expected::into_values).collect())
    }
}
