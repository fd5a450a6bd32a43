//! The log of a study: run records in JSON lines, compressed with xz.
//!
//! Each batch of records is a stream of its own, and xz files may be strung together: so a study
//! appends, and any tool that reads xz reads all of it. A stream that was cut off when the program
//! was killed is dropped when the log is opened again.
//!
//! One study writes to a log at a time: it holds a lock on the file. Reading takes no lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::contestant::Name;
use crate::{RunRecord, StudyError, StudySpace, engine_tag};

/// How hard batches are compressed: most of what can be gained, in little time.
const PRESET: u32 = 4;

/// The first bytes of an xz stream.
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// A log that is open for writing, by this study alone.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    /// The lock is its.
    file: File,
    /// Whether it is plain text, as someone may have unpacked it.
    plain: bool,
    repaired: bool,
    records: Vec<RunRecord>,
}

impl Drop for RunLog {
    fn drop(&mut self) {
        // When the file is closed the system releases the lock, but not while a process that this one
        // is just starting has the file as well.
        let _ = self.file.unlock();
    }
}

impl RunLog {
    /// Opens a log, or makes a new one; what was cut off at its end is dropped.
    ///
    /// # Errors
    /// A log that another study writes to, a file that cannot be read or written, that is no log, or
    /// that is damaged before its end.
    pub fn open(path: &Path) -> Result<Self, StudyError> {
        let fail = |error: std::io::Error| StudyError::file(path, error);
        let mut file = locked(path)?;
        let found = read(path)?;
        if found.cut_off {
            // Written beside the log and moved into its place, locked by then: a kill leaves one or
            // the other, and no other study gets in between.
            let beside = path.with_extension("repair");
            let mut whole = locked(&beside)?;
            let bytes = encoded(&found.records, found.plain).map_err(fail)?;
            whole.set_len(0).map_err(fail)?;
            whole.write_all(&bytes).map_err(fail)?;
            fs::rename(&beside, path).map_err(fail)?;
            file = whole;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            plain: found.plain,
            repaired: found.cut_off,
            records: found.records,
        })
    }

    /// Whether something was cut off at its end when it was opened, and dropped.
    pub fn repaired(&self) -> bool {
        self.repaired
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

    /// Whether all searches of this engine in it were made on these recordings, where they have the names
    /// of these: what is left of an earlier state of a file must not stand for the file.
    ///
    /// # Errors
    /// Searches of another recording, how many and of which name.
    pub(crate) fn check_recordings(&self, spaces: &[StudySpace]) -> Result<(), StudyError> {
        for space in spaces {
            let others = self.records.iter().filter(|record| {
                record.space == space.name()
                    && Name::own(&record.strategy)
                    && record.recording.as_deref() != Some(space.content())
            });
            let others = others.count();
            if others > 0 {
                let message = format!(
                    "{others} of the searches in it were made on another recording of the name `{}`, and a \
                     study never mixes two: name another log with --log, and look at this one with \
                     --report-only or --with",
                    space.name()
                );
                return Err(StudyError::file(&self.path, message));
            }
        }
        Ok(())
    }
}

/// Opens a file for appending and locks it.
fn locked(path: &Path) -> Result<File, StudyError> {
    let fail = |error: std::io::Error| StudyError::file(path, error);
    loop {
        let options = OpenOptions::new().append(true).create(true).open(path);
        let file = options.map_err(fail)?;
        let own = file.metadata().map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let who = holder(own.ino()).map_or_else(
                    || "another study".to_owned(),
                    |process| format!("another study (process {process})"),
                );
                let message = format!(
                    "{who} is writing to it: wait until that has ended, or name another log with --log"
                );
                return Err(StudyError::file(path, message));
            }
            Err(TryLockError::Error(error)) => {
                return Err(StudyError::file(
                    path,
                    format!("it cannot be locked: {error}"),
                ));
            }
        }
        // Whoever held the lock may have put another file in its place meanwhile.
        match fs::metadata(path) {
            Ok(now) if (now.dev(), now.ino()) == (own.dev(), own.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
    }
}

/// The process that holds the lock on a file, where the system tells.
fn holder(inode: u64) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| holder_in(line, inode))
}

/// The process in a line of the system's list of locks, if the line is about the file:
/// `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`. Devices are left aside: layered file systems
/// list another one than they show.
fn holder_in(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", process, file, ..] = words.as_slice() else {
        return None;
    };
    let (_, listed) = file.rsplit_once(':')?;
    let process = process.parse().ok().filter(|process| *process > 0)?;
    (listed.parse() == Ok(inode)).then_some(process)
}

/// Reads the records of a log as far as they go: one that is being written may end anywhere. Takes no
/// lock and changes nothing.
///
/// # Errors
/// A file that cannot be read, that has no run records in it, or that is damaged before its end.
pub fn read_records(path: &Path) -> Result<LogRecords, StudyError> {
    read(path).map(|found| LogRecords {
        records: found.records,
        cut_off: found.cut_off,
    })
}

/// What could be read of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecords {
    /// The records, in the order in which they were written.
    pub records: Vec<RunRecord>,
    /// Whether something was cut off at the end: the study was killed, or is just writing.
    pub cut_off: bool,
}

/// What is in a log.
struct Found {
    records: Vec<RunRecord>,
    plain: bool,
    /// Whether something was cut off at the end.
    cut_off: bool,
}

