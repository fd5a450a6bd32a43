//! Compiles the kernel.

use std::fmt::Display;
use std::process::Command;

use evo_plugin::Error;
use tempfile::TempDir;

/// Compiles `kernel.c` with some definitions to a shared library. Debug information and the name
/// of the folder get into the file, and the processor never sees them.
pub(crate) fn compile(defines: &[String]) -> Result<Vec<u8>, Error> {
    let folder = folder()?;
    let source = folder.path().join("kernel.c");
    std::fs::write(&source, include_str!("kernel.c")).map_err(failed)?;
    let out = folder.path().join("kernel.so");
    let ended = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-g"])
        .args(defines)
        .arg("-o")
        .args([&out, &source])
        .output()
        .map_err(failed)?;
    if !ended.status.success() {
        return Err(Error::BuildFailed {
            message: "the compiler failed".into(),
            log: String::from_utf8_lossy(&ended.stderr).into_owned(),
        });
    }
    std::fs::read(&out).map_err(failed)
}

/// A folder that goes away by itself.
pub(crate) fn folder() -> Result<TempDir, Error> {
    tempfile::tempdir().map_err(failed)
}

pub(crate) fn failed(error: impl Display) -> Error {
    Error::Failed(error.to_string())
}
