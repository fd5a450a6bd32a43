//! Running the searches of a study.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::noise::noise;
use crate::search::search;
use crate::{Contestant, RunLog, RunRecord, StudyError, StudySpace};

/// Records that are written together.
const BATCH: usize = 64;

/// The longest that a record waits to be written.
const WAIT: Duration = Duration::from_secs(2);

/// Which searches to run.
#[derive(Debug, Clone)]
pub struct Study {
    /// What takes part.
    pub contestants: Vec<Contestant>,
    /// The seeds.
    pub seeds: std::ops::Range<u64>,
    /// Evaluations of each search.
    pub budget: u64,
    /// Searches at a time; 0 for one on each CPU.
    pub threads: usize,
}

/// How far a study is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Searches that are recorded.
    pub done: usize,
    /// Searches of the whole study.
    pub all: usize,
}

impl Study {
    /// Runs what the log does not have yet. `stop` ends it early, after the searches under way.
    ///
    /// # Errors
    /// A log that cannot be written or that has searches of another engine or recording, a space that the engine
    /// cannot read, or noise on a recording without a spread.
    pub fn run(
        &self,
        spaces: &[StudySpace],
        log: &mut RunLog,
        stop: &(dyn Fn() -> bool + Sync),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), StudyError> {
        log.check_engine()?;
        log.check_recordings(spaces)?;
        for space in spaces {
            for contestant in &self.contestants {
                noise(space, 0, contestant.noise)?;
            }
        }
        let known: BTreeSet<(&str, &str, u64)> = log
            .records()
            .iter()
            .filter(|record| record.budget == self.budget)
            .map(|record| (record.space.as_str(), record.strategy.as_str(), record.seed))
            .collect();
        // The strategies of one seed share the space with its start: reading it costs milliseconds.
        let mut units: Vec<(&StudySpace, u64, Vec<Contestant>)> = Vec::new();
        for seed in self.seeds.clone() {
            for space in spaces {
                let mut left = self.contestants.clone();
                left.retain(|contestant| {
                    let mut records = contestant.records().into_iter();
                    !records.all(|name| known.contains(&(space.name(), name.as_str(), seed)))
                });
                if !left.is_empty() {
                    units.push((space, seed, left));
                }
            }
        }
        let left: usize = units.iter().map(|(_, _, left)| left.len()).sum();
        let seeds = usize::try_from(self.seeds.end.saturating_sub(self.seeds.start)).unwrap_or(0);
        let all = seeds * spaces.len() * self.contestants.len();
        let mut state = Progress {
            done: all - left,
            all,
        };
        progress(state);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build()
            .map_err(|error| StudyError::Input(format!("no threads can be started: {error}")))?;
        let (sender, receiver) = mpsc::channel();
        let given_up = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let given_up = &given_up;
            let searches = scope.spawn(move || {
                pool.install(|| {
                    units
                        .into_par_iter()
                        .try_for_each(|(space, seed, contestants)| {
                            let parsed = space.space(seed)?;
                            for contestant in contestants {
                                if stop() || given_up.load(Ordering::Relaxed) {
                                    break;
                                }
                                let records =
                                    search(space, &parsed, &contestant, seed, self.budget)?;
                                // The receiver is gone only where the log cannot be written.
                                let _ = sender.send(records);
                            }
                            Ok(())
                        })
                })
            });
            let written = collect(&receiver, WAIT, log, &mut state, progress);
            given_up.store(written.is_err(), Ordering::Relaxed);
            drop(receiver);
            let searched = searches.join().unwrap_or_else(|_| {
                let message = "a search ended in a panic".to_owned();
                Err(StudyError::Input(message))
            });
            written.and(searched)
        })
    }
}

/// Writes records as they come, in batches; none waits for longer than `wait` once it has come.
fn collect(
    receiver: &mpsc::Receiver<Vec<RunRecord>>,
    wait: Duration,
    log: &mut RunLog,
    state: &mut Progress,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StudyError> {
    let mut batch = Vec::new();
    // When the oldest record of the batch has waited long enough.
    let mut due: Option<Instant> = None;
    loop {
        let received = match due {
            Some(due) => receiver.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let ended = received == Err(RecvTimeoutError::Disconnected);
        if let Ok(records) = received {
            batch.extend(records);
            state.done += 1;
            due = due.or_else(|| Instant::now().checked_add(wait));
        }
        // Where records come fast, the time is up with one of them at hand.
        let waited = due.is_some_and(|due| Instant::now() >= due);
        if waited || ended || batch.len() >= BATCH {
            log.append(std::mem::take(&mut batch))?;
            due = None;
            progress(*state);
        }
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the log has at each report of the progress, with so many records at hand at once.
    fn written(count: usize, wait: Duration) -> Vec<usize> {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RunLog::open(&folder.path().join("log.jsonl.xz")).unwrap();
        let (sender, receiver) = mpsc::channel();
        for seed in 0..count as u64 {
            sender.send(vec![crate::log::record(seed)]).unwrap();
        }
        drop(sender);
        let (mut state, mut seen) = (
            Progress {
                done: 0,
                all: count,
            },
            Vec::new(),
        );
        let mut show = |progress: Progress| seen.push(progress.done);
        collect(&receiver, wait, &mut log, &mut state, &mut show).unwrap();
        let seeds: Vec<u64> = log.records().iter().map(|record| record.seed).collect();
        assert_eq!(seeds, (0..count as u64).collect::<Vec<u64>>());
        seen
    }

    #[test]
    fn a_record_is_written_when_its_time_is_up_whatever_comes_behind_it() {
        assert_eq!(written(3, Duration::ZERO), [1, 2, 3, 3]);
        let hour = Duration::from_secs(3600);
        assert_eq!(written(3, hour), [3]);
        assert_eq!(written(BATCH + 1, hour), [BATCH, BATCH + 1]);
    }
}
