//! Counters of all threads of this process, one event after the other.

use std::fs;
use std::io;
use std::time::Instant;

use evo_plugin::{Error, Runnable};
use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Hardware, Software};
use perf_event::{Builder, Counter};

/// Seconds of launches for each event. Every event has passes of its own, so that the processor's few
/// counters are never shared between events, and few files are open at once.
const SECONDS: f64 = 0.1;

/// Fewest launches for each event.
const LAUNCHES: u32 = 3;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Hardware(Hardware),
    L1dLoads,
    L1dMisses,
    Software(Software),
}

/// How often something happened in a launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Counted {
    /// Of one launch.
    pub(crate) each: f64,
    /// Microseconds of a launch in this pass.
    pub(crate) wall_us: f64,
}

impl Count {
    /// A counter of one thread and those that it will start, disabled.
    fn open(self, thread: i32) -> io::Result<Counter> {
        let l1d = |result| Cache {
            which: CacheId::L1D,
            operation: CacheOp::READ,
            result,
        };
        let mut builder = match self {
            Self::Hardware(event) => Builder::new(event),
            Self::L1dLoads => Builder::new(l1d(CacheResult::ACCESS)),
            Self::L1dMisses => Builder::new(l1d(CacheResult::MISS)),
            Self::Software(event) => Builder::new(event),
        };
        builder.observe_pid(thread).inherit(true);
        // Faults and switches happen in the system's code, which not everybody may look at.
        if matches!(self, Self::Software(event) if event != Software::TASK_CLOCK) {
            builder.include_kernel();
        }
        builder.build()
    }

    /// Counts over a series of launches; `None` where this machine does not count it, or does not say
    /// so to this user.
    ///
    /// # Errors
    /// What a launch returns.
    pub(crate) fn over(self, runnable: &mut dyn Runnable) -> Result<Option<Counted>, Error> {
        let Ok(mut counters) = self.open_all() else {
            return Ok(None);
        };
        if counters.iter_mut().any(|counter| counter.enable().is_err()) {
            return Ok(None);
        }
        let began = Instant::now();
        let mut launches = 0;
        while launches < LAUNCHES || began.elapsed().as_secs_f64() < SECONDS {
            runnable.launch()?;
            launches += 1;
        }
        let wall_us = began.elapsed().as_secs_f64() * 1e6 / f64::from(launches);
        let mut total = 0.0;
        for counter in &mut counters {
            let read = counter.disable().and_then(|()| counter.read());
            let Ok(read) = read else { return Ok(None) };
            total += read as f64;
        }
        Ok(Some(Counted {
            each: total / f64::from(launches),
            wall_us,
        }))
    }

    fn open_all(self) -> io::Result<Vec<Counter>> {
        let mut counters = Vec::new();
        for entry in fs::read_dir("/proc/self/task")? {
            let thread = entry?.file_name().to_string_lossy().parse::<i32>();
            let Ok(thread) = thread else { continue };
            match self.open(thread) {
                Ok(counter) => counters.push(counter),
                // A thread that has ended since.
                Err(error) if error.raw_os_error() == Some(NO_SUCH_PROCESS) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(counters)
    }
}

/// `ESRCH`.
const NO_SUCH_PROCESS: i32 = 3;

/// Whether counters can be opened at all.
///
/// # Errors
/// Why not, and what to do about it.
pub(crate) fn probe() -> Result<(), Error> {
    let opened = Count::Software(Software::TASK_CLOCK).open_all();
    let Err(error) = opened else { return Ok(()) };
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let level = match level {
        Ok(level) => format!(
            "`sysctl kernel.perf_event_paranoid` is {}; 2 or less is needed",
            level.trim()
        ),
        Err(_) => "this kernel has no performance events".to_owned(),
    };
    Err(Error::Rejected(format!(
        "performance events cannot be opened ({error}): {level}, and in a container the system call \
         perf_event_open has to be allowed; the profiler `usage` needs neither"
    )))
}
