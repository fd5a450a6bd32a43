//! The log of a study: run records in JSON lines, compressed with xz.
//!
//! Each batch of records is a stream of its own, and xz files may be strung together: so a study
//! appends, and any tool that reads xz reads all of it. A stream that was cut off when the program
//! was killed is dropped when the log is opened again.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::contestant::Name;
use crate::{RunRecord, StudyError, engine_tag};

/// How hard batches are compressed: most of what can be gained, in little time.
const PRESET: u32 = 4;

/// The first bytes of an xz stream.
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// A log that is open for writing.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    file: File,
    /// Whether it is plain text, as someone may have unpacked it.
    plain: bool,
    records: Vec<RunRecord>,
}

impl RunLog {
    /// Opens a log, or makes a new one; what was cut off at its end is dropped.
    ///
    /// # Errors
    /// A file that cannot be read or written, that is no log, or that is damaged before its end.
    pub fn open(path: &Path) -> Result<Self, StudyError> {
        let fail = |error: std::io::Error| StudyError::file(path, error);
        let mut found = Found::default();
        if path.exists() {
            found = read(path)?;
            if found.torn {
                // Written beside the log and moved into its place: a kill leaves one or the other.
                let beside = path.with_extension("repair");
                let bytes = encoded(&found.records, found.plain).map_err(fail)?;
                fs::write(&beside, bytes).map_err(fail)?;
                fs::rename(&beside, path).map_err(fail)?;
            }
        }
        let options = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self {
            path: path.to_owned(),
            file: options.map_err(fail)?,
            plain: found.plain,
            records: found.records,
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
        let bytes = encoded(&records, self.plain);
        let written = bytes.and_then(|bytes| self.file.write_all(&bytes));
        written.map_err(|error| StudyError::file(&self.path, error))?;
        self.records.extend(records);
        Ok(())
    }

    /// Whether all searches of this engine in it are those of this program: what another version or
    /// another tuning searched must not be continued.
    ///
    /// # Errors
    /// Searches of another engine, how many and of which.
    pub fn check_engine(&self) -> Result<(), StudyError> {
        let own = engine_tag();
        let others = self.records.iter().filter(|record| {
            Name::own(&record.strategy) && record.engine.as_deref() != Some(own.as_str())
        });
        let mut others = others.peekable();
        let Some(first) = others.peek() else {
            return Ok(());
        };
        let tag = first.engine.as_deref().unwrap_or("unknown");
        let message = format!(
            "{} of the searches in it were made by another engine ({tag}; this is {own}), and a study \
             never mixes two: name another log with --log, and look at this one with --report-only or \
             --with",
            others.count()
        );
        Err(StudyError::file(&self.path, message))
    }
}

/// Reads the records of a log as far as they go: one that is being written may end anywhere.
///
/// # Errors
/// A file that cannot be read, that has no run records in it, or that is damaged before its end.
pub fn read_records(path: &Path) -> Result<Vec<RunRecord>, StudyError> {
    read(path).map(|found| found.records)
}

/// What is in a log.
#[derive(Default)]
struct Found {
    records: Vec<RunRecord>,
    plain: bool,
    /// Whether something was cut off at the end.
    torn: bool,
}

fn read(path: &Path) -> Result<Found, StudyError> {
    let bytes = fs::read(path).map_err(|error| StudyError::file(path, error))?;
    let plain = bytes.first() == Some(&b'{');
    if !plain && !bytes.iter().zip(&XZ).all(|(a, b)| a == b) {
        return Err(StudyError::file(path, "this is no log of a study"));
    }
    let (text, mut torn) = if plain {
        (bytes, false)
    } else {
        decompressed(&bytes).map_err(|message| StudyError::file(path, message))?
    };
    let end = text.iter().rposition(|byte| *byte == b'\n');
    let lines = text.get(..end.map_or(0, |end| end + 1)).unwrap_or(&[]);
    torn |= lines.len() < text.len();
    let mut records = Vec::new();
    for (number, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let fail =
            |message: String| StudyError::file(path, format!("line {}: {message}", number + 1));
        let record: RunRecord = serde_json::from_slice(line)
            .map_err(|error| fail(format!("no run record: {error}")))?;
        if let Some(fault) = record.fault() {
            return Err(fail(format!("a run record that cannot be: {fault}")));
        }
        records.push(record);
    }
    Ok(Found {
        records,
        plain,
        torn,
    })
}

/// The text of all streams, and whether the last of them was cut off. A fault in an earlier one is
/// damage: what comes behind it must not be dropped with it.
fn decompressed(bytes: &[u8]) -> Result<(Vec<u8>, bool), String> {
    let starts = bytes.windows(XZ.len()).enumerate();
    let starts: Vec<usize> = starts.filter(|(_, w)| *w == XZ).map(|(at, _)| at).collect();
    let mut text = Vec::new();
    for (place, start) in starts.iter().enumerate() {
        let next = starts.get(place + 1).copied();
        let stream = bytes.get(*start..next.unwrap_or(bytes.len()));
        let whole = unpack(stream.unwrap_or_default(), &mut text);
        match (whole, next) {
            (true, _) => {}
            (false, None) => return Ok((text, true)),
            (false, Some(next)) => {
                return Err(format!(
                    "damaged between the bytes {start} and {next}, with more behind that: restore it \
                     from a copy"
                ));
            }
        }
    }
    Ok((text, starts.is_empty() && !bytes.is_empty()))
}

/// Everything of a stream up to its first fault, and whether there was none.
fn unpack(stream: &[u8], text: &mut Vec<u8>) -> bool {
    let mut reader = lzma_rust2::XzReader::new(stream, true);
    let mut chunk = vec![0; 1 << 16];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return true,
            Ok(count) => text.extend(chunk.iter().take(count)),
            Err(_) => return false,
        }
    }
}

