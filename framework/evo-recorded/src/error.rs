//! Why a recording cannot be used.

/// Why a recording cannot be used, with its file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct RecordingError {
    /// The file.
    pub file: String,
    /// What is wrong, and where.
    pub message: String,
}

/// The message alone: the file is known further up.
pub(crate) type Reason = String;
