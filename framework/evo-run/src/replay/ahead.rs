//! Builds of the candidates whose turn is still to come, on cores that a replay on a GPU leaves idle.
//!
//! What is built here is kept in the folder of artifacts, where the worker that executes finds it. So a
//! replay of a thousand candidates under a profiler waits for the profiler and not for the compiler.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use evo_wire::{ReplayJob, Request};

use crate::Stop;
use crate::worker::{Host, Patience};

/// Most processes that build: a compiler takes some 200 MB.
const MOST_BUILDERS: usize = 16;
/// How far a builder may be before the candidate that is executed: what was built long before its turn
/// may have left the folder of artifacts.
const WINDOW: usize = 64;
/// How often one who waits looks whether the user has asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How many processes build ahead. On a CPU they would take from the candidate what it runs on.
pub(super) fn builders(device: &str, candidates: usize) -> usize {
    if device == "cpu" {
        return 0;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let most = cores.saturating_sub(1).min(MOST_BUILDERS);
    most.min(candidates.saturating_sub(1))
}

/// What the builders have done of a list of jobs.
pub(super) struct Ahead {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The first job that no builder has taken.
    next: usize,
    /// The job whose turn it is.
    turn: usize,
    /// Whether builders are through with a job, by its number.
    finished: Vec<bool>,
    dismissed: bool,
}

impl Ahead {
    pub(super) fn new(jobs: usize) -> Self {
        Self {
            state: Mutex::new(State {
                next: 0,
                turn: 0,
                finished: vec![false; jobs],
                dismissed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// The work of one builder, until there is none or it is dismissed.
    pub(super) fn build(&self, jobs: &[ReplayJob], mut host: Host, stop: &Stop) {
        self.work(stop, |number| {
            if let Some(job) = jobs.get(number) {
                let request = Request::Build {
                    kernel: job.kernel.clone(),
                    request: job.request.clone(),
                };
                // What does not build is tried again in its turn, and reported then.
                let _ = host.call(request, 0.0, stop, Patience::Short, &mut |_, _| {});
            }
        });
    }

    fn work(&self, stop: &Stop, mut build: impl FnMut(usize)) {
        while let Some(number) = self.take(stop) {
            build(number);
            let mut state = self.lock();
            if let Some(finished) = state.finished.get_mut(number) {
                *finished = true;
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The next job to build, when it is near enough to its turn.
    fn take(&self, stop: &Stop) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.dismissed || stop.requested() || state.next >= state.finished.len() {
                return None;
            }
            if state.next < state.turn + WINDOW {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.sleep(state);
        }
    }

    /// Says that it is the turn of a job, and waits until builders are through with it or the user asks
    /// to stop.
    pub(super) fn wait(&self, number: usize, stop: &Stop) {
        let mut state = self.lock();
        state.turn = number;
        self.changed.notify_all();
        while state.finished.get(number) == Some(&false) && !stop.requested() {
            state = self.sleep(state);
        }
    }

    /// Dismisses the builders when it is dropped, however the replay ends.
    pub(super) fn employ(&self) -> Employed<'_> {
        Employed(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.changed.wait_timeout(state, LOOK_EVERY);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The builders are at work while this lives.
pub(super) struct Employed<'a>(&'a Ahead);

impl Drop for Employed<'_> {
    fn drop(&mut self) {
        self.0.lock().dismissed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_built_once_before_its_turn_ends_and_none_long_before_it() {
        const JOBS: usize = 300;
        let ahead = Ahead::new(JOBS);
        let stop = Stop::default();
        let built = Mutex::new(vec![0; JOBS]);
        let turn = Mutex::new(0);
        thread::scope(|scope| {
            let employed = ahead.employ();
            for _ in 0..3 {
                scope.spawn(|| {
                    ahead.work(&stop, |number| {
                        assert!(number < *turn.lock().unwrap() + WINDOW, "{number}");
                        built.lock().unwrap()[number] += 1;
                    });
                });
            }
            for number in 0..JOBS {
                *turn.lock().unwrap() = number;
                ahead.wait(number, &stop);
                assert_eq!(built.lock().unwrap()[number], 1);
            }
            drop(employed);
        });
        assert_eq!(*built.lock().unwrap(), [1; JOBS]);
    }

    #[test]
    fn neither_a_stop_nor_a_dismissal_leaves_anybody_waiting() {
        let stop = Stop::default();
        let ahead = Ahead::new(2 * WINDOW);
        thread::scope(|scope| {
            let employed = ahead.employ();
            let builder = scope.spawn(|| ahead.work(&stop, |_| {}));
            // The builder waits for a turn that does not come.
            ahead.wait(WINDOW - 1, &stop);
            ahead.wait(0, &stop);
            drop(employed);
            builder.join().unwrap();
        });
        let alone = Ahead::new(1);
        stop.request(2);
        // Nobody builds it.
        alone.wait(0, &stop);
        assert_eq!(alone.take(&stop), None);
    }

    #[test]
    fn a_cpu_builds_nothing_ahead_and_one_candidate_needs_no_builder() {
        assert_eq!(builders("cpu", 1000), 0);
        assert_eq!(builders("cuda", 1), 0);
        assert_eq!(builders("cuda", 0), 0);
        assert!(builders("cuda", 1000) <= MOST_BUILDERS);
    }
}
