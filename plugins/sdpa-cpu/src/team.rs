//! The threads of a loaded kernel.

use evo_plugin::Error;

/// A fixed number of threads, each with a number; with one, the work is done by the caller.
pub(crate) struct Team {
    pool: Option<rayon::ThreadPool>,
}

impl Team {
    /// Starts the threads; pinned, each stays on a CPU of its own among those that the process
    /// may use.
    pub(crate) fn new(threads: usize, pinned: bool) -> Result<Self, Error> {
        if threads <= 1 {
            return Ok(Self { pool: None });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("sdpa-{index}"))
            .start_handler(move |index| {
                if pinned {
                    pin(index);
                }
            })
            .build()
            .map_err(|error| Error::Failed(format!("cannot start {threads} threads: {error}")))?;
        Ok(Self { pool: Some(pool) })
    }

    /// Runs the work once on every thread, with the thread's number, and waits for all.
    pub(crate) fn run(&self, work: impl Fn(usize) + Sync) {
        match &self.pool {
            None => work(0),
            Some(pool) => {
                pool.broadcast(|context| work(context.index()));
            }
        }
    }
}

/// Whether threads can be pinned on this system.
pub(crate) const CAN_PIN: bool = cfg!(target_os = "linux");

/// Keeps the calling thread on one CPU of the process. A refusal by the system costs speed only,
/// so it is no error.
#[cfg(target_os = "linux")]
fn pin(index: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .collect();
    if let Some(cpu) = cpus.get(index % cpus.len().max(1)) {
        let mut one = CpuSet::new();
        one.set(*cpu);
        let _ = sched_setaffinity(None, &one);
    }
}

#[cfg(not(target_os = "linux"))]
fn pin(_: usize) {}
