//! From a description's file to a bundle.

use std::fmt;
use std::path::Path;

use crate::{Bundle, BundleKind, process, source};

/// What is wrong with a description or a file that it names: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatherError {
    /// File, line and column where they are known, and what is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl GatherError {
    /// An error whose message says all.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for GatherError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for GatherError {}

/// The ends of the names of description files.
pub const EXTENSIONS: [(&str, BundleKind); 2] = [
    (".kernel.ron", BundleKind::Source),
    (".process.ron", BundleKind::Process),
];

/// What a file describes, by its name; `None` for a file that is no description.
pub fn kind(path: &Path) -> Option<BundleKind> {
    split(path).map(|(_, kind)| kind)
}

/// The plugin's name, by the name of its description.
pub fn name(path: &Path) -> Option<String> {
    split(path).map(|(name, _)| name)
}

fn split(path: &Path) -> Option<(String, BundleKind)> {
    let file = path.file_name()?.to_str()?;
    EXTENSIONS.iter().find_map(|(extension, kind)| {
        let name = file.strip_suffix(extension)?;
        (!name.is_empty()).then(|| (name.to_owned(), *kind))
    })
}

/// Reads a description, checks it, and gathers the files that it names.
///
/// # Errors
/// What is wrong with it, with file, line and column.
pub fn gather(path: &Path) -> Result<Bundle, GatherError> {
    let wrong = |what: &str| GatherError {
        message: format!("{}: {what}", path.display()),
        hint: Some("descriptions are called NAME.kernel.ron or NAME.process.ron".to_owned()),
    };
    match split(path) {
        Some((name, BundleKind::Source)) => source::gather(path, &name),
        Some((name, BundleKind::Process)) => process::gather(path, &name),
        None => Err(wrong("this is no description of a plugin")),
    }
}
