//! Machine code on a device.

use std::collections::VecDeque;
use std::ffi::{CString, c_int};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUfunction, CUfunction_attribute as Attribute, CUmodule};

use super::device::{Device, driver_version};
use super::error::{CudaError, ErrorKind, check};
use crate::cubin::{self, KernelFigures};

struct Loaded {
    device: Device,
    raw: CUmodule,
    kernels: Vec<KernelFigures>,
}

// SAFETY: a module may be used from every thread; the driver locks what it must.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            // SAFETY: loaded in `Module::load`, unloaded once, when no function of it is left.
            let _ = unsafe { sys::cuModuleUnload(self.raw) };
        }
    }
}

/// A cubin that was loaded onto a device; unloaded with its last function.
#[derive(Clone)]
pub struct Module(Arc<Loaded>);

impl std::fmt::Debug for Module {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.0.kernels.iter().map(|kernel| &kernel.name);
        formatter.debug_list().entries(names).finish()
    }
}

impl Module {
    /// Loads a cubin.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] where it is no cubin, or one for another architecture.
    pub fn load(device: &Device, cubin: &[u8]) -> Result<Self, CudaError> {
        // Read first: the driver is told no size, and trusts what the headers say.
        let kernels =
            cubin::kernels(cubin, "").map_err(|error| CudaError::refused(error.to_string()))?;
        device.enter()?;
        let mut raw: CUmodule = std::ptr::null_mut();
        // SAFETY: the bytes are an ELF file whose sections lie inside them; the driver copies them.
        let code = unsafe { sys::cuModuleLoadData(&raw mut raw, cubin.as_ptr().cast()) };
        check(code, || {
            format!("loading machine code onto {}", device.name())
        })
        .map_err(|error| with_versions(device, error))?;
        Ok(Self(Arc::new(Loaded {
            device: device.clone(),
            raw,
            kernels,
        })))
    }

    /// As [`load`](Self::load), once for all who bring the same machine code: the modules of the last few
    /// are kept. A candidate is loaded for each set of buffers that launches rotate over, and with a
    /// module for each every launch fetches its instructions anew (2.6 % of a kernel of 5 us:
    /// kernels/sdpa/RESULTS.md). For kernels that leave nothing in variables of their module, of which
    /// [`has_variables`](crate::has_variables) tells: others would see what one of them has left there.
    ///
    /// # Errors
    /// As `load`.
    pub fn shared(device: &Device, cubin: &[u8]) -> Result<Self, CudaError> {
        const KEPT: usize = 4;
        static LOADED: Mutex<VecDeque<(Vec<u8>, Module)>> = Mutex::new(VecDeque::new());
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |(bytes, module): &&(Vec<u8>, Self)| {
            module.0.device.index() == device.index() && bytes == cubin
        };
        if let Some((_, module)) = loaded.iter().find(known) {
            return Ok(module.clone());
        }
        let module = Self::load(device, cubin)?;
        if loaded.len() == KEPT {
            loaded.pop_front();
        }
        loaded.push_back((cubin.to_vec(), module.clone()));
        Ok(module)
    }

    /// The kernels in it, without what only the assembler's log tells.
    pub fn kernels(&self) -> &[KernelFigures] {
        &self.0.kernels
    }

