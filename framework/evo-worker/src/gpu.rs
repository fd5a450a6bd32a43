//! The GPU that a worker serves: one stream, a pair of events, and what pushes the cache empty.
//!
//! A batch is timed by two events in the stream, so that neither the host's clock nor the wait for
//! the end is part of it. Where the launches can be recorded, a batch is a graph that is queued as
//! one (see `batches`). What is left of the host where they cannot is the launches themselves: a
//! kernel that is over before the next one has been queued, after two to five microseconds, is
//! then timed at the rate of the launches.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use evo_cuda::{
    CudaError, Device, DeviceBuffer, ErrorKind, Event, Flush, Graph, Peaks, PinnedBuffer, Stream,
    Watch,
};
use evo_plugin::Error;
use evo_process::SharedDeviceMemory;
use evo_types::DeviceFacts;

use crate::device_reference::DeviceReference;

/// The first kernel of a batch begins up to this many seconds after the event before it was
/// reached: the host is still on its way. NVIDIA gives no figure; a launch takes about half.
const GAP_S: f64 = 5e-6;
/// The part of a batch that the gap may be.
const GAP_SHARE: f64 = 0.01;

/// A buffer on the device and its mirror on the host, of the same size.
#[derive(Debug)]
pub(crate) struct Mirrored {
    pub(crate) mirror: PinnedBuffer,
    pub(crate) twin: DeviceBuffer,
}

impl Mirrored {
    /// Brings the device's content here, as doubles: as many as fit.
    ///
    /// # Errors
    /// Where the device fails; also what a kernel ended with.
    pub(crate) fn pull_doubles(&mut self) -> Result<&[f64], Error> {
        let (pointer, bytes) = (self.mirror.pointer().as_ptr(), self.twin.bytes());
        // SAFETY: the mirror is as large as the twin and was initialised; the borrow is exclusive.
        let mirror = unsafe { std::slice::from_raw_parts_mut(pointer, bytes) };
        self.twin.download(0, mirror).map_err(error_of)?;
        // SAFETY: page-locked memory is aligned to a page, and every pattern of bits is a double.
        Ok(unsafe { std::slice::from_raw_parts(pointer.cast::<f64>(), bytes / size_of::<f64>()) })
    }
}

/// Pairs that nobody uses, by size.
#[derive(Debug)]
struct Spare<T> {
    pairs: BTreeMap<usize, Vec<T>>,
    bytes: usize,
}

/// Most bytes of such pairs: the host takes a worker that has grown by more for one that leaks.
const MOST_SPARE: usize = 1 << 30;

impl<T> Spare<T> {
    const fn new() -> Self {
        Self {
            pairs: BTreeMap::new(),
            bytes: 0,
        }
    }

    fn take(&mut self, bytes: usize) -> Option<T> {
        let pair = self.pairs.get_mut(&bytes)?.pop()?;
        self.bytes -= bytes;
        Some(pair)
    }

    fn put(&mut self, bytes: usize, pair: T) {
        if bytes > MOST_SPARE {
            return;
        }
        if self.bytes + bytes > MOST_SPARE {
            // Of another problem, most likely.
            self.clear();
        }
        self.bytes += bytes;
        self.pairs.entry(bytes).or_default().push(pair);
    }

    /// Frees all; whether there was something.
    fn clear(&mut self) -> bool {
        self.bytes = 0;
        !std::mem::take(&mut self.pairs).is_empty()
    }
}

/// A device with what batches on it need.
#[derive(Debug)]
pub(crate) struct Gpu {
    device: Device,
    stream: Stream,
    start: Event,
    end: Event,
    /// Made when it is first needed: it takes twice the cache's size in memory.
    flush: OnceLock<Flush>,
    /// What NVML tells; nothing where it is absent.
    watch: Option<Watch>,
    spare: Mutex<Spare<Mirrored>>,
    /// The reference of the built-in attention, as far as it was needed.
    reference: DeviceReference,
    /// Bytes of the cache that were set aside before any candidate, where the device can do so.
    set_aside_at_first: Option<u64>,
    /// When the processes on the device were last counted, and how many were not ours.
    strangers: Mutex<Option<(Instant, usize)>>,
}

