//! Memory of the host that copies to and from a device go through at full speed.

use std::ffi::c_void;
use std::ptr::NonNull;

use cudarc::driver::sys;

use super::device::Device;
use super::error::{CudaError, ErrorKind, check};

/// Page-locked memory of the host, all zeros at first, freed when it is dropped.
#[derive(Debug)]
pub struct PinnedBuffer {
    device: Device,
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its memory, like a boxed slice.
unsafe impl Send for PinnedBuffer {}

impl PinnedBuffer {
    /// Allocates; at least one byte, aligned to a page.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] where the system locks no more pages.
    pub fn new(device: &Device, bytes: usize) -> Result<Self, CudaError> {
        device.enter()?;
        let bytes = bytes.max(1);
        let mut pointer: *mut c_void = std::ptr::null_mut();
        // SAFETY: `pointer` is a place for an address; 0 asks for nothing special.
        let code = unsafe { sys::cuMemHostAlloc(&raw mut pointer, bytes, 0) };
        check(code, || format!("{bytes} bytes of page-locked memory"))?;
        let base = NonNull::new(pointer.cast::<u8>()).ok_or_else(|| {
            CudaError::new(ErrorKind::OutOfMemory, "no page-locked memory".to_owned())
        })?;
        // SAFETY: the allocation just made, as long as was asked for.
        unsafe { base.as_ptr().write_bytes(0, bytes) };
        Ok(Self {
            device: device.clone(),
            base,
            bytes,
        })
    }

    /// The first byte.
    pub fn pointer(&self) -> NonNull<u8> {
        self.base
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            // A lost context refuses; its memory goes with the process.
            // SAFETY: allocated in `new`, freed once.
            let _ = unsafe { sys::cuMemFreeHost(self.base.as_ptr().cast()) };
        }
    }
}
