//! Asking a worker about plugins and the machine, with no run behind it.

use std::path::Path;

use evo_journal::Plan;
use evo_types::{ContentHash, PluginInfo, PluginKind};
use evo_wire::{BUILT_IN_ORIGIN, ComponentRef, Reply, Request, Tool, built_in};

use super::{CPU, settings};
use crate::spec::RunSpec;
use crate::worker::{CallFailure, Host, HostSettings, Patience};
use crate::{RunError, Stop, Store};

/// A host with the program's own defaults, for commands that only ask plugins.
///
/// # Errors
/// Where the store cannot be opened.
pub fn default_worker(program: &Path) -> Result<Host, RunError> {
    let limits = settings::limits(&RunSpec::default());
    let settings = HostSettings {
        program: program.to_owned(),
        store: Store::open()?,
        device: CPU.to_owned(),
        cpus: Vec::new(),
        limits,
    };
    Ok(Host::new(settings))
}

/// What a worker says of a plugin.
#[derive(Debug, Clone)]
pub struct Described {
    /// The plugin's content.
    pub hash: ContentHash,
    /// The way in which it is brought.
    pub kind: PluginKind,
    /// What is in it.
    pub info: PluginInfo,
}

/// Loads a plugin in a worker and asks what is in it.
///
/// # Errors
/// Where it is no plugin, or none for this version of the interface.
pub fn describe_plugin(host: &mut Host, path: &Path, stop: &Stop) -> Result<Described, RunError> {
    let hash = host.settings().store.add(path)?;
    describe(host, hash, &path.display().to_string(), stop)
}

/// Asks what the plugin brings that is part of `evo` itself.
///
/// # Errors
/// Where no worker can be started.
pub fn describe_built_in(host: &mut Host, stop: &Stop) -> Result<Described, RunError> {
    describe(host, built_in(), BUILT_IN_ORIGIN, stop)
}

/// Asks what is in a plugin of the store, or in what is part of `evo` itself.
pub(crate) fn describe(
    host: &mut Host,
    hash: ContentHash,
    origin: &str,
    stop: &Stop,
) -> Result<Described, RunError> {
    let request = Request::LoadPlugin {
        plugin: hash.clone(),
        origin: origin.to_owned(),
    };
    let called = host.call(request, 0.0, stop, Patience::Short, &mut |_, _| {});
    match called.map_err(|failure| not_loaded(failure, origin))? {
        Reply::Plugin { kind, info } => Ok(Described {
            hash,
            kind,
            info: *info,
        }),
        other => Err(unexpected("LoadPlugin", &other)),
    }
}

/// What became of a plugin that could not even be opened, with its name.
fn not_loaded(failure: CallFailure, origin: &str) -> RunError {
    match failure {
        CallFailure::TimedOut { limit_s, .. } => RunError::input(format!(
            "the plugin {origin} was not opened within {limit_s} s"
        ))
        .hint(
            "start-up code of the library, or the process before it answers `hello`, hangs; run it \
             by itself to see where",
        ),
        CallFailure::Died {
            message, output, ..
        } => {
            let output = if output.is_empty() {
                String::new()
            } else {
                format!("; the last that it printed:\n{output}")
            };
            RunError::input(format!(
                "the plugin {origin} brought its worker down while it was opened: {message}{output}"
            ))
            .hint(
                "start-up code that ends the process, or a library for another machine, does this",
            )
        }
        failure => failure.into(),
    }
}

/// Whether a profiler can work on this machine: why not, and what to do, where it cannot.
///
/// # Errors
/// Where no worker can be started, or the plugin fails.
pub fn probe_profiler(
    host: &mut Host,
    plugin: &Described,
    profiler: &str,
    stop: &Stop,
) -> Result<Option<String>, RunError> {
    let profiler = ComponentRef {
        plugin: plugin.hash.clone(),
        name: profiler.to_owned(),
    };
    let request = Request::Probe { profiler };
    match host.call(request, 0.0, stop, Patience::Short, &mut |_, _| {})? {
        Reply::Probed { absent } => Ok(absent),
        other => Err(unexpected("Probe", &other)),
    }
}

/// Which tools and GPUs a worker finds on this machine.
///
/// # Errors
/// Where no worker can be started.
pub fn tools(host: &mut Host, stop: &Stop) -> Result<Vec<Tool>, RunError> {
    match host.call(Request::Tools, 0.0, stop, Patience::Short, &mut |_, _| {})? {
        Reply::Tools { tools } => Ok(tools),
        other => Err(unexpected("Tools", &other)),
    }
}

pub(crate) fn unexpected(request: &str, reply: &Reply) -> RunError {
    let text = format!("{reply:?}");
    let head: String = text.chars().take(80).collect();
    RunError::internal(format!("the worker answered {request} with {head}"))
}

/// The component of a plugin that a plan names.
pub(crate) fn component(plan: &Plan, plugin: &str, name: &str) -> Result<ComponentRef, RunError> {
    let planned = plan.plugins.iter().find(|planned| planned.name == plugin);
    let planned = planned.ok_or_else(|| {
        RunError::internal(format!(
            "the plan names `{plugin}/{name}` and no such plugin"
        ))
    })?;
    Ok(ComponentRef {
        plugin: planned.hash.clone(),
        name: name.to_owned(),
    })
}