/// Processes on the device are counted no more often than this: it takes the driver a while.
const COUNT_EVERY: Duration = Duration::from_millis(100);

/// An error on the way to a recorded batch.
#[derive(Debug)]
struct Recording(Error);

impl From<CudaError> for Recording {
    fn from(error: CudaError) -> Self {
        Self(error_of(error))
    }
}

/// An error of the driver as one of plugins, which decides the outcome of a trial.
pub(crate) fn error_of(error: CudaError) -> Error {
    match error.kind() {
        ErrorKind::OutOfMemory => Error::OutOfMemory(error.to_string()),
        ErrorKind::ContextLost => Error::Crashed(error.to_string()),
        ErrorKind::Missing | ErrorKind::Refused | ErrorKind::Failed => {
            Error::Failed(error.to_string())
        }
    }
}

impl Gpu {
    /// Opens a device by its number.
    ///
    /// # Errors
    /// Where there is no driver or no such device, with what to do instead.
    pub(crate) fn open(index: u32) -> Result<Self, CudaError> {
        let device = Device::open(index)?;
        Ok(Self {
            stream: Stream::new(&device)?,
            start: Event::new(&device)?,
            end: Event::new(&device)?,
            flush: OnceLock::new(),
            watch: Watch::of(&device.facts().uuid).ok(),
            spare: Mutex::new(Spare::new()),
            reference: DeviceReference::default(),
            set_aside_at_first: device.set_aside(),
            strangers: Mutex::new(None),
            device,
        })
    }

    pub(crate) fn facts(&self) -> DeviceFacts {
        self.device.facts()
    }

    /// The device's number, as tensors tell it.
    pub(crate) fn index(&self) -> i32 {
        i32::try_from(self.device.index()).unwrap_or(i32::MAX)
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// What to compile for.
    pub(crate) fn arch(&self) -> String {
        self.device.arch()
    }

    pub(crate) fn reference(&self) -> &DeviceReference {
        &self.reference
    }

    /// Bounds from the data sheet, where the architecture is known.
    pub(crate) fn peaks(&self) -> Option<Peaks> {
        Peaks::of(self.device.limits())
    }

    /// The `CUstream` that kernels are launched into.
    pub(crate) fn stream(&self) -> u64 {
        self.stream.handle()
    }

    /// Bytes of the last-level cache.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.device.limits().l2_bytes
    }

