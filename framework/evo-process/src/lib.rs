//! Kernels, problems and objectives in another process: the protocol, shared memory, and the
//! adapter onto the plugin traits.

use evo_bundle::Bundle;
use evo_plugin::Plugin;

/// Starts the process that a bundle describes and asks what it brings.
///
/// # Errors
/// Why the process cannot be started, or what is wrong with its answer.
pub fn open(bundle: &Bundle) -> Result<Plugin, String> {
    Err(format!("{}: processes cannot be opened", bundle.origin))
}
