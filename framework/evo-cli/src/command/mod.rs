//! The commands, one file each.

pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod plugin;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod shell;
pub(crate) mod space;
mod space_audit;
pub(crate) mod study;

use std::path::{Path, PathBuf};

use evo_run::RunError;

/// The program itself: workers are started from it.
fn program() -> Result<PathBuf, RunError> {
    std::env::current_exe().map_err(|error| {
        RunError::environment(format!("cannot find the program's own file: {error}"))
    })
}

/// Writes to standard output; a closed pipe (`evo ... | head`) is an end, not a failure.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// A path as a user in this folder would type it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Writes a line to standard error. A closed one is no reason to stop: the run's record is its
/// journal, not the terminal.
pub(crate) fn note(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
