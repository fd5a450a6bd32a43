//! Kernels, problems and objectives in another process: Python, or any other language.
//!
//! [`open`] unpacks a bundle, starts its command, and speaks the protocol of `PROTOCOL.md` with it
//! over a socket of its own; what the process brings is adapted onto the traits of `evo-plugin`.
//! The framework stays in charge: buffers are [`SharedMemory`] of this process, or
//! [`SharedDeviceMemory`] on a GPU, seeds are drawn and results judged here, and the time of a batch
//! is taken here; the time that the other side reports is only held against it. On a GPU only the
//! other side can mark its own stream: there its events count, and our clock is held against them.
//!
//! A launch does not run at once: it is queued under the number of its stream, and [`finish`] sends
//! the whole queue as one message, so that a batch costs one round trip and not one for each launch.

mod child;
mod connection;
mod frame;
mod kernel;
mod objective;
mod problem;
mod queue;
mod shared;
mod tensors;
mod unpack;

use std::sync::Arc;

use evo_bundle::{Bundle, BundleKind, ProcessDescription};
use evo_plugin::Plugin;
use evo_types::{InterfaceVersion, PluginInfo};
use serde::Deserialize;
use serde_json::{Value, json};

pub use child::python;
use connection::Connection;
pub use connection::processes_on_gpu;
pub use queue::{Clock, finish, finish_timed, mark_for_profilers, new_stream, record, round_trip};
pub use shared::{SharedDeviceMemory, SharedMemory};

/// The version of the protocol that this crate speaks: major, minor. Minor 1 added memory of GPUs,
/// `record`, and `collect`.
pub const PROTOCOL: (u32, u32) = (1, 1);

/// Starts the process that a bundle describes and asks what it brings.
///
/// # Errors
/// Why the process cannot be started, or what is wrong with its answer: for people, with the last
/// lines that it printed.
pub fn open(bundle: &Bundle) -> Result<Plugin, String> {
    let told = |message: String| format!("{}: {message}", bundle.origin);
    if bundle.kind != BundleKind::Process {
        return Err(told("this is no description of a process".to_owned()));
    }
    let description = ProcessDescription::parse(&bundle.description, &bundle.origin)
        .map_err(|error| error.to_string())?;
    let unpacked = unpack::unpack(bundle).map_err(told)?;
    let child = child::start(&description, &unpacked, bundle).map_err(told)?;
    let connection = Arc::new(Connection::new(child));
    greet(&connection).map_err(told)?;
    let mut info = describe(&connection, bundle).map_err(told)?;
    if info.doc.is_empty() {
        info.doc = description.doc;
    }
    Ok(plugin(&connection, info))
}

#[derive(Deserialize)]
struct Hello {
    protocol: (u32, u32),
    #[serde(default)]
    software: String,
}

/// Both sides say which version they speak; the same major version is needed.
fn greet(connection: &Connection) -> Result<(), String> {
    let hello: Hello = connection
        .ask("hello", json!({ "protocol": PROTOCOL }))
        .map_err(|error| error.to_string())?;
    if hello.protocol.0 == PROTOCOL.0 {
        return Ok(());
    }
    let software = if hello.software.is_empty() {
        "the process".to_owned()
    } else {
        format!("the process ({})", hello.software)
    };
    Err(format!(
        "{software} speaks protocol {}.{}, and this `evo` {}.{}: they need the same first number; \
         use the package that came with this `evo`, or the `evo` that came with the package",
        hello.protocol.0, hello.protocol.1, PROTOCOL.0, PROTOCOL.1
    ))
}

#[derive(Deserialize)]
struct Described {
    plugin: Value,
}

fn describe(connection: &Connection, bundle: &Bundle) -> Result<PluginInfo, String> {
    let described: Described = connection
        .ask("describe", json!({ "name": bundle.name }))
        .map_err(|error| error.to_string())?;
    let mut document = described.plugin;
    if let Some(object) = document.as_object_mut() {
        // What a library is built for, a process is not: its version is the protocol's.
        let interface = serde_json::to_value(InterfaceVersion::CURRENT).unwrap_or_default();
        object.insert("interface".to_owned(), interface);
    }
    let info: PluginInfo = serde_json::from_value(document)
        .map_err(|error| format!("its answer to `describe` cannot be used: {error}"))?;
    if let Some(profiler) = info.profilers.first() {
        return Err(format!(
            "it describes the profiler `{}`, but a process cannot bring profilers",
            profiler.name
        ));
    }
    Ok(info)
}

fn plugin(connection: &Arc<Connection>, info: PluginInfo) -> Plugin {
    let mut plugin = Plugin::new(&info.name, &info.version, &info.doc);
    if let Some(spec) = &info.default_spec {
        plugin = plugin.default_spec(spec);
    }
    for kernel in info.kernels {
        plugin = plugin.kernel(kernel::ProcessKernel::new(connection, kernel));
    }
    for problem in info.problems {
        plugin = plugin.problem(problem::ProcessProblem::new(connection, problem));
    }
    for objective in info.objectives {
        plugin = plugin.objective(objective::ProcessObjective::new(connection, objective));
    }
    plugin
}
