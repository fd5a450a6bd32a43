//! The plugin's side of the boundary: adapters from the traits to the ABI, and the export macro.

use std::sync::Arc;

use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RErr, ROk, RSlice, RStr, RString, RVec};
use evo_types::{Artifact, BuildRequest, Metric, ProblemSpec};
use serde_json::json;

use crate::abi::{
    BoxedInstance, BoxedKernel, BoxedObjective, BoxedPlugin, BoxedProblem, BoxedProfiler,
    BoxedRunnable, Outside, PluginRoot, PluginRootRef, RawArtifact, RawInstance, RawInstance_TO,
    RawIo, RawKernel, RawKernel_TO, RawObjective, RawObjective_TO, RawPlugin, RawPlugin_TO,
    RawProblem, RawProblem_TO, RawProfiler, RawProfiler_TO, RawResult, RawTensor,
};
use crate::guard::{guard, install_hook};
use crate::{
    Error, Instance, Io, OpenObjective, Plugin, Rows, Runnable, Stream, Tensor, TensorMut,
};

/// Exports a plugin from a library: `evo_plugin::export!(plugin);` where `plugin` is a function
/// `fn() -> Plugin`.
#[macro_export]
macro_rules! export {
    ($constructor:path) => {
        #[doc(hidden)]
        extern "C" fn __evo_open() -> $crate::abi::RawResult<$crate::abi::BoxedPlugin> {
            $crate::__private::open($constructor)
        }

        #[doc(hidden)]
        fn __evo_root() -> $crate::abi::PluginRootRef {
            $crate::__private::root(__evo_open)
        }

        $crate::__export_header!(__evo_root);
    };
}

/// The static that the loader looks for; what `abi_stable::export_root_module` expands to, with
/// paths that do not require the plugin to depend on `abi_stable` itself.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_header {
    ($root:ident) => {
        #[doc(hidden)]
        // SAFETY: the name belongs to abi_stable and is exported once per library.
        #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
        pub static __EVO_LIB_HEADER: $crate::__private::abi_stable::library::LibHeader = {
            extern "C" fn erased() -> $crate::__private::abi_stable::library::RootModuleResult {
                $crate::__private::abi_stable::library::__call_root_module_loader($root)
            }
            // SAFETY: `erased` returns the module type that is named here.
            unsafe {
                $crate::__private::abi_stable::library::LibHeader::from_constructor::<
                    $crate::abi::PluginRootRef,
                >(
                    erased,
                    $crate::__private::abi_stable::library::CheckTypeLayout::Yes,
                )
            }
        };
    };
}

/// Makes the root module around the function that opens the plugin.
#[doc(hidden)]
pub fn root(open: extern "C" fn() -> RawResult<BoxedPlugin>) -> PluginRootRef {
    PluginRoot { open }.leak_into_prefix()
}

/// Opens the plugin behind the boundary.
#[doc(hidden)]
pub fn open(constructor: fn() -> Plugin) -> RawResult<BoxedPlugin> {
    install_hook();
    raw(guard(|| {
        Ok(RawPlugin_TO::from_value(
            PluginShim(Arc::new(constructor())),
            TD_Opaque,
        ))
    }))
}

/// Wraps a plugin of the host's own as if it had come from a library; the host's panic hook stays.
#[doc(hidden)]
pub fn wrap(plugin: Plugin) -> BoxedPlugin {
    RawPlugin_TO::from_value(PluginShim(Arc::new(plugin)), TD_Opaque)
}

fn raw<T>(result: Result<T, Error>) -> RawResult<T> {
    match result {
        Ok(value) => ROk(value),
        Err(error) => RErr(error.to_json().into()),
    }
}

fn document<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Failed(format!("the host sent an unreadable document: {error}")))
}

fn text(value: &impl serde::Serialize) -> Result<RString, Error> {
    serde_json::to_string(value)
        .map(RString::from)
        .map_err(|error| Error::Failed(format!("cannot write a document as JSON: {error}")))
}

