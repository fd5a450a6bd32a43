//! What can go wrong while a report is made.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The journal does not begin with a header and a plan.
    #[error(
        "the journal ends before the run's plan was written: nothing was searched yet, so there \
         is nothing to report; start the run again"
    )]
    NotStarted,
    /// The records contradict each other.
    #[error("record {record} of the journal does not fit the ones before it: {what}")]
    Inconsistent {
        /// The record's number, from 1.
        record: usize,
        /// What does not fit.
        what: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A document cannot be expressed in its format.
    #[error("cannot make {file}: {message}")]
    Format {
        /// The file's name.
        file: &'static str,
        /// What the serialiser said.
        message: String,
    },
}

impl ReportError {
    /// A document that its serialiser refused.
    pub(crate) fn format(file: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Format {
            file,
            message: error.to_string(),
        }
    }
}