fn read(path: &Path) -> Result<Found, StudyError> {
    let bytes = fs::read(path).map_err(|error| StudyError::file(path, error))?;
    let plain = bytes.first() == Some(&b'{');
    if !plain && !bytes.iter().zip(&XZ).all(|(a, b)| a == b) {
        return Err(StudyError::file(path, "this is no log of a study"));
    }
    let (text, mut cut_off) = if plain {
        (bytes, false)
    } else {
        decompressed(&bytes).map_err(|message| StudyError::file(path, message))?
    };
    let end = text.iter().rposition(|byte| *byte == b'\n');
    let lines = text.get(..end.map_or(0, |end| end + 1)).unwrap_or(&[]);
    cut_off |= lines.len() < text.len();
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
        cut_off,
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

/// A record of a test.
#[cfg(test)]
pub(crate) fn record(seed: u64) -> RunRecord {
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
        recording: Some("of-s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl.xz");
        let mut log = RunLog::open(&path).unwrap();
        log.append(vec![record(1), record(2)]).unwrap();
        log.append(vec![record(3)]).unwrap();
        drop(log);
        let log = RunLog::open(&path).unwrap();
        assert_eq!(log.records(), [record(1), record(2), record(3)]);
        assert!(!log.repaired());
        let read = read_records(&path).unwrap();
        assert_eq!((read.records.len(), read.cut_off), (3, false));
    }

    #[test]
    fn what_was_cut_off_is_dropped_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl.xz");
        let mut log = RunLog::open(&path).unwrap();
        log.append(vec![record(1)]).unwrap();
        let first = fs::read(&path).unwrap().len();
        log.append(vec![record(2)]).unwrap();
        drop(log);
        let whole = fs::read(&path).unwrap();
        for cut in first + 1..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            // Looking at it repairs nothing.
            assert!(read_records(&path).unwrap().cut_off, "cut at {cut}");
            assert_eq!(fs::read(&path).unwrap(), whole[..cut]);
            let mut log = RunLog::open(&path).unwrap();
            let kept = log.records().len();
            assert!(log.records()[0] == record(1) && kept <= 2, "cut at {cut}");
            assert!(
                log.repaired() && RunLog::open(&path).is_err(),
                "cut at {cut}"
            );
            log.append(vec![record(3)]).unwrap();
            drop(log);
            let again = RunLog::open(&path).unwrap();
            assert_eq!(again.records().len(), kept + 1, "cut at {cut}");
            assert_eq!(again.records()[kept], record(3));
        }
    }

    #[test]
    fn a_second_study_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl.xz");
        let mut log = RunLog::open(&path).unwrap();
        log.append(vec![record(1)]).unwrap();
        // The first one is in the midst of writing.
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(&bytes.clone()[..bytes.len() / 2]);
        fs::write(&path, &bytes).unwrap();
        let error = RunLog::open(&path).unwrap_err().to_string();
        let start = format!("{}: another study", path.display());
        let end = " is writing to it: wait until that has ended, or name another log with --log";
        assert!(error.starts_with(&start) && error.ends_with(end), "{error}");
        assert_eq!(read_records(&path).unwrap().records[0], record(1));
        assert_eq!(fs::read(&path).unwrap(), bytes);
        drop(log);
        assert!(RunLog::open(&path).unwrap().repaired());
    }

    #[test]
    fn the_holder_of_a_lock_is_read_from_the_list_of_locks() {
        let line = "3: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF";
        assert_eq!(holder_in(line, 131), Some(4711));
        assert_eq!(holder_in(line, 31), None);
        for other in [
            "3: POSIX  ADVISORY  WRITE 4711 08:01:131 0 EOF",
            "3: -> FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF",
            "3: FLOCK  ADVISORY  WRITE -1 08:01:131 0 EOF",
            "3: FLOCK",
            "",
        ] {
            assert_eq!(holder_in(other, 131), None, "{other}");
        }
    }

    #[test]
    fn a_record_has_the_format_that_others_read() {
        let mut other = record(4);
        other.engine = None;
        other.recording = None;
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
        drop(log);
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
        drop(log);
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

    #[test]
    fn searches_of_another_recording_of_the_same_name_are_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RunLog::open(&folder.path().join("log.jsonl.xz")).unwrap();
        let space = |time: f64| {
            let text = serde_json::json!({
                "format": "recorded-space/1", "id": "s", "params": [{"name": "P", "values": [1, 2]}],
                "config": [0, 1], "time": [1.0, time], "rel_std": [0.1, 0.1], "status": [0, 0],
                "restrictions": [], "restrictions_exact": false,
            });
            let recording = evo_recorded::Recording::parse(&text.to_string(), "s").unwrap();
            StudySpace::new(recording).unwrap()
        };
        let of = |space: &StudySpace, strategy: &str| RunRecord {
            space: space.name().to_owned(),
            strategy: strategy.to_owned(),
            recording: Some(space.content().to_owned()),
            ..record(1)
        };
        let [before, after] = [space(2.0), space(3.0)];
        let other = RunRecord {
            recording: None,
            ..of(&before, "kt_pso")
        };
        let elsewhere = RunRecord {
            space: "t".to_owned(),
            ..of(&before, "evo_full")
        };
        log.append(vec![of(&after, "evo_full"), other, elsewhere])
            .unwrap();
        let after = [after];
        log.check_recordings(&after).unwrap();
        log.append(vec![of(&before, "evo_random")]).unwrap();
        let error = log.check_recordings(&after).unwrap_err().to_string();
        let named = format!(
            "1 of the searches in it were made on another recording of the name `{}`",
            after[0].name()
        );
        assert!(error.contains(&named) && error.contains("--log"), "{error}");
    }
}