fn find<'a, T>(
    kind: &str,
    wanted: &str,
    all: &'a [T],
    name: impl Fn(&T) -> String,
) -> Result<(usize, &'a T), Error> {
    all.iter()
        .enumerate()
        .find(|(_, item)| name(item) == wanted)
        .ok_or_else(|| {
            let names: Vec<String> = all.iter().map(name).collect();
            Error::Failed(format!(
                "there is no {kind} `{wanted}`; there is: {}",
                names.join(", ")
            ))
        })
}

struct PluginShim(Arc<Plugin>);

impl RawPlugin for PluginShim {
    fn info(&self) -> RawResult<RString> {
        raw(guard(|| text(&self.0.info())))
    }

    fn kernel(&self, name: RStr<'_>) -> RawResult<BoxedKernel> {
        raw(guard(|| {
            let (index, _) = find("kernel", &name, &self.0.kernels, |k| k.info().name)?;
            let shim = KernelShim {
                plugin: Arc::clone(&self.0),
                index,
            };
            Ok(RawKernel_TO::from_value(shim, TD_Opaque))
        }))
    }

    fn problem(&self, name: RStr<'_>) -> RawResult<BoxedProblem> {
        raw(guard(|| {
            let (index, _) = find("problem", &name, &self.0.problems, |p| p.info().name)?;
            let shim = ProblemShim {
                plugin: Arc::clone(&self.0),
                index,
            };
            Ok(RawProblem_TO::from_value(shim, TD_Opaque))
        }))
    }

    fn objective(&self, name: RStr<'_>, settings: RStr<'_>) -> RawResult<BoxedObjective> {
        raw(guard(|| {
            let (_, objective) = find("objective", &name, &self.0.objectives, |o| o.info().name)?;
            let open = objective.open(&document(&settings)?)?;
            Ok(RawObjective_TO::from_value(ObjectiveShim(open), TD_Opaque))
        }))
    }

    fn profiler(&self, name: RStr<'_>) -> RawResult<BoxedProfiler> {
        raw(guard(|| {
            let (index, _) = find("profiler", &name, &self.0.profilers, |p| p.info().name)?;
            let shim = ProfilerShim {
                plugin: Arc::clone(&self.0),
                index,
            };
            Ok(RawProfiler_TO::from_value(shim, TD_Opaque))
        }))
    }
}

struct KernelShim {
    plugin: Arc<Plugin>,
    index: usize,
}

impl RawKernel for KernelShim {
    fn accept(&self, request: RStr<'_>) -> RawResult<()> {
        raw(guard(|| {
            self.plugin.kernels[self.index].accept(&document(&request)?)
        }))
    }

    fn build(&self, request: RStr<'_>) -> RawResult<RawArtifact> {
        raw(guard(|| {
            let artifact = self.plugin.kernels[self.index].build(&document(&request)?)?;
            raw_artifact(artifact)
        }))
    }

    fn load(&self, artifact: &RawArtifact, request: RStr<'_>) -> RawResult<BoxedInstance> {
        raw(guard(|| {
            let artifact = artifact_from_raw(artifact)?;
            let request: BuildRequest = document(&request)?;
            let instance = self.plugin.kernels[self.index].load(&artifact, &request)?;
            Ok(RawInstance_TO::from_value(
                InstanceShim(instance),
                TD_Opaque,
            ))
        }))
    }
}

/// Splits an artifact into bytes and document.
pub(crate) fn raw_artifact(mut artifact: Artifact) -> Result<RawArtifact, Error> {
    let bytes = std::mem::take(&mut artifact.bytes);
    Ok(RawArtifact {
        bytes: bytes.into(),
        document: text(&artifact)?,
    })
}

/// Joins what [`raw_artifact`] split.
pub(crate) fn artifact_from_raw(artifact: &RawArtifact) -> Result<Artifact, Error> {
    let mut joined: Artifact = document(&artifact.document)?;
    joined.bytes = artifact.bytes.to_vec();
    Ok(joined)
}

