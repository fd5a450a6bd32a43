//! The threads of a loaded kernel.

use evo_plugin::Error;

/// A fixed number of threads, each with a number; with one, the work is done by the caller.
pub(crate) struct Team {
    pool: Option<rayon::ThreadPool>,
}

impl Team {
    /// Starts the threads.
    pub(crate) fn new(threads: usize) -> Result<Self, Error> {
        if threads <= 1 {
            return Ok(Self { pool: None });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("sdpa-{index}"))
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
