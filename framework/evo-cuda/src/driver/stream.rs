//! Streams and events.

use cudarc::driver::sys::{self, CUevent, CUstream};

use super::device::Device;
use super::error::{CudaError, check};

/// A stream. What is launched on the default stream is ordered with it, so that a kernel which
/// overlooks the stream it was given is still timed.
#[derive(Debug)]
pub struct Stream {
    device: Device,
    raw: CUstream,
}

// SAFETY: a stream may be used from every thread; the driver locks what it must.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// # Errors
    /// Where the device fails.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        device.enter()?;
        let mut raw: CUstream = std::ptr::null_mut();
        // SAFETY: `raw` is a place for the handle; 0 asks for ordering with the default stream.
        let code = unsafe { sys::cuStreamCreate(&raw mut raw, 0) };
        check(code, || "making a stream".to_owned())?;
        Ok(Self {
            device: device.clone(),
            raw,
        })
    }

    /// The `CUstream` as a number, in which form it crosses the boundary to plugins.
    pub fn handle(&self) -> u64 {
        self.raw as usize as u64
    }

    /// Waits until everything queued so far is done.
    ///
    /// # Errors
    /// What a kernel ended with.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.device.enter()?;
        // SAFETY: the stream exists.
        let code = unsafe { sys::cuStreamSynchronize(self.raw) };
        check(code, || "waiting for a kernel".to_owned())
    }

    /// Tells profilers that are over this process where the part that they are to look at begins
    /// and ends. Without one it does nothing.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn mark_for_profilers(&self, begins: bool) -> Result<(), CudaError> {
        self.device.enter()?;
        // SAFETY: there is a context, and nothing is handed over.
        let code = unsafe {
            match begins {
                true => sys::cuProfilerStart(),
                false => sys::cuProfilerStop(),
            }
        };
        check(code, || "telling profilers".to_owned())
    }

    pub(super) fn raw(&self) -> CUstream {
        self.raw
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            // SAFETY: made in `new`, destroyed once; work that is queued still completes.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.raw) };
        }
    }
}

/// A mark in a stream that remembers when it was reached.
#[derive(Debug)]
pub struct Event {
    device: Device,
    raw: CUevent,
}

// SAFETY: an event may be used from every thread; the driver locks what it must.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// The least time that two events can tell from nothing, in seconds: NVIDIA's documentation
    /// of `cuEventElapsedTime` gives about half a microsecond.
    pub const RESOLUTION_S: f64 = 0.5e-6;

    /// # Errors
    /// Where the device fails.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        device.enter()?;
        let mut raw: CUevent = std::ptr::null_mut();
        // SAFETY: `raw` is a place for the handle; 0 asks for an event that keeps the time.
        let code = unsafe { sys::cuEventCreate(&raw mut raw, 0) };
        check(code, || "making an event".to_owned())?;
        Ok(Self {
            device: device.clone(),
            raw,
        })
    }

    /// Queues the mark.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        self.device.enter()?;
        // SAFETY: both exist, in the same context.
        let code = unsafe { sys::cuEventRecord(self.raw, stream.raw()) };
        check(code, || "queueing an event".to_owned())
    }

    /// Waits until the mark was reached.
    ///
    /// # Errors
    /// What a kernel before it ended with.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.device.enter()?;
        // SAFETY: the event exists.
        let code = unsafe { sys::cuEventSynchronize(self.raw) };
        check(code, || "waiting for a kernel".to_owned())
    }

    /// Seconds from another event to this one; both must have been reached.
    ///
    /// # Errors
    /// Where they were not.
    pub fn seconds_since(&self, start: &Self) -> Result<f64, CudaError> {
        self.device.enter()?;
        let mut milliseconds = 0f32;
        // SAFETY: both exist, and `milliseconds` is a float.
        let code =
            unsafe { sys::cuEventElapsedTime_v2(&raw mut milliseconds, start.raw, self.raw) };
        check(code, || "reading the time between two events".to_owned())?;
        Ok(f64::from(milliseconds) / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            // SAFETY: made in `new`, destroyed once.
            let _ = unsafe { sys::cuEventDestroy_v2(self.raw) };
        }
    }
}
