//! The C plugin interface: the table of `evo-plugin/include/evo_plugin.h`, and the adapter from it
//! onto the plugin traits.

use std::path::Path;

use evo_plugin::Plugin;

/// The symbol that a C plugin exports.
pub const ENTRY: &str = "evo_plugin_entry";

/// Opens a library that exports [`ENTRY`]. The library stays loaded for good.
///
/// # Errors
/// Another major version, a table that cannot be right, or what the plugin itself says; `origin`
/// is where the file came from.
pub fn open(path: &Path, origin: &str) -> Result<Plugin, String> {
    let _ = path;
    Err(format!("{origin}: C plugins cannot be opened"))
}
