//! The one writer of a journal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::line::encode;
use crate::{JournalError, Record};

/// Proposals that follow each other within this time share a sync: trials that are over sooner
/// are cheap to repeat, and syncing each would take longer than they do.
const PROPOSED_APART: Duration = Duration::from_millis(20);
/// An outcome waits for the sync of the next proposal, unless there was none for this long.
const EVALUATED_APART: Duration = Duration::from_millis(500);

/// Appends records and syncs them. After any error the writer refuses further records: what comes
/// after a partial record could not be read, and a failed sync must never be retried.
///
/// Every record is with the system when [`append`](Self::append) returns, so that the death of
/// the process loses none. Against the death of the machine it is synced: at once, except for
/// outcomes and for the proposals of trials that take milliseconds.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    next: u64,
    broken: bool,
    syncs: Syncs,
}

/// When the journal was synced, and for what.
///
/// A proposal is on disk before its trial starts, since the trial may bring the machine down, and
/// its sync covers the outcome before it. Only where the proposal before was synced a moment ago
/// is there none.
#[derive(Debug, Default)]
struct Syncs {
    last: Option<Instant>,
    last_proposed: Option<Instant>,
    /// Records were written since.
    behind: bool,
}

impl Syncs {
    fn are_due(&self, record: &Record, now: Instant) -> bool {
        let longer = |since: Option<Instant>, apart: Duration| {
            since.is_none_or(|then| now.saturating_duration_since(then) >= apart)
        };
        match record {
            Record::Proposed(_) => longer(self.last_proposed, PROPOSED_APART),
            Record::Evaluated(_) => longer(self.last, EVALUATED_APART),
            _ => true,
        }
    }

    fn happened(&mut self, record: &Record, now: Instant) {
        self.last = Some(now);
        self.behind = false;
        if matches!(record, Record::Proposed(_)) {
            self.last_proposed = Some(now);
        }
    }
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
            syncs: Syncs::default(),
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
            syncs: Syncs::default(),
        })
    }

    /// Appends one record; when this returns, it is with the system, and on disk where it was
    /// due to be synced.
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
        let now = Instant::now();
        let due = self.syncs.are_due(record, now);
        self.syncs.behind = true;
        let written = self.file.write_all(line.as_bytes()).and_then(|()| {
            if due {
                self.file.sync_data()?;
                self.syncs.happened(record, now);
            }
            Ok(())
        });
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

impl Drop for Writer {
    /// The last outcomes reach the disk. An error has nobody left to tell; the records are with
    /// the system either way.
    fn drop(&mut self) {
        if self.syncs.behind && !self.broken {
            let _ = self.file.sync_data();
        }
    }
}

#[cfg(test)]
mod tests {
    use evo_types::{ContentHash, Outcome, Params};

    use super::*;
    use crate::{Evaluated, Proposed};

    fn proposed() -> Record {
        Record::Proposed(Proposed {
            trial: 0,
            candidate: String::new(),
            params: Params::new(),
            id: ContentHash::of_bytes(b""),
            operator: String::new(),
            parents: Vec::new(),
            insights: Vec::new(),
            proposal: serde_json::Value::Null,
        })
    }

    fn evaluated() -> Record {
        Record::Evaluated(Box::new(Evaluated {
            trial: 0,
            attempt: 1,
            outcome: Outcome::Implausible {
                message: String::new(),
            },
            execution: None,
            build: None,
            wall_s: 0.0,
            device_s: 0.0,
            device: String::new(),
            elapsed_s: 0.0,
            at: 0.0,
        }))
    }

    /// Whether each record, appended so many milliseconds after the start, is synced.
    fn synced(steps: &[(u64, Record)]) -> Vec<bool> {
        let start = Instant::now();
        let mut syncs = Syncs::default();
        let appended = steps.iter().map(|(ms, record)| {
            let now = start + Duration::from_millis(*ms);
            let due = syncs.are_due(record, now);
            if due {
                syncs.happened(record, now);
            }
            due
        });
        appended.collect()
    }

    #[test]
    fn a_proposal_is_on_disk_before_its_trial_unless_trials_take_milliseconds() {
        let slow = [(0, proposed()), (90, evaluated()), (91, proposed())];
        assert_eq!(synced(&slow), [true, false, true]);
        let quick = [
            (0, proposed()),
            (1, evaluated()),
            (2, proposed()),
            (19, proposed()),
            (20, proposed()),
        ];
        assert_eq!(synced(&quick), [true, false, false, false, true]);
    }

    #[test]
    fn an_outcome_waits_for_half_a_second_at_most_and_nothing_else_waits() {
        let steps = [
            (0, proposed()),
            (500, evaluated()),
            (501, proposed()),
            (502, evaluated()),
            (
                503,
                Record::Warning {
                    at: 0.0,
                    message: String::new(),
                },
            ),
        ];
        assert_eq!(synced(&steps), [true, true, true, false, true]);
    }
}
