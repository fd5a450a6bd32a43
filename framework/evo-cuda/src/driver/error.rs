//! What the driver answers when something does not work.

use std::ffi::CStr;

use cudarc::driver::sys::{self, CUresult};

/// What an error means for who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no driver, no device, or none of that number.
    Missing,
    /// The device has no memory left.
    OutOfMemory,
    /// A kernel brought the context down: an illegal address, an assertion, a trap. Every later
    /// call in this process fails; the process has to end.
    ContextLost,
    /// The device cannot do this: too many threads, registers or bytes of shared memory, machine
    /// code for another architecture, arguments that do not fit.
    Refused,
    /// Anything else.
    Failed,
}

/// An error of the driver, or of a request to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CudaError {
    kind: ErrorKind,
    message: String,
}

impl CudaError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// What it means.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// What a code means.
fn kind_of(code: CUresult) -> ErrorKind {
    use CUresult as E;
    match code {
        E::CUDA_ERROR_NO_DEVICE | E::CUDA_ERROR_INVALID_DEVICE | E::CUDA_ERROR_STUB_LIBRARY => {
            ErrorKind::Missing
        }
        E::CUDA_ERROR_OUT_OF_MEMORY => ErrorKind::OutOfMemory,
        E::CUDA_ERROR_ECC_UNCORRECTABLE
        | E::CUDA_ERROR_NVLINK_UNCORRECTABLE
        | E::CUDA_ERROR_CONTAINED
        | E::CUDA_ERROR_ILLEGAL_ADDRESS
        | E::CUDA_ERROR_LAUNCH_TIMEOUT
        | E::CUDA_ERROR_CONTEXT_IS_DESTROYED
        | E::CUDA_ERROR_ASSERT
        | E::CUDA_ERROR_HARDWARE_STACK_ERROR
        | E::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | E::CUDA_ERROR_MISALIGNED_ADDRESS
        | E::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | E::CUDA_ERROR_INVALID_PC
        | E::CUDA_ERROR_LAUNCH_FAILED
        | E::CUDA_ERROR_TENSOR_MEMORY_LEAK
        | E::CUDA_ERROR_EXTERNAL_DEVICE
        | E::CUDA_ERROR_UNKNOWN => ErrorKind::ContextLost,
        E::CUDA_ERROR_INVALID_VALUE
        | E::CUDA_ERROR_INVALID_IMAGE
        | E::CUDA_ERROR_NO_BINARY_FOR_GPU
        | E::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | E::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
        | E::CUDA_ERROR_INVALID_CLUSTER_SIZE
        | E::CUDA_ERROR_NOT_SUPPORTED => ErrorKind::Refused,
        _ => ErrorKind::Failed,
    }
}

/// The outcome of a call, with what was tried in words.
pub(super) fn check(code: CUresult, trying: impl FnOnce() -> String) -> Result<(), CudaError> {
    if code == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let (kind, told) = (kind_of(code), describe(code));
    let mut message = format!("{}: {told}", trying());
    if kind == ErrorKind::ContextLost {
        message.push_str("; the CUDA context of this process is lost");
    }
    Err(CudaError { kind, message })
}

/// The driver's name and text for a code.
fn describe(code: CUresult) -> String {
    let ask = |call: unsafe fn(CUresult, *mut *const std::ffi::c_char) -> CUresult| {
        let mut text = std::ptr::null();
        // SAFETY: `text` is a place for a pointer; the driver is present, since it gave the code.
        let told = unsafe { call(code, &raw mut text) };
        if told != CUresult::CUDA_SUCCESS || text.is_null() {
            return None;
        }
        // SAFETY: a static text that ends in a zero.
        Some(
            unsafe { CStr::from_ptr(text) }
                .to_string_lossy()
                .into_owned(),
        )
    };
    match (ask(sys::cuGetErrorName), ask(sys::cuGetErrorString)) {
        (Some(name), Some(text)) => format!("{text} ({name})"),
        _ => format!("error {}", code as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_the_worker_acts_on() {
        let kinds = [
            (CUresult::CUDA_ERROR_OUT_OF_MEMORY, ErrorKind::OutOfMemory),
            (CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, ErrorKind::ContextLost),
            (CUresult::CUDA_ERROR_LAUNCH_FAILED, ErrorKind::ContextLost),
            (
                CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
                ErrorKind::Refused,
            ),
            (CUresult::CUDA_ERROR_NO_DEVICE, ErrorKind::Missing),
            (CUresult::CUDA_ERROR_NOT_FOUND, ErrorKind::Failed),
        ];
        for (code, kind) in kinds {
            assert_eq!(kind_of(code), kind, "{code:?}");
        }
    }
}