    /// A kernel by its symbol.
    ///
    /// # Errors
    /// Where there is none, with those that there are.
    pub fn function(&self, name: &str) -> Result<Function, CudaError> {
        let found = self.0.kernels.iter().find(|kernel| kernel.name == name);
        let symbol = CString::new(name).ok();
        let (Some(figures), Some(symbol)) = (found, symbol) else {
            let names: Vec<_> = self
                .0
                .kernels
                .iter()
                .map(|kernel| kernel.name.as_str())
                .collect();
            return Err(CudaError::refused(format!(
                "there is no kernel `{name}` in the machine code; there is: {}",
                names.join(", ")
            )));
        };
        self.0.device.enter()?;
        let mut raw: CUfunction = std::ptr::null_mut();
        // SAFETY: the module is loaded, and the name ends in a zero.
        let code = unsafe { sys::cuModuleGetFunction(&raw mut raw, self.0.raw, symbol.as_ptr()) };
        check(code, || format!("looking up the kernel `{name}`"))?;
        let function = Function {
            module: self.clone(),
            raw,
            figures: figures.clone(),
            max_threads: 0,
        };
        let max_threads = function.ask(Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?;
        Ok(Function {
            max_threads,
            ..function
        })
    }
}

/// A refused cubin most often is for another device, or of a newer toolkit than the driver.
fn with_versions(device: &Device, error: CudaError) -> CudaError {
    if error.kind() != ErrorKind::Refused {
        return error;
    }
    let version = driver_version().unwrap_or(0);
    CudaError::refused(format!(
        "{error}; the device takes {} of a toolkit no newer than CUDA {}.x, which its driver serves",
        device.arch(),
        version / 1000
    ))
}

/// A kernel that can be launched.
#[derive(Clone)]
pub struct Function {
    module: Module,
    raw: CUfunction,
    figures: KernelFigures,
    max_threads: u32,
}

// SAFETY: a function belongs to its module and may be used from every thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl std::fmt::Debug for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Function({})", self.figures.name)
    }
}

impl Function {
    /// Its symbol and what it needs.
    pub fn figures(&self) -> &KernelFigures {
        &self.figures
    }

    /// Most threads of a block that it can be launched with, given its registers.
    pub fn max_threads_per_block(&self) -> u32 {
        self.max_threads
    }

    /// Resident blocks of one multiprocessor, as the driver computes it.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn blocks_per_sm(&self, threads: u32, shared_bytes: u32) -> Result<u32, CudaError> {
        self.allow_shared(shared_bytes)?;
        let threads = c_int::try_from(threads).unwrap_or(c_int::MAX);
        let mut blocks: c_int = 0;
        // SAFETY: the function is loaded, and `blocks` an integer.
        let code = unsafe {
            sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(
                &raw mut blocks,
                self.raw,
                threads,
                shared_bytes as usize,
            )
        };
        check(code, || format!("the occupancy of `{}`", self.figures.name))?;
        Ok(u32::try_from(blocks).unwrap_or(0))
    }

    pub(super) fn device(&self) -> &Device {
        &self.module.0.device
    }

    pub(super) fn raw(&self) -> CUfunction {
        self.raw
    }

    /// Allows this many bytes of dynamic shared memory: more than 48 KiB have to be asked for.
    pub(super) fn allow_shared(&self, bytes: u32) -> Result<(), CudaError> {
        const WITHOUT_ASKING: u32 = 48 << 10;
        self.device().enter()?;
        if self.figures.shared_bytes.saturating_add(bytes) <= WITHOUT_ASKING {
            return Ok(());
        }
        self.set(
            Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
            bytes,
        )
    }

    /// Allows clusters of more than eight blocks, which not every device has.
    pub(super) fn allow_large_clusters(&self) -> Result<(), CudaError> {
        self.set(
            Attribute::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED,
            1,
        )
    }

    fn set(&self, attribute: Attribute, value: u32) -> Result<(), CudaError> {
        self.device().enter()?;
        let value = c_int::try_from(value).unwrap_or(c_int::MAX);
        // SAFETY: the function is loaded.
        let code = unsafe { sys::cuFuncSetAttribute(self.raw, attribute, value) };
        check(code, || {
            format!(
                "setting {attribute:?} of `{}` to {value}",
                self.figures.name
            )
        })
    }

    fn ask(&self, attribute: Attribute) -> Result<u32, CudaError> {
        let mut value: c_int = 0;
        // SAFETY: the function is loaded, and `value` an integer.
        let code = unsafe { sys::cuFuncGetAttribute(&raw mut value, attribute, self.raw) };
        check(code, || {
            format!("asking {attribute:?} of `{}`", self.figures.name)
        })?;
        Ok(u32::try_from(value).unwrap_or(0))
    }
}
