//! Device memory.

use cudarc::driver::sys::{self, CUdeviceptr};

use super::device::Device;
use super::error::{CudaError, ErrorKind, check};
use super::stream::Stream;

/// A piece of device memory, freed when it is dropped.
#[derive(Debug)]
pub struct DeviceBuffer {
    device: Device,
    address: CUdeviceptr,
    bytes: usize,
}

impl DeviceBuffer {
    /// Allocates; the address is a multiple of 256, and the content is undefined.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] with what was asked for and what there is.
    pub fn new(device: &Device, bytes: usize) -> Result<Self, CudaError> {
        device.enter()?;
        let mut address: CUdeviceptr = 0;
        if bytes > 0 {
            // SAFETY: `address` is a place for an address.
            let code = unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes) };
            check(code, || {
                format!("{} of device memory", megabytes(bytes as u64))
            })
            .map_err(|error| with_free(device, error))?;
        }
        Ok(Self {
            device: device.clone(),
            address,
            bytes,
        })
    }

    /// The address on the device; 0 for an empty buffer.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What another process of this machine opens to see the same memory: the bytes of a
    /// `CUipcMemHandle`. It is good for as long as the buffer lives.
    ///
    /// # Errors
    /// Where the device or the system does not share memory between processes.
    pub fn ipc_handle(&self) -> Result<[u8; 64], CudaError> {
        self.device.enter()?;
        let mut handle = sys::CUipcMemHandle { reserved: [0; 64] };
        // SAFETY: `handle` is a place for one, and the address is that of an allocation.
        let code = unsafe { sys::cuIpcGetMemHandle(&raw mut handle, self.address) };
        check(code, || "sharing device memory with a process".to_owned())?;
        Ok(handle.reserved.map(|byte| byte as u8))
    }

    /// Copies from the host to `offset` bytes into the buffer; done when it returns.
    ///
    /// # Errors
    /// Where it does not fit, or the device fails.
    pub fn upload(&mut self, offset: usize, content: &[u8]) -> Result<(), CudaError> {
        let address = self.part(offset, content.len())?;
        if content.is_empty() {
            return Ok(());
        }
        self.device.enter()?;
        // SAFETY: the range lies in this buffer, and `content` is read before the call returns.
        let code = unsafe { sys::cuMemcpyHtoD_v2(address, content.as_ptr().cast(), content.len()) };
        check(code, || "copying to the device".to_owned())?;
        // The last part of a copy from pageable memory may still be on its way.
        self.settle("copying to the device")
    }

    /// Copies `offset` bytes into the buffer to the host. Work in streams has to be waited for by
    /// the caller.
    ///
    /// # Errors
    /// Where there is not as much, or the device fails; also what an earlier kernel ended with.
    pub fn download(&self, offset: usize, content: &mut [u8]) -> Result<(), CudaError> {
        let address = self.part(offset, content.len())?;
        if content.is_empty() {
            return Ok(());
        }
        self.device.enter()?;
        // SAFETY: the range lies in this buffer, and `content` has as many bytes.
        let code =
            unsafe { sys::cuMemcpyDtoH_v2(content.as_mut_ptr().cast(), address, content.len()) };
        check(code, || "copying from the device".to_owned())
    }

    /// Sets every byte; done when it returns.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn fill(&mut self, byte: u8) -> Result<(), CudaError> {
        if self.bytes == 0 {
            return Ok(());
        }
        self.device.enter()?;
        // SAFETY: the range is this buffer.
        let code = unsafe { sys::cuMemsetD8_v2(self.address, byte, self.bytes) };
        check(code, || "filling device memory".to_owned())?;
        self.settle("filling device memory")
    }

    /// Sets so many words of 32 bits from `offset` bytes on; done when it returns.
    ///
    /// # Errors
    /// Where they do not lie in the buffer on a multiple of 4, or the device fails.
    pub fn fill_words(&mut self, offset: usize, words: usize, word: u32) -> Result<(), CudaError> {
        let address = self.part(offset, words.saturating_mul(4))?;
        if words == 0 {
            return Ok(());
        }
        self.device.enter()?;
        // SAFETY: the range lies in this buffer; the driver refuses what is not aligned.
        let code = unsafe { sys::cuMemsetD32_v2(address, word, words) };
        check(code, || "filling device memory".to_owned())?;
        self.settle("filling device memory")
    }

    /// Waits for the default stream, in which copies and fills are queued.
    fn settle(&self, doing: &str) -> Result<(), CudaError> {
        // SAFETY: the default stream is always there.
        let code = unsafe { sys::cuStreamSynchronize(std::ptr::null_mut()) };
        check(code, || doing.to_owned())
    }

    fn part(&self, offset: usize, bytes: usize) -> Result<CUdeviceptr, CudaError> {
        let end = offset.checked_add(bytes);
        if end.is_none_or(|end| end > self.bytes) {
            return Err(CudaError::refused(format!(
                "{bytes} bytes from {offset} on are not in a buffer of {} bytes",
                self.bytes
            )));
        }
        Ok(self.address + offset as u64)
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        if self.bytes > 0 && self.device.enter().is_ok() {
            // A lost context refuses; its memory goes with the process.
            // SAFETY: allocated in `new`, freed once.
            let _ = unsafe { sys::cuMemFree_v2(self.address) };
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// Adds what there is to an error about what was asked for.
fn with_free(device: &Device, error: CudaError) -> CudaError {
    match device.memory() {
        Ok((free, total)) if error.kind() == ErrorKind::OutOfMemory => CudaError::new(
            ErrorKind::OutOfMemory,
            format!(
                "{error}; {} of {} are free",
                megabytes(free),
                megabytes(total)
            ),
        ),
        _ => error,
    }
}

/// Pushes everything else out of the second-level cache.
#[derive(Debug)]
pub struct Flush {
    ballast: DeviceBuffer,
}

impl Flush {
    /// Allocates twice the size of the cache.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        let bytes = usize::try_from(device.limits().l2_bytes)
            .unwrap_or(0)
            .max(1 << 20);
        let ballast = DeviceBuffer::new(device, bytes.saturating_mul(2))?;
        Ok(Self { ballast })
    }

    /// Queues the flush into a stream.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn queue(&self, stream: &Stream) -> Result<(), CudaError> {
        self.ballast.device.enter()?;
        let (address, bytes) = (self.ballast.address, self.ballast.bytes);
        // SAFETY: the range is the ballast, which nobody reads.
        let code = unsafe { sys::cuMemsetD8Async(address, 0, bytes, stream.raw()) };
        check(code, || "flushing the cache".to_owned())
    }
}
