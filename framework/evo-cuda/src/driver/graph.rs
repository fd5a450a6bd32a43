//! Graphs: launches that are recorded once and queued as one, so that the host's time for each
//! launch does not come between kernels of a microsecond.

use std::ffi::c_ulonglong;

use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUstreamCaptureMode};

use super::device::Device;
use super::error::{CudaError, check};
use super::stream::Stream;

/// What was recorded, ready to be queued any number of times.
#[derive(Debug)]
pub struct Graph {
    device: Device,
    raw: CUgraphExec,
    nodes: usize,
}

// SAFETY: a graph is used by one thread at a time, since queueing it takes no more than a shared
// reference to its owner's stream, and the driver locks what it must.
unsafe impl Send for Graph {}
// SAFETY: as above.
unsafe impl Sync for Graph {}

impl Graph {
    /// Records what `queue` puts into the stream, instead of running it. What it does elsewhere is
    /// not recorded; [`nodes`](Self::nodes) tells how much was.
    ///
    /// # Errors
    /// What `queue` returns; and where the work cannot be recorded: a wait for the device, an
    /// allocation, another stream that waits for this one. The stream is as before then.
    pub fn record<E: From<CudaError>>(
        stream: &Stream,
        queue: impl FnOnce() -> Result<(), E>,
    ) -> Result<Self, E> {
        let device = stream.device();
        device.enter()?;
        // What this thread may not do while it records is refused: an allocation for each launch,
        // for instance, would be made once and not be timed.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream exists.
        let code = unsafe { sys::cuStreamBeginCapture_v2(stream.raw(), mode) };
        check(code, || "recording launches".to_owned())?;
        let queued = queue();
        device.enter()?;
        let mut recorded = Recorded(std::ptr::null_mut());
        // SAFETY: recording began above; `recorded` is a place for the graph.
        let code = unsafe { sys::cuStreamEndCapture(stream.raw(), &raw mut recorded.0) };
        queued?;
        check(code, || "these launches cannot be recorded".to_owned())?;
        let mut nodes = 0usize;
        // SAFETY: without a place for them, the nodes are only counted.
        let code =
            unsafe { sys::cuGraphGetNodes(recorded.0, std::ptr::null_mut(), &raw mut nodes) };
        check(code, || "counting what was recorded".to_owned())?;
        let mut raw: CUgraphExec = std::ptr::null_mut();
        let flags: c_ulonglong = 0;
        // SAFETY: `raw` is a place for the handle; the graph exists.
        let code = unsafe { sys::cuGraphInstantiateWithFlags(&raw mut raw, recorded.0, flags) };
        check(code, || "preparing recorded launches".to_owned())?;
        let graph = Self {
            device: device.clone(),
            raw,
            nodes,
        };
        // SAFETY: both exist.
        let code = unsafe { sys::cuGraphUpload(graph.raw, stream.raw()) };
        check(code, || "preparing recorded launches".to_owned())?;
        Ok(graph)
    }

    /// How many kernels, copies and fills were recorded.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Queues everything that was recorded.
    ///
    /// # Errors
    /// Where the device fails; also what an earlier kernel ended with.
    ///
    /// # Safety
    /// What the recorded launches work on must live until the stream is done.
    pub unsafe fn queue(&self, stream: &Stream) -> Result<(), CudaError> {
        self.device.enter()?;
        // SAFETY: both exist, in the same context; the rest is promised.
        let code = unsafe { sys::cuGraphLaunch(self.raw, stream.raw()) };
        check(code, || "queueing recorded launches".to_owned())
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            // SAFETY: made in `record`, destroyed once; what is queued still completes.
            let _ = unsafe { sys::cuGraphExecDestroy(self.raw) };
        }
    }
}

/// A graph that is only needed until it is prepared.
struct Recorded(CUgraph);

impl Drop for Recorded {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: recorded above, destroyed once.
            let _ = unsafe { sys::cuGraphDestroy(self.0) };
        }
    }
}
