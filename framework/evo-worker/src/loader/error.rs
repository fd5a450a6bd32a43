//! Why a plugin file could not be loaded: what, where, and what to do.

use std::path::PathBuf;

use abi_stable::library::LibraryError;
use evo_types::InterfaceVersion;
use thiserror::Error;

use super::elf::ElfError;

/// What is wrong with a plugin file. The path is where the file came from.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error(
        "`{0}` is no content hash: 64 lower-case hexadecimal digits are expected. This is a fault \
         in `evo` itself"
    )]
    BadHash(String),
    #[error(
        "the plugin {origin} is not in the store (no file {path}): {source}; run the command \
         again, so that it is copied there"
    )]
    Unreadable {
        origin: String,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the plugin {origin}: {path} is not a regular file; remove it and run again")]
    NotAFile { origin: String, path: PathBuf },
    #[error(
        "the plugin {origin} was changed or damaged in the store: {path} has the content hash \
         {actual}; delete that file and run again"
    )]
    Damaged {
        origin: String,
        path: PathBuf,
        actual: String,
    },
    #[error("the plugin {origin} cannot be loaded: {source}")]
    NotALibrary { origin: String, source: ElfError },
    #[error(
        "the plugin {origin} cannot be opened: {message}; a symbol or library that it needs is \
         missing on this machine (`ldd {origin}` lists what it needs)"
    )]
    Open { origin: String, message: String },
    #[error(
        "{origin} is a shared library, but no evo plugin: it does not export a plugin; in Rust call \
         `evo_plugin::export!(...)` in its lib.rs, in C define `evo_plugin_entry` as \
         evo_plugin.h says"
    )]
    NotAPlugin { origin: String },
    #[error(
        "the plugin {origin} was built with another version of the abi_stable crate \
         ({theirs}; this evo has {ours}); build it against the `evo-plugin` crate of this evo"
    )]
    AbiStable {
        origin: String,
        theirs: String,
        ours: String,
    },
    #[error(
        "the plugin {origin} was built for plugin interface {theirs}, and this evo speaks \
         interface {ours}; build the plugin against `evo-plugin` {ours}, or use an evo that \
         speaks {theirs}"
    )]
    Interface {
        origin: String,
        theirs: String,
        ours: String,
    },
    #[error(
        "the plugin {origin} says that it speaks interface {theirs}, but is laid out \
         differently:\n{lines}\nbuild it against the `evo-plugin` crate of this evo"
    )]
    Layout {
        origin: String,
        theirs: String,
        lines: String,
    },
    /// A complete message, which names the file itself.
    #[error("{0}")]
    Told(String),
    #[error("the plugin {origin} failed to open: {message}; this is a fault in the plugin")]
    Failed { origin: String, message: String },
    #[error(
        "the plugin {origin} describes itself with {what} `{name}`: names are 1 to 64 of the \
         characters A-Z a-z 0-9 . _ -, and begin with a letter or digit"
    )]
    BadName {
        origin: String,
        what: &'static str,
        name: String,
    },
}

/// Lines of a layout mismatch that are shown.
const LAYOUT_LINES: usize = 5;

/// The lines of abi_stable's long report that say what is wrong.
fn error_lines(report: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in report.lines().map(str::trim) {
        let line = line.strip_prefix("Error:").map_or("", str::trim);
        if !line.is_empty() && !lines.contains(&line) && lines.len() < LAYOUT_LINES {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        lines.push("(abi_stable gives no reason)");
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// Says of abi_stable's error what it means to the plugin's user.
pub(crate) fn from_library_error(
    origin: &str,
    version: Option<&str>,
    error: LibraryError,
) -> LoadError {
    let origin = origin.to_owned();
    let ours = InterfaceVersion::CURRENT.to_string();
    match error {
        LibraryError::GetSymbolError { .. } => LoadError::NotAPlugin { origin },
        LibraryError::OpenError { err, .. } => LoadError::Open {
            origin,
            message: err.to_string(),
        },
        LibraryError::InvalidAbiHeader(header) => LoadError::AbiStable {
            origin,
            theirs: format!("layout {}.{}", header.abi_major, header.abi_minor),
            ours: format!(
                "layout {}.{}",
                abi_stable::library::AbiHeader::VALUE.abi_major,
                abi_stable::library::AbiHeader::VALUE.abi_minor
            ),
        },
        LibraryError::IncompatibleVersionNumber { actual_version, .. } => LoadError::Interface {
            origin,
            theirs: actual_version.to_string(),
            ours,
        },
        LibraryError::AbiInstability(report) => LoadError::Layout {
            origin,
            theirs: version.unwrap_or("of this version").to_owned(),
            lines: error_lines(&report.to_string()),
        },
        other => LoadError::Failed {
            origin,
            message: last_line(&other.to_string()),
        },
    }
}

fn last_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("(no message)")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_say_something_are_shown() {
        let report =
            "Layout of A\n Error:too many fields\nnoise\nError: too many fields\nError:x\n";
        assert_eq!(error_lines(report), "  too many fields\n  x");
        assert_eq!(error_lines("noise"), "  (abi_stable gives no reason)");
        let many: String = (0..99).map(|i| format!("Error:{i}\n")).collect();
        assert_eq!(error_lines(&many).lines().count(), LAYOUT_LINES);
    }
}
