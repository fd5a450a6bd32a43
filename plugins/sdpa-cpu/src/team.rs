//! The threads of a loaded kernel.

use evo_plugin::Error;

/// A fixed number of threads, each with a number. The caller is the first of them: it need not be
/// woken, and its core is warm.
pub(crate) struct Team {
    others: Option<rayon::ThreadPool>,
}

impl Team {
    /// Starts the threads beside the caller.
    pub(crate) fn new(threads: usize) -> Result<Self, Error> {
        if threads <= 1 {
            return Ok(Self { others: None });
        }
        let others = rayon::ThreadPoolBuilder::new()
            .num_threads(threads - 1)
            .thread_name(|index| format!("sdpa-{}", index + 1))
            .build()
            .map_err(|error| Error::Failed(format!("cannot start {threads} threads: {error}")))?;
        Ok(Self {
            others: Some(others),
        })
    }

    /// Runs the work once on every thread, with the thread's number, and waits for all.
    pub(crate) fn run(&self, work: impl Fn(usize) + Sync) {
        match &self.others {
            None => work(0),
            Some(others) => others.in_place_scope(|scope| {
                scope.spawn_broadcast(|_, context| work(context.index() + 1));
                work(0);
            }),
        }
    }
}
