//! The part of the second-level cache that a process may set aside for accesses which it marks as
//! persisting. What lies there survives whatever else passes through the cache.

use cudarc::driver::sys::{self, CUlimit, CUstreamAttrID, CUstreamAttrValue};

use super::device::Device;
use super::error::{CudaError, check};
use super::stream::Stream;

const LIMIT: CUlimit = CUlimit::CU_LIMIT_PERSISTING_L2_CACHE_SIZE;

impl Device {
    /// Bytes of the second-level cache that this process has set aside; `None` where the device can
    /// set none aside.
    pub fn set_aside(&self) -> Option<u64> {
        self.enter().ok()?;
        let mut bytes = 0usize;
        // SAFETY: a context is current, and `bytes` is a place for the limit.
        let code = unsafe { sys::cuCtxGetLimit(&raw mut bytes, LIMIT) };
        check(code, String::new).ok().map(|()| bytes as u64)
    }

    /// Sets so many bytes aside, and makes lines that are marked as persisting ordinary ones.
    ///
    /// Afterwards kernels that read from memory were measured up to 0.4 us slower for as long as the
    /// process lived, once the whole cache had been in use before (H200,
    /// `kernels/sdpa/RESULTS.md`): for what has gone wrong, not for every measurement.
    ///
    /// # Errors
    /// Where the device can set none aside, or not as much.
    pub fn reset_set_aside(&self, bytes: u64) -> Result<(), CudaError> {
        self.enter()?;
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        // SAFETY: a context is current.
        let code = unsafe { sys::cuCtxSetLimit(LIMIT, wanted) };
        check(code, || {
            format!("setting {bytes} bytes of the second-level cache aside")
        })?;
        // SAFETY: as above.
        let code = unsafe { sys::cuCtxResetPersistingL2Cache() };
        check(code, || {
            "resetting persisting lines of the cache".to_owned()
        })
    }
}

impl Stream {
    /// Takes back what an earlier user of the stream has said of its launches' way through the cache.
    ///
    /// # Errors
    /// Where there is no context.
    pub fn clear_access_window(&self) -> Result<(), CudaError> {
        self.device().enter()?;
        let value = CUstreamAttrValue { pad: [0; 64] };
        let window = CUstreamAttrID::CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW;
        // A device without such a cache refuses it, and needs it not.
        // SAFETY: a window of no bytes is one that is not there; the stream exists.
        let _ = unsafe { sys::cuStreamSetAttribute(self.raw(), window, &raw const value) };
        Ok(())
    }
}