struct InstanceShim(Box<dyn Instance>);

impl RawInstance for InstanceShim {
    fn workspace_size(&self) -> RawResult<usize> {
        raw(guard(|| Ok(self.0.workspace_size())))
    }

    fn prepare(&mut self, inputs: RSlice<'_, RawTensor>) -> RawResult<()> {
        raw(guard(|| {
            // SAFETY: the host keeps the inputs readable and unchanged during the call.
            let tensors: Vec<Tensor<'_>> = inputs
                .iter()
                .map(|raw| unsafe { Tensor::from_raw(*raw) })
                .collect();
            self.0.prepare(&tensors)
        }))
    }

    fn bind(&mut self, io: &RawIo) -> RawResult<()> {
        raw(guard(|| {
            // SAFETY: the host lends the buffers to this instance until the next bind.
            let mut io = unsafe { Io::from_raw(io) };
            self.0.bind(&mut io)
        }))
    }

    fn launch(&mut self, io: &RawIo, stream: u64) -> RawResult<()> {
        raw(guard(|| {
            // SAFETY: as in `bind`.
            let mut io = unsafe { Io::from_raw(io) };
            self.0.launch(&mut io, Stream(stream))
        }))
    }
}

struct ProblemShim {
    plugin: Arc<Plugin>,
    index: usize,
}

impl RawProblem for ProblemShim {
    fn resolve(&self, fields: RStr<'_>) -> RawResult<RString> {
        raw(guard(|| {
            text(&self.plugin.problems[self.index].resolve(&document(&fields)?)?)
        }))
    }

    fn fill(
        &self,
        spec: RStr<'_>,
        seed: u64,
        distribution: RStr<'_>,
        inputs: RSlice<'_, RawTensor>,
    ) -> RawResult<()> {
        raw(guard(|| {
            let spec: ProblemSpec = document(&spec)?;
            // SAFETY: the host lends the inputs for writing during this call; they do not overlap.
            let mut tensors: Vec<TensorMut<'_>> = inputs
                .iter()
                .map(|raw| unsafe { TensorMut::from_raw(*raw) })
                .collect();
            self.plugin.problems[self.index].fill(&spec, seed, &distribution, &mut tensors)
        }))
    }

    fn reference(
        &self,
        spec: RStr<'_>,
        inputs: RSlice<'_, RawTensor>,
        all_rows: bool,
        rows: RSlice<'_, u64>,
        outputs: RSlice<'_, RawTensor>,
    ) -> RawResult<()> {
        raw(guard(|| {
            let spec: ProblemSpec = document(&spec)?;
            // SAFETY: the host keeps the inputs readable and unchanged during the call.
            let inputs: Vec<Tensor<'_>> = inputs
                .iter()
                .map(|raw| unsafe { Tensor::from_raw(*raw) })
                .collect();
            // SAFETY: the host lends the outputs for writing; they do not overlap.
            let mut outputs: Vec<TensorMut<'_>> = outputs
                .iter()
                .map(|raw| unsafe { TensorMut::from_raw(*raw) })
                .collect();
            let rows = if all_rows {
                Rows::All
            } else {
                Rows::Some(rows.as_slice())
            };
            self.plugin.problems[self.index].reference(&spec, &inputs, rows, &mut outputs)
        }))
    }
}

struct ObjectiveShim(Box<dyn OpenObjective>);

impl RawObjective for ObjectiveShim {
    fn space(&self) -> RawResult<RString> {
        raw(guard(|| Ok(self.0.space().unwrap_or_default().into())))
    }

    fn evaluate(&mut self, config: RStr<'_>) -> RawResult<RString> {
        raw(guard(|| {
            let evaluation = self.0.evaluate(&document(&config)?)?;
            check_finite(&evaluation.metrics)?;
            text(&json!({ "metrics": evaluation.metrics, "cost_s": evaluation.cost_s }))
        }))
    }
}