fn encoded(records: &[RunRecord], plain: bool) -> std::io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    if plain {
        return Ok(lines);
    }
    let options = lzma_rust2::XzOptions::with_preset(PRESET);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options)?;
    writer.write_all(&lines)?;
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
            engine: Some(engine_tag()),
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
        let mut other = record(4);
        other.engine = None;
        let text = serde_json::to_string(&other).unwrap();
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

    #[test]
    fn a_plain_log_stays_plain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let line = serde_json::to_string(&record(1)).unwrap();
        fs::write(&path, format!("{line}\n{{\"space\": \"cut")).unwrap();
        let mut log = RunLog::open(&path).unwrap();
        log.append(vec![record(2)]).unwrap();
        assert_eq!(
            RunLog::open(&path).unwrap().records(),
            [record(1), record(2)]
        );
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn damage_before_the_end_is_an_error_and_drops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl.xz");
        let mut log = RunLog::open(&path).unwrap();
        log.append(vec![record(1)]).unwrap();
        let first = fs::metadata(&path).unwrap().len() as usize;
        log.append(vec![record(2)]).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[first / 2] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        let error = RunLog::open(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("damaged between the bytes 0 and {first}")),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_record_that_cannot_be_is_named_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let good = serde_json::to_string(&record(1)).unwrap();
        for (from, to, expected) in [
            (
                "3.0]",
                "0.0]",
                "line 2: a run record that cannot be: a time of 0 ms",
            ),
            (
                "[7,",
                "[0,",
                "line 2: a run record that cannot be: the evaluation 0 behind 1",
            ),
            (
                "0.25",
                "-1.0",
                "line 2: a run record that cannot be: -1 s of CPU time",
            ),
            (
                "\"seed\":1",
                "\"seed\":-1",
                "line 2: no run record: invalid value",
            ),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            fs::write(&path, format!("{good}\n{bad}\n{good}\n")).unwrap();
            let error = RunLog::open(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn searches_of_another_engine_are_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RunLog::open(&folder.path().join("log.jsonl.xz")).unwrap();
        let tagged = |strategy: &str, engine: Option<&str>| RunRecord {
            strategy: strategy.to_owned(),
            engine: engine.map(str::to_owned),
            ..record(1)
        };
        log.append(vec![record(1), tagged("kt_pso", None)]).unwrap();
        log.check_engine().unwrap();
        log.append(vec![
            tagged("evo_full", Some("0-abc")),
            tagged("evo_random", None),
        ])
        .unwrap();
        let error = log.check_engine().unwrap_err().to_string();
        for part in ["2 of the searches", "(0-abc; this is ", "--log", "--with"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
