//! Descendants that outlive their worker are adopted by this process and killed.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Generations of descendants that are swept at once.
const MOST_ROUNDS: usize = 16;

/// The workers of this process that are well, whichever host keeps them.
static WORKERS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Changes the list of workers while nobody looks for strangers: a worker is on it from its first
/// moment.
pub(super) fn with_workers<T>(change: impl FnOnce(&mut BTreeSet<u32>) -> T) -> T {
    change(&mut WORKERS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Makes this process the one that orphaned descendants are handed to, so that they can be swept.
/// Where the system does not allow it, a leaked child of a plugin lives on.
pub(crate) fn adopt_orphans() {
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Kills and reaps every child of this process but those that are known: the ones that it had
/// before it started workers, and the workers that are well.
pub(crate) fn sweep(known: &[u32]) {
    // A process that ends hands its own children on, so there may be more after each round.
    for _ in 0..MOST_ROUNDS {
        let found = strangers(known);
        if found.is_empty() {
            return;
        }
        end(&found);
    }
}

fn end(found: &[u32]) {
    for pid in found.iter().copied() {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            continue;
        };
        let _ = kill_process(pid, Signal::KILL);
        // A killed process ends soon, unless the system holds it; the next sweep reaps it then.
        for _ in 0..50 {
            match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(None) => std::thread::sleep(std::time::Duration::from_millis(2)),
                Ok(Some(_)) | Err(_) => break,
            }
        }
    }
}

/// The children of this process that are neither known nor workers.
pub(crate) fn strangers(known: &[u32]) -> Vec<u32> {
    with_workers(|workers| {
        children("self")
            .into_iter()
            .filter(|pid| !known.contains(pid) && !workers.contains(pid))
            .collect()
    })
}

/// The children of a process, by its number or `self`.
pub(crate) fn children(process: &str) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}
