//! What can be wrong with a journal.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a journal cannot be read or written.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file cannot be opened, read, written or synced.
    #[error("{path}: cannot {action} the journal: {source}")]
    Io {
        /// The journal file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A record before the last one is damaged.
    #[error(
        "{path}: the record that begins at byte {offset} (line {line}) is damaged: {problem}. \
         Records after it are intact, so this is no torn write; restore the file from a copy, or \
         cut it at byte {offset} to go on from there"
    )]
    Damaged {
        /// The journal file.
        path: PathBuf,
        /// The byte at which the damaged line begins.
        offset: u64,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The journal was written by a newer program.
    #[error(
        "{path}: the journal has schema {found}; this program reads up to {known}. Use the newer \
         evo that wrote it"
    )]
    NewerSchema {
        /// The journal file.
        path: PathBuf,
        /// The schema of the journal.
        found: u32,
        /// The newest schema that this program knows.
        known: u32,
    },
    /// There is no header.
    #[error("{path}: this is no evo journal: {problem}")]
    NoHeader {
        /// The journal file.
        path: PathBuf,
        /// What is there instead.
        problem: String,
    },
    /// A record cannot be written as JSON.
    #[error("{path}: a record cannot be written: {problem}")]
    Encode {
        /// The journal file.
        path: PathBuf,
        /// What the encoder said.
        problem: String,
    },
}
