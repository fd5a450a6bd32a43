//! The one writer of a journal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::line::encode;
use crate::{JournalError, Record};

/// Appends records and syncs them. After any error the writer refuses further records: what comes
/// after a partial record could not be read, and a failed sync must never be retried.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    next: u64,
    broken: bool,
}

impl Writer {
    /// Makes a new journal; its first record should be the header.
    ///
    /// # Errors
    /// Where the file exists or cannot be made.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let io = |action| {
            move |source| JournalError::Io {
                path: path.to_owned(),
                action,
                source,
            }
        };
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)
            .map_err(io("create"))?;
        // The new name itself has to reach the disk, too.
        if let Some(folder) = path.parent() {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(io("create"))?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            next: 0,
            broken: false,
        })
    }

    /// Opens a journal behind its last good record, as [`read`](crate::read) found it. A torn tail
    /// is kept beside the journal as `<name>.torn` and cut off.
    ///
    /// # Errors
    /// Where the file cannot be opened, copied or cut.
    pub fn resume(journal: &crate::Journal) -> Result<Self, JournalError> {
        let path = &journal.path;
        let io = |action| {
            move |source| JournalError::Io {
                path: path.clone(),
                action,
                source,
            }
        };
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(io("open"))?;
        if let Some(tail) = &journal.torn_tail {
            let mut aside = path.clone().into_os_string();
            aside.push(".torn");
            fs::write(&aside, tail).map_err(io("save the torn tail of"))?;
            file.set_len(journal.good_bytes)
                .map_err(io("cut the torn tail of"))?;
            file.sync_all().map_err(io("cut the torn tail of"))?;
        }
        let next = journal.records.len() as u64;
        Ok(Self {
            path: path.clone(),
            file,
            next,
            broken: false,
        })
    }

    /// Appends one record; when this returns, it is on disk.
    ///
    /// # Errors
    /// Where the record cannot be written and synced. The journal ends with the last good record,
    /// if the system lets it be cut there, and takes no further ones.
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        if self.broken {
            let source = io::Error::other("an earlier write failed");
            return Err(JournalError::Io {
                path: self.path.clone(),
                action: "write",
                source,
            });
        }
        let line = encode(self.next, record).map_err(|error| JournalError::Encode {
            path: self.path.clone(),
            problem: error.to_string(),
        })?;
        let good = self.file.metadata().map(|metadata| metadata.len());
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            self.broken = true;
            // A full disk leaves a partial line; without the cut the next reader sees a torn
            // tail, which it can repair as well.
            if let Ok(good) = good {
                let _ = self.file.set_len(good);
            }
            return Err(JournalError::Io {
                path: self.path.clone(),
                action: "write",
                source,
            });
        }
        self.next += 1;
        Ok(())
    }

    /// The journal's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
