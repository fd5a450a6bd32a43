//! What can go wrong with a study.

use std::path::Path;

/// Why a study could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A recording cannot be used.
    #[error(transparent)]
    Recording(#[from] evo_recorded::RecordingError),
    /// A file or folder cannot be used.
    #[error("{file}: {message}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Input(String),
    /// The engine and a recording disagree: a bug.
    #[error("{space}: {message}")]
    Search {
        /// The space.
        space: String,
        /// What happened.
        message: String,
    },
}

impl StudyError {
    pub(crate) fn file(path: &Path, message: impl ToString) -> Self {
        Self::File {
            file: path.display().to_string(),
            message: message.to_string(),
        }
    }
}
