//! Builds and launches source-only kernels: C and C++ through the system compiler, CUDA through
//! NVRTC. A bundle with a description becomes an ordinary [`Plugin`].
//!
//! The description (`NAME.kernel.ron`) is read by `evo-bundle`; here it is made to run. The parts
//! that all languages share are the values of expressions (`values`), the arguments of a call
//! (`call`), and the problem with its inputs and its reference (`problem`); `host` compiles for
//! the CPU and `cuda` for NVIDIA's GPUs.

mod call;
mod code;
mod cuda;
mod element;
mod expected;
mod host;
mod inputs;
mod kernel;
mod npy;
mod problem;
mod reference;
mod shapes;
#[cfg(test)]
mod tests;
mod text;
mod values;

use std::sync::Arc;

use evo_bundle::Bundle;
use evo_bundle::source::{Description, Language};
use evo_plugin::Plugin;

use crate::host::Toolchain;

/// The plugin that a bundle describes.
///
/// # Errors
/// What is wrong with the description, with its file, line and column.
pub fn open(bundle: &Bundle) -> Result<Plugin, String> {
    let read = |file: &str| {
        let content = bundle
            .files
            .get(file)
            .ok_or("the bundle does not have it")?;
        String::from_utf8(content.clone()).map_err(|_| "it is no UTF-8 text".to_owned())
    };
    let description = Description::parse(&bundle.description, &bundle.origin, &bundle.name, &read)
        .map_err(|error| error.to_string())?;
    let source = Arc::new(Source {
        description,
        bundle: bundle.clone(),
    });
    let name = &source.description.name;
    let doc = match source.description.doc.as_str() {
        "" => "A source-only kernel",
        doc => doc,
    };
    let kernel = kernel::SourceKernel::new(Arc::clone(&source))?;
    let mut plugin = Plugin::new(name, kernel.version(), doc);
    if source.description.own_problem().is_some() {
        let problem = problem::SourceProblem::new(Arc::clone(&source))?;
        plugin = plugin.problem(problem).default_spec(&default_spec(&source));
    }
    Ok(plugin.kernel(kernel))
}

/// What `evo run NAME.kernel.ron` does: the defaults against what the search finds.
fn default_spec(source: &Source) -> String {
    let name = &source.description.name;
    format!(
        "(problem: (name: \"{name}\"), tune: [(kernel: \"{name}\")], \
         baselines: [(label: \"defaults\", kernel: \"{name}\")], \
         budget: (trials: 64, wall_s: 60.0))"
    )
}

/// A description with its files.
struct Source {
    description: Description,
    bundle: Bundle,
}

/// The C compiler that source-only kernels are built with, in one line.
///
/// # Errors
/// Where there is none, with what to install.
pub fn c_compiler() -> Result<String, String> {
    Toolchain::of(Language::C)?.version()
}

/// The C++ compiler that source-only kernels are built with, in one line.
///
/// # Errors
/// Where there is none, with what to install.
pub fn cpp_compiler() -> Result<String, String> {
    Toolchain::of(Language::Cpp)?.version()
}
