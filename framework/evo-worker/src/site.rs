//! Where a kernel works: where its buffers live, how its launches are waited for, and how a batch
//! of them is timed.
//!
//! Everything else in the worker (checks, rotation over buffer sets, stopping rules, rechecks) is
//! the same for every kernel, whichever way it was brought.

use std::sync::Arc;
use std::time::Instant;

use evo_plugin::{Error, Stream};

use crate::clock;
use crate::device;
use crate::gpu::Gpu;

/// A batch in another process takes so many times 20 round trips at least (20 is what the stopping
/// rules want of any clock), so that the message is no more than 1 % of it.
const TRIPS_PER_TICK: f64 = 5.0;

/// Where a kernel works.
#[derive(Debug, Clone)]
pub(crate) enum Site {
    /// In this process, on the host's memory: a launch is done when it returns.
    Host,
    /// In another process, on memory that is shared with it: launches are queued under a number.
    Process(u64),
    /// On a GPU: every buffer has a twin in the device's memory, and launches go into a stream.
    Cuda(Arc<Gpu>),
    /// In another process that works on a GPU, on twins that are shared with it: launches are queued
    /// under a number, and the process puts them into a stream of its own.
    CudaProcess(Arc<Gpu>, u64),
}

/// Signs that something else took part of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disturbances {
    preemptions: i64,
    now: i64,
}

impl Disturbances {
    /// How many there were since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> i64 {
        self.preemptions - earlier.preemptions + self.now
    }
}

/// A batch of launches that is being timed.
pub(crate) struct Batch<'a> {
    site: &'a Site,
    start: Instant,
}

impl Site {
    /// What `launch` is told to put its work into.
    pub(crate) fn stream(&self) -> Stream {
        match self {
            Self::Host => Stream(0),
            Self::Process(stream) | Self::CudaProcess(_, stream) => Stream(*stream),
            Self::Cuda(gpu) => Stream(gpu.stream()),
        }
    }

    /// The GPU that kernels here run on.
    pub(crate) fn gpu(&self) -> Option<&Arc<Gpu>> {
        match self {
            Self::Host | Self::Process(_) => None,
            Self::Cuda(gpu) | Self::CudaProcess(gpu, _) => Some(gpu),
        }
    }

    /// Waits until every launch so far is done.
    ///
    /// # Errors
    /// What a launch ended with after it had been accepted.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        match self {
            Self::Host => Ok(()),
            Self::Process(stream) | Self::CudaProcess(_, stream) => evo_process::finish(*stream),
            Self::Cuda(gpu) => gpu.wait(),
        }
    }

    /// Tells profilers that are over the process that launches where the part to look at begins and
    /// ends, where there is a way to do so.
    pub(crate) fn mark_for_profilers(&self, begins: bool) {
        match self {
            Self::Cuda(gpu) => gpu.mark_for_profilers(begins),
            Self::CudaProcess(_, stream) => evo_process::mark_for_profilers(*stream, begins),
            Self::Host | Self::Process(_) => {}
        }
    }

    /// Begins to time a batch, with nothing else under way, or on a GPU after what is queued.
    ///
    /// # Errors
    /// Where the device does not answer.
    pub(crate) fn begin(&self) -> Result<Batch<'_>, Error> {
        match self {
            Self::Cuda(gpu) => gpu.begin()?,
            Self::Host | Self::Process(_) => self.wait()?,
            Self::CudaProcess(gpu, _) => {
                // What this process has queued, such as a flush of the cache, goes before.
                gpu.wait()?;
                self.wait()?;
            }
        }
        Ok(Batch {
            site: self,
            start: Instant::now(),
        })
    }

    /// Signs so far that something else took part of the machine: preemptions of this process; and on
    /// a GPU, those that there are now.
    pub(crate) fn disturbances(&self) -> Disturbances {
        let now = self.gpu().map_or(0, |gpu| gpu.disturbances());
        Disturbances {
            preemptions: clock::preemptions(),
            now,
        }
    }

    /// The clock of the device now, in MHz, where it is known.
    pub(crate) fn clock_mhz(&self) -> Option<u32> {
        self.gpu()?.clock_mhz()
    }

    /// The least time in seconds that a batch here can tell from nothing; `clock_s` is that of the
    /// host's clock.
    pub(crate) fn resolution(&self, clock_s: f64) -> f64 {
        match self {
            Self::Host => clock_s,
            // Where nothing answers, the batch that follows says why.
            Self::Process(stream) => {
                evo_process::round_trip(*stream).map_or(clock_s, |trip| trip * TRIPS_PER_TICK)
            }
            Self::Cuda(_) => Gpu::resolution(),
            // The message is no part of what events tell; but only a batch that outweighs it lets
            // our clock say whether they tell the truth.
            Self::CudaProcess(_, stream) => {
                let trips = evo_process::round_trip(*stream).map_or(0.0, |s| s * TRIPS_PER_TICK);
                Gpu::resolution().max(trips)
            }
        }
    }

    /// Bytes of the last cache before the memory that kernels work on.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.gpu()
            .map_or_else(|| device::caches().l3, |gpu| gpu.cache_bytes())
    }

    /// Bytes of memory that are free for buffers; for a GPU there, and here for their mirrors.
    pub(crate) fn available_bytes(&self) -> u64 {
        let here = device::available_bytes();
        self.gpu().map_or(here, |gpu| gpu.free_bytes().min(here))
    }
}

impl Batch<'_> {
    /// Waits until the batch is done, and returns the seconds it took.
    ///
    /// # Errors
    /// What a launch ended with.
    pub(crate) fn end(self) -> Result<f64, Error> {
        match self.site {
            Site::Host => Ok(self.start.elapsed().as_secs_f64()),
            Site::Process(stream) => {
                evo_process::finish_timed(*stream, self.start, evo_process::Clock::Ours)
            }
            Site::CudaProcess(_, stream) => {
                evo_process::finish_timed(*stream, self.start, evo_process::Clock::Events)
            }
            Site::Cuda(gpu) => gpu.end(),
        }
    }
}