    /// Bytes of device memory that are free; 0 where it does not answer.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.device.memory().map_or(0, |(free, _)| free)
    }

    /// Memory for a buffer.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn buffer(&self, bytes: usize, what: &str) -> Result<DeviceBuffer, Error> {
        self.allocate(what, || DeviceBuffer::new(&self.device, bytes))
    }

    /// Memory for a buffer, and for its mirror on the host: what an earlier pair of this size left, or
    /// new. Locking pages takes far longer than a copy, and trials ask for the same sizes.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn mirrored(&self, bytes: usize, what: &str) -> Result<Mirrored, Error> {
        if let Some(pair) = self.spare().take(bytes) {
            return Ok(pair);
        }
        self.allocate(what, || {
            let twin = DeviceBuffer::new(&self.device, bytes)?;
            let mirror = PinnedBuffer::new(&self.device, bytes)?;
            Ok(Mirrored { mirror, twin })
        })
    }

    /// Keeps a pair for the next one who asks, unless there are many.
    pub(crate) fn give_back(&self, pair: Mirrored) {
        self.spare().put(pair.twin.bytes(), pair);
    }

    fn spare(&self) -> MutexGuard<'_, Spare<Mirrored>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocates; where there is no memory left, once more without what is kept for later.
    fn allocate<T>(
        &self,
        what: &str,
        allocate: impl Fn() -> Result<T, CudaError>,
    ) -> Result<T, Error> {
        let allocated = allocate().or_else(|error| {
            if error.kind() != ErrorKind::OutOfMemory || !self.spare().clear() {
                return Err(error);
            }
            allocate()
        });
        allocated.map_err(|error| match error_of(error) {
            Error::OutOfMemory(message) => Error::OutOfMemory(format!("{what} needs {message}")),
            error => error,
        })
    }

    /// Lets other processes be told of a buffer. What this returns must be dropped first.
    ///
    /// # Errors
    /// Where the device or the system does not share memory between processes.
    pub(crate) fn share(&self, buffer: &DeviceBuffer) -> Result<SharedDeviceMemory, Error> {
        let handle = buffer.ipc_handle().map_err(error_of)?;
        let (address, bytes) = (buffer.address(), buffer.bytes());
        let uuid = self.device.facts().uuid;
        Ok(SharedDeviceMemory::new(address, bytes, &handle, &uuid))
    }

    /// Waits until all launches are done.
    ///
    /// # Errors
    /// What a kernel ended with.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        self.stream.synchronize().map_err(error_of)
    }

    /// Tells profilers that are over this process where the part to look at begins and ends.
    pub(crate) fn mark_for_profilers(&self, begins: bool) {
        // Where the device fails, the launch that follows says so, or the one before has.
        let _ = self.stream.mark_for_profilers(begins);
    }

    /// Marks the start of a batch, after everything that is queued.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        self.start.record(&self.stream).map_err(error_of)
    }

    /// Marks the end of a batch and waits for it; seconds since its start.
    ///
    /// # Errors
    /// What a kernel ended with.
    pub(crate) fn end(&self) -> Result<f64, Error> {
        let ended = || {
            self.end.record(&self.stream)?;
            self.end.synchronize()?;
            self.end.seconds_since(&self.start)
        };
        ended().map_err(error_of)
    }

    /// Records what `queue` launches instead of running it.
    ///
    /// # Errors
    /// What `queue` returns, and where it cannot be recorded.
    pub(crate) fn record(&self, queue: impl FnOnce() -> Result<(), Error>) -> Result<Graph, Error> {
        let recorded = Graph::record(&self.stream, || queue().map_err(Recording));
        recorded.map_err(|Recording(error)| error)
    }

    /// Queues what was recorded.
    ///
    /// # Errors
    /// Where the device fails.
    ///
    /// # Safety
    /// What the recorded launches work on must live until the stream is done.
    pub(crate) unsafe fn queue(&self, graph: &Graph) -> Result<(), Error> {
        // SAFETY: as promised.
        unsafe { graph.queue(&self.stream) }.map_err(error_of)
    }

    /// Takes back what an earlier candidate has said of the way through the cache of launches into
    /// this stream.
    pub(crate) fn clear_access_window(&self) {
        // Where the device fails, the launch that follows says so.
        let _ = self.stream.clear_access_window();
    }

    /// Bytes of the cache that have been set aside for persisting data since this device was opened,
    /// which is undone: nothing like that happens in a process but by a candidate. `None` where there
    /// are as many as there were.
    pub(crate) fn undo_set_aside(&self) -> Option<u64> {
        let at_first = self.set_aside_at_first?;
        let bytes = self.device.set_aside().filter(|now| *now != at_first)?;
        let _ = self.device.reset_set_aside(at_first);
        Some(bytes)
    }

    /// How many signs there are that something else decides about the device's pace just now: low
    /// clocks for lack of power or cooling, other processes. 0 where NVML is absent.
    pub(crate) fn disturbances(&self) -> i64 {
        let Some(watch) = &self.watch else {
            return 0;
        };
        let throttled = watch.throttle().is_some_and(evo_cuda::Throttle::is_any);
        i64::from(throttled) + i64::try_from(self.strangers(watch)).unwrap_or(i64::MAX - 1)
    }

    /// Other processes that compute on the device. This one is among those that are counted, and so
    /// are plugins that are processes and work there.
    fn strangers(&self, watch: &Watch) -> usize {
        let mut last = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((when, count)) = *last
            && when.elapsed() < COUNT_EVERY
        {
            return count;
        }
        let own = 1 + evo_process::processes_on_gpu();
        let count = watch.processes().unwrap_or(own).saturating_sub(own);
        *last = Some((Instant::now(), count));
        count
    }

    /// The clock of the multiprocessors now, in MHz, where NVML tells it.
    pub(crate) fn clock_mhz(&self) -> Option<u32> {
        self.watch.as_ref()?.sm_clock_mhz()
    }

    /// The least time in seconds that a batch can tell from nothing. The stopping rules take
    /// batches of so many times 20.
    pub(crate) fn resolution() -> f64 {
        Event::RESOLUTION_S.max(GAP_S / GAP_SHARE / evo_stats::LEAST_CLOCK_TICKS)
    }

    /// Queues what pushes all buffers out of the cache.
    ///
    /// # Errors
    /// Where there is no memory for it, or the device fails.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let flush = match self.flush.get() {
            Some(flush) => flush,
            None => {
                let made = Flush::new(&self.device).map_err(error_of)?;
                self.flush.get_or_init(|| made)
            }
        };
        flush.queue(&self.stream).map_err(error_of)
    }

    /// Whether a kernel brought the context down: then nothing works any more in this process.
    pub(crate) fn is_lost(&self) -> bool {
        let answer = self.device.synchronize();
        answer.is_err_and(|error| error.kind() == ErrorKind::ContextLost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_outweighs_the_gap_before_its_first_kernel() {
        let least = Gpu::resolution() * evo_stats::LEAST_CLOCK_TICKS;
        assert!(GAP_S / least <= GAP_SHARE * 1.001, "{least}");
    }

    #[test]
    fn what_was_given_back_comes_again_within_bounds() {
        let mut spare = Spare::new();
        for name in ["a", "b"] {
            spare.put(1 << 20, name);
        }
        spare.put(1 << 10, "small");
        assert_eq!(spare.take(1 << 20), Some("b"));
        assert_eq!(spare.take(1 << 20), Some("a"));
        assert_eq!(
            (spare.take(1 << 20), spare.take(1 << 10)),
            (None, Some("small"))
        );
        // Too large to keep; and no more than so many bytes of all.
        spare.put(MOST_SPARE + 1, "huge");
        assert_eq!(spare.take(MOST_SPARE + 1), None);
        spare.put(MOST_SPARE / 2, "old");
        spare.put(MOST_SPARE / 2 + 1, "new");
        assert_eq!(spare.take(MOST_SPARE / 2), None);
        assert_eq!(spare.take(MOST_SPARE / 2 + 1), Some("new"));
    }

    #[test]
    fn a_part_of_the_cache_that_was_set_aside_is_seen_once_and_given_back() {
        let gpu = match Gpu::open(0) {
            Ok(gpu) => gpu,
            Err(error) => return println!("skipped: {error}"),
        };
        let Some(at_first) = gpu.device.set_aside() else {
            return println!("skipped: this device can set no cache aside");
        };
        assert_eq!(gpu.undo_set_aside(), None);
        gpu.device.reset_set_aside(at_first + (4 << 20)).unwrap();
        let seen = gpu.undo_set_aside().unwrap();
        assert!(seen >= at_first + (4 << 20), "{seen}");
        assert_eq!(gpu.device.set_aside(), Some(at_first));
        assert_eq!(gpu.undo_set_aside(), None);
    }

    #[test]
    fn a_machine_without_a_driver_is_told_what_to_do() {
        match Gpu::open(0) {
            Ok(gpu) => {
                assert_eq!(gpu.facts().kind, "cuda");
                assert!(gpu.wait().is_ok() && !gpu.is_lost());
                gpu.begin().unwrap();
                gpu.flush().unwrap();
                assert!(gpu.end().unwrap() > 0.0);
            }
            Err(error) => {
                let text = error_of(error).to_string();
                assert!(text.contains("device `cpu`"), "{text}");
            }
        }
    }
}
