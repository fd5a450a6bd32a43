//! Reading a journal, with the repair of a torn tail and refusal of other damage.

use std::fs;
use std::path::{Path, PathBuf};

use crate::line::decode;
use crate::{Header, JournalError, Record, SCHEMA};

/// A journal as it was read.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The file.
    pub path: PathBuf,
    /// The records, the header first.
    pub records: Vec<Record>,
    /// Bytes up to the end of the last good record.
    pub good_bytes: u64,
    /// What follows the last good record: the rest of a write that was cut off.
    pub torn_tail: Option<Vec<u8>>,
}

impl Journal {
    /// The header.
    pub fn header(&self) -> Option<&Header> {
        match self.records.first() {
            Some(Record::Header(header)) => Some(header),
            _ => None,
        }
    }
}

/// Reads a journal. Nothing is written; [`Writer::resume`](crate::Writer::resume) cuts a torn tail.
///
/// # Errors
/// Where the file cannot be read, is no journal, comes from a newer program, or is damaged before
/// its last record.
pub fn read(path: &Path) -> Result<Journal, JournalError> {
    let bytes = fs::read(path).map_err(|source| JournalError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })?;
    let mut journal = Journal {
        path: path.to_owned(),
        records: Vec::new(),
        good_bytes: 0,
        torn_tail: None,
    };
    let mut offset = 0;
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let feed = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..feed.unwrap_or(rest.len())];
        let number = journal.records.len() as u64;
        let decoded = match (feed, std::str::from_utf8(line)) {
            (None, _) => Err("the line does not end".to_owned()),
            (_, Err(error)) => Err(error.to_string()),
            (Some(_), Ok(text)) => decode(number, text),
        };
        match decoded {
            Ok(record) => {
                check_header(path, number, &record)?;
                journal.records.push(record);
                offset += line.len() + 1;
                journal.good_bytes = offset as u64;
            }
            Err(problem) => {
                // Only the last line may be damaged: a write that was cut off.
                let is_last = feed.is_none_or(|feed| offset + feed + 1 >= bytes.len());
                if number == 0 {
                    return Err(JournalError::NoHeader {
                        path: path.to_owned(),
                        problem,
                    });
                }
                if !is_last {
                    return Err(JournalError::Damaged {
                        path: path.to_owned(),
                        offset: offset as u64,
                        line: number + 1,
                        problem,
                    });
                }
                journal.torn_tail = Some(rest.to_vec());
                break;
            }
        }
    }
    if journal.records.is_empty() {
        let problem = "the file is empty".to_owned();
        return Err(JournalError::NoHeader {
            path: path.to_owned(),
            problem,
        });
    }
    Ok(journal)
}

fn check_header(path: &Path, number: u64, record: &Record) -> Result<(), JournalError> {
    match (number, record) {
        (0, Record::Header(header)) if header.schema > SCHEMA => Err(JournalError::NewerSchema {
            path: path.to_owned(),
            found: header.schema,
            known: SCHEMA,
        }),
        (0, Record::Header(_)) | (1.., _) => Ok(()),
        (0, _) => Err(JournalError::NoHeader {
            path: path.to_owned(),
            problem: "the first record is no header".to_owned(),
        }),
    }
}
