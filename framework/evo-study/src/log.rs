//! The log of a study: run records in JSON lines, compressed with xz.
//!
//! Each batch of records is a stream of its own, and xz files may be strung together: so a study
//! appends, and any tool that reads xz reads all of it. A stream that was cut off when the program
//! was killed is dropped when the log is opened again.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::{RunRecord, StudyError};

/// How hard batches are compressed: most of what can be gained, in little time.
const PRESET: u32 = 4;

/// The first bytes of an xz stream.
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// A log that is open for writing.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    file: File,
    records: Vec<RunRecord>,
}

impl RunLog {
    /// Opens a log, or makes a new one; what was cut off in it is dropped.
    ///
    /// # Errors
    /// A file that cannot be read or written, or that is no log.
    pub fn open(path: &Path) -> Result<Self, StudyError> {
        let fail = |error: std::io::Error| StudyError::file(path, error);
        let mut records = Vec::new();
        if path.exists() {
            let (read, whole) = read(path)?;
            if !whole {
                // Written beside the log and moved into its place: a kill leaves one or the other.
                let beside = path.with_extension("repair");
                fs::write(&beside, compressed(&read).map_err(fail)?).map_err(fail)?;
                fs::rename(&beside, path).map_err(fail)?;
            }
            records = read;
        }
        let options = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self {
            path: path.to_owned(),
            file: options.map_err(fail)?,
            records,
        })
    }

    /// All records so far.
    pub fn records(&self) -> &[RunRecord] {
        &self.records
    }

    /// Appends records; they are in the file when this returns.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn append(&mut self, records: Vec<RunRecord>) -> Result<(), StudyError> {
        if records.is_empty() {
            return Ok(());
        }
        let written = compressed(&records).and_then(|bytes| self.file.write_all(&bytes));
        written.map_err(|error| StudyError::file(&self.path, error))?;
        self.records.extend(records);
        Ok(())
    }
}

/// Reads the records of a log as far as they go.
///
/// # Errors
/// A file that cannot be read, or that has no run records in it.
pub fn read_records(path: &Path) -> Result<Vec<RunRecord>, StudyError> {
    read(path).map(|(records, _)| records)
}

/// The whole lines of a log, and whether that was all of it.
fn read(path: &Path) -> Result<(Vec<RunRecord>, bool), StudyError> {
    let bytes = fs::read(path).map_err(|error| StudyError::file(path, error))?;
    let plain = bytes.first() == Some(&b'{');
    if !plain && !bytes.iter().zip(&XZ).all(|(a, b)| a == b) {
        return Err(StudyError::file(path, "this is no log of a study"));
    }
    let (text, mut whole) = if plain {
        (bytes, true)
    } else {
        decompressed(&bytes)
    };
    let end = text.iter().rposition(|byte| *byte == b'\n');
    let lines = text.get(..end.map_or(0, |end| end + 1)).unwrap_or(&[]);
    whole &= lines.len() == text.len();
    let mut records = Vec::new();
    for (number, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let record = serde_json::from_slice(line).map_err(|error| {
            StudyError::file(path, format!("line {}: no run record: {error}", number + 1))
        })?;
        records.push(record);
    }
    Ok((records, whole))
}

/// Everything up to the first fault, and whether there was none.
fn decompressed(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut reader = lzma_rust2::XzReader::new(bytes, true);
    let mut text = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return (text, true),
            Ok(count) => text.extend(chunk.iter().take(count)),
            Err(_) => return (text, false),
        }
    }
}

fn compressed(records: &[RunRecord]) -> std::io::Result<Vec<u8>> {
    let options = lzma_rust2::XzOptions::with_preset(PRESET);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options)?;
    for record in records {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        writer.write_all(&line)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seed: u64) -> RunRecord {
        RunRecord {
            space: "s".to_owned(),
            strategy: "evo_full".to_owned(),
            seed,
            budget: 256,
            evals: 256,
            cpu_s: 0.25,
            asks: 257,
            improve: vec![(1, 10.5, 3.0), (7, 80.0, 2.5)],
        }
    }

    #[test]
    fn a_log_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl.xz");
        let mut log = RunLog::open(&path).unwrap();
        log.append(vec![record(1), record(2)]).unwrap();
        log.append(vec![record(3)]).unwrap();
        let log = RunLog::open(&path).unwrap();
        assert_eq!(log.records(), [record(1), record(2), record(3)]);
        assert_eq!(read_records(&path).unwrap().len(), 3);
    }

    #[test]
    fn what_was_cut_off_is_dropped_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl.xz");
        let mut log = RunLog::open(&path).unwrap();
        log.append(vec![record(1)]).unwrap();
        let first = fs::read(&path).unwrap().len();
        log.append(vec![record(2)]).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in first + 1..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut log = RunLog::open(&path).unwrap();
            let kept = log.records().len();
            assert!(log.records()[0] == record(1) && kept <= 2, "cut at {cut}");
            log.append(vec![record(3)]).unwrap();
            let again = RunLog::open(&path).unwrap();
            assert_eq!(again.records().len(), kept + 1, "cut at {cut}");
            assert_eq!(again.records()[kept], record(3));
        }
    }

    #[test]
    fn a_record_has_the_format_that_others_read() {
        let text = serde_json::to_string(&record(4)).unwrap();
        let expected = r#"{"space":"s","strategy":"evo_full","seed":4,"budget":256,"evals":256,"cpu_s":0.25,"asks":257,"improve":[[1,10.5,3.0],[7,80.0,2.5]]}"#;
        assert_eq!(text, expected);
        assert_eq!(record(1).best_at(0), None);
        assert_eq!(record(1).best_at(6), Some(3.0));
        assert_eq!(record(1).best_at(7), Some(2.5));
    }

    #[test]
    fn another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "hello").unwrap();
        let error = RunLog::open(&path).unwrap_err().to_string();
        assert!(error.contains("this is no log of a study"), "{error}");
        fs::write(&path, "{\"space\": 1}\n").unwrap();
        let error = RunLog::open(&path).unwrap_err().to_string();
        assert!(error.contains("line 1: no run record"), "{error}");
    }
}