/// JSON has no NaN: a metric that is not finite is an error with the metric's name.
fn check_finite(metrics: &[Metric]) -> Result<(), Error> {
    match metrics.iter().find(|metric| !metric.is_finite()) {
        Some(metric) => Err(Error::Implausible(format!(
            "the metric `{}` is {}, which is no finite number",
            metric.name, metric.value
        ))),
        None => Ok(()),
    }
}

struct ProfilerShim {
    plugin: Arc<Plugin>,
    index: usize,
}

impl RawProfiler for ProfilerShim {
    fn probe(&self, device: RStr<'_>) -> RawResult<()> {
        raw(guard(|| {
            self.plugin.profilers[self.index].probe(&document(&device)?)
        }))
    }

    fn profile(&self, runnable: BoxedRunnable<'_>) -> RawResult<RString> {
        raw(guard(|| {
            let said = runnable.request();
            let request = document(&said)?;
            let WithOutside { outside } = document(&said)?;
            let artifact = artifact_from_raw(&runnable.artifact())?;
            let mut shim = RunnableShim {
                request,
                outside,
                artifact,
                runnable,
            };
            let metrics = self.plugin.profilers[self.index].profile(&mut shim)?;
            check_finite(&metrics)?;
            text(&metrics)
        }))
    }
}

struct RunnableShim<'a> {
    request: BuildRequest,
    outside: Outside,
    artifact: Artifact,
    runnable: BoxedRunnable<'a>,
}

impl Runnable for RunnableShim<'_> {
    fn request(&self) -> &BuildRequest {
        &self.request
    }

    fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    fn launch(&mut self) -> Result<(), Error> {
        self.runnable
            .launch()
            .into_result()
            .map_err(|error| Error::from_json(&error))
    }

    fn command(&self, launches: u32) -> Result<Vec<String>, Error> {
        let mut words = self.outside.command.clone();
        if words.is_empty() {
            return Err(Error::Rejected(
                "this evo cannot launch a candidate in a process of its own".to_owned(),
            ));
        }
        words.extend(["--launches".to_owned(), launches.to_string()]);
        Ok(words)
    }

    fn folder(&self) -> Option<std::path::PathBuf> {
        self.outside.folder.clone()
    }

    fn measured(&self) -> &[Metric] {
        &self.outside.measured
    }
}

/// The part of a request's document that a request itself has not.
#[derive(Default, serde::Deserialize)]
struct WithOutside {
    #[serde(default)]
    outside: Outside,
}

/// Used by the host to read errors and artifacts.
#[doc(hidden)]
pub mod host {
    use super::*;

    /// Reads a result of the boundary.
    ///
    /// # Errors
    /// The plugin's error.
    pub fn result<T>(result: RawResult<T>) -> Result<T, Error> {
        result
            .into_result()
            .map_err(|error| Error::from_json(&error))
    }

    /// A result for the boundary.
    pub fn to_result<T>(result: Result<T, Error>) -> RawResult<T> {
        raw(result)
    }

    /// Splits an artifact for the boundary.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn to_raw(artifact: &Artifact) -> Result<RawArtifact, Error> {
        raw_artifact(artifact.clone())
    }

    /// Joins an artifact from the boundary.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn from_raw(artifact: &RawArtifact) -> Result<Artifact, Error> {
        artifact_from_raw(artifact)
    }

    /// Rows for the boundary.
    pub fn rows(rows: Rows<'_>) -> (bool, RVec<u64>) {
        match rows {
            Rows::All => (true, RVec::new()),
            Rows::Some(rows) => (false, rows.to_vec().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_exported_name_is_the_one_that_the_loader_looks_for() {
        assert_eq!(
            abi_stable::library::ROOT_MODULE_LOADER_NAME,
            "_1as_0lib_1header_0root_bmodule_bloader"
        );
    }
}
