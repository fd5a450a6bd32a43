//! Devices: finding them, their facts, and their contexts.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cudarc::driver::sys::{self, CUcontext, CUdevice, CUdevice_attribute as Attribute, CUresult};
use evo_types::{DeviceFacts, Params, Value};

use super::error::{CudaError, ErrorKind, check};
use crate::arch::{MAX_REGISTERS, arch_of};

/// The oldest driver whose functions are used here: CUDA 12.8 brought `cuEventElapsedTime_v2`.
const OLDEST_DRIVER: c_int = 12_080;
const INSTEAD: &str = "run on a machine with an NVIDIA GPU (in a container, one that was started \
                       with access to it), or tune a kernel for the CPU with the device `cpu`";

/// What a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceLimits {
    /// Compute capability times ten: 90 for 9.0.
    pub compute_capability: u32,
    /// Multiprocessors.
    pub sms: u32,
    /// Most bytes of shared memory that one block may ask for.
    pub shared_bytes_per_block: u32,
    /// Bytes of shared memory of a multiprocessor.
    pub shared_bytes_per_sm: u32,
    /// 32-bit registers of a multiprocessor.
    pub registers_per_sm: u32,
    /// Most threads of a block.
    pub max_threads_per_block: u32,
    /// Threads of a warp.
    pub warp_size: u32,
    /// Bytes of the second-level cache.
    pub l2_bytes: u64,
    /// Bytes of device memory.
    pub memory_bytes: u64,
    /// The highest clock of the multiprocessors in kHz.
    pub clock_khz: u32,
    /// The clock of the memory in kHz.
    pub memory_clock_khz: u32,
    /// The width of the memory's bus in bits.
    pub memory_bus_bits: u32,
}

struct Inner {
    index: u32,
    context: CUcontext,
    name: String,
    uuid: String,
    limits: DeviceLimits,
}

// SAFETY: a context may be used from every thread; the driver locks what it must.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// A device with its context. Clones are the same device.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

impl std::fmt::Debug for Device {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner {
            index, name, uuid, ..
        } = &*self.0;
        write!(formatter, "Device({index}: {name}, {uuid})")
    }
}

/// The version of CUDA that the driver serves, such as 13000 for 13.0.
///
/// # Errors
/// Where there is no driver, with what to do instead.
pub fn driver_version() -> Result<i32, CudaError> {
    static READY: OnceLock<Result<c_int, CudaError>> = OnceLock::new();
    READY.get_or_init(start_driver).clone()
}

fn start_driver() -> Result<c_int, CudaError> {
    let missing = |text: String| CudaError::new(ErrorKind::Missing, text);
    // SAFETY: opens the driver's library, whose initialisers concern nothing of ours. `cudarc`
    // panics where it is absent, so this comes before any other call.
    if !unsafe { sys::is_culib_present() } {
        return Err(missing(format!(
            "no CUDA driver found (libcuda.so.1); {INSTEAD}"
        )));
    }
    let mut version = 0;
    // SAFETY: `version` is an integer; this function exists in every driver.
    let code = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    check(code, || "the driver does not tell its version".to_owned())?;
    if version < OLDEST_DRIVER {
        return Err(missing(format!(
            "the CUDA driver is for CUDA {}.{}, and 12.8 or later is needed: update it",
            version / 1000,
            version % 1000 / 10
        )));
    }
    // SAFETY: the driver asks for this call before any other.
    let code = unsafe { sys::cuInit(0) };
    check(code, || "the CUDA driver does not start".to_owned())
        .map_err(|error| missing(format!("{error}; {INSTEAD}")))?;
    Ok(version)
}

impl Device {
    /// The number of devices.
    ///
    /// # Errors
    /// Where there is no driver, with what to do instead.
    pub fn count() -> Result<u32, CudaError> {
        driver_version()?;
        let mut count: c_int = 0;
        // SAFETY: `count` is an integer.
        let code = unsafe { sys::cuDeviceGetCount(&raw mut count) };
        check(code, || "the devices cannot be counted".to_owned())?;
        Ok(u32::try_from(count).unwrap_or(0))
    }

    /// Opens a device by its number, once for the process.
    ///
    /// # Errors
    /// Where there is no such device.
    pub fn open(index: u32) -> Result<Self, CudaError> {
        static OPEN: Mutex<BTreeMap<u32, Device>> = Mutex::new(BTreeMap::new());
        let count = Self::count()?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = open.get(&index) {
            return Ok(device.clone());
        }
        if index >= count {
            return Err(CudaError::new(
                ErrorKind::Missing,
                match count {
                    0 => format!("the CUDA driver sees no device; {INSTEAD}"),
                    1 => format!("there is no CUDA device {index}: the only one is 0"),
                    _ => format!(
                        "there is no CUDA device {index}: they are 0 to {}",
                        count - 1
                    ),
                },
            ));
        }
        let device = Self(Arc::new(Inner::open(index)?));
        open.insert(index, device.clone());
        Ok(device)
    }

    /// Opens the device with this UUID, as in [`DeviceFacts`].
    ///
    /// # Errors
    /// Where there is none.
    pub fn by_uuid(uuid: &str) -> Result<Self, CudaError> {
        for index in 0..Self::count()? {
            let found = Inner::uuid(Inner::handle(index)?)?;
            if found == uuid {
                return Self::open(index);
            }
        }
        Err(CudaError::new(
            ErrorKind::Missing,
            format!("there is no CUDA device {uuid} in this machine"),
        ))
    }

    /// The number that it was opened by.
    pub fn index(&self) -> u32 {
        self.0.index
    }

    /// The marketing name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it has.
    pub fn limits(&self) -> &DeviceLimits {
        &self.0.limits
    }

    /// What to compile for, such as `sm_90a`.
    pub fn arch(&self) -> String {
        arch_of(self.0.limits.compute_capability)
    }

    /// The facts that constraints may name.
    pub fn facts(&self) -> DeviceFacts {
        DeviceFacts {
            kind: "cuda".to_owned(),
            name: self.0.name.clone(),
            uuid: self.0.uuid.clone(),
            facts: facts(&self.0.limits),
        }
    }

    /// Bytes of device memory that are free, and all.
    ///
    /// # Errors
    /// Where the device does not answer.
    pub fn memory(&self) -> Result<(u64, u64), CudaError> {
        self.enter()?;
        let (mut free, mut total) = (0usize, 0usize);
        // SAFETY: both are integers of the right size.
        let code = unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) };
        check(code, || "the free memory cannot be asked for".to_owned())?;
        Ok((free as u64, total as u64))
    }

    /// Waits until all work of this process on the device is done.
    ///
    /// # Errors
    /// What a kernel ended with.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: a context is current.
        let code = unsafe { sys::cuCtxSynchronize() };
        check(code, || "waiting for the device".to_owned())
    }

    /// Makes this device's context that of the calling thread.
    pub(super) fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: the context lives as long as the process.
        let code = unsafe { sys::cuCtxSetCurrent(self.0.context) };
        check(code, || format!("the context of {self:?} cannot be used"))
    }
}

/// Facts by the names that the shipped profiles use.
fn facts(limits: &DeviceLimits) -> Params {
    let bytes = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let facts: [(&str, i64); 10] = [
        ("COMPUTE_CAPABILITY", limits.compute_capability.into()),
        ("SMS", limits.sms.into()),
        ("SMEM_BYTES", limits.shared_bytes_per_block.into()),
        ("SMEM_PER_SM", limits.shared_bytes_per_sm.into()),
        ("REGISTERS_PER_SM", limits.registers_per_sm.into()),
        ("MAX_REGISTERS_PER_THREAD", MAX_REGISTERS.into()),
        ("MAX_THREADS_PER_BLOCK", limits.max_threads_per_block.into()),
        ("WARP_SIZE", limits.warp_size.into()),
        ("L2_BYTES", bytes(limits.l2_bytes)),
        ("MEM_BYTES", bytes(limits.memory_bytes)),
    ];
    let named = facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::Int(value)));
    named.collect()
}

impl Inner {
    fn handle(index: u32) -> Result<CUdevice, CudaError> {
        let ordinal = c_int::try_from(index).unwrap_or(c_int::MAX);
        let mut handle: CUdevice = 0;
        // SAFETY: `handle` is a place for the handle.
        let code = unsafe { sys::cuDeviceGet(&raw mut handle, ordinal) };
        check(code, || format!("CUDA device {index} cannot be opened"))?;
        Ok(handle)
    }

    fn open(index: u32) -> Result<Self, CudaError> {
        let handle = Self::handle(index)?;
        let limits = limits(handle)?;
        let (name, uuid) = (Self::name(handle)?, Self::uuid(handle)?);
        let mut context: CUcontext = std::ptr::null_mut();
        // The primary context is the one that CUDA's runtime uses too, so that plugins which use
        // the runtime see the same memory.
        // SAFETY: `context` is a place for the handle.
        let code = unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut context, handle) };
        check(code, || {
            format!("no context can be made on CUDA device {index}, {name}")
        })?;
        Ok(Self {
            index,
            context,
            name,
            uuid,
            limits,
        })
    }

    fn name(handle: CUdevice) -> Result<String, CudaError> {
        let mut text: [c_char; 256] = [0; 256];
        // SAFETY: the driver writes at most as many bytes as it is told, ending in a zero.
        let code = unsafe { sys::cuDeviceGetName(text.as_mut_ptr(), 256, handle) };
        check(code, || "the name of a device".to_owned())?;
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        Ok(text.to_string_lossy().into_owned())
    }

    fn uuid(handle: CUdevice) -> Result<String, CudaError> {
        let mut uuid = sys::CUuuid { bytes: [0; 16] };
        // SAFETY: `uuid` is a place for 16 bytes.
        let code = unsafe { sys::cuDeviceGetUuid_v2(&raw mut uuid, handle) };
        check(code, || "the UUID of a device".to_owned())?;
        Ok(uuid_text(uuid.bytes.map(|byte| byte.to_ne_bytes()[0])))
    }
}

/// As `nvidia-smi -L` writes it.
fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = "GPU-".to_owned();
    for (place, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&place) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn limits(handle: CUdevice) -> Result<DeviceLimits, CudaError> {
    use Attribute as A;
    let ask = |attribute: Attribute| -> Result<u32, CudaError> {
        let mut value: c_int = 0;
        // SAFETY: `value` is an integer.
        let code: CUresult =
            unsafe { sys::cuDeviceGetAttribute(&raw mut value, attribute, handle) };
        check(code, || format!("the device does not tell {attribute:?}"))?;
        Ok(u32::try_from(value).unwrap_or(0))
    };
    let mut memory_bytes = 0usize;
    // SAFETY: `memory_bytes` is an integer of the right size.
    let code = unsafe { sys::cuDeviceTotalMem_v2(&raw mut memory_bytes, handle) };
    check(code, || "the device does not tell its memory".to_owned())?;
    let major = ask(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = ask(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(DeviceLimits {
        compute_capability: major * 10 + minor,
        sms: ask(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes_per_block: ask(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        shared_bytes_per_sm: ask(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)?,
        registers_per_sm: ask(A::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR)?,
        max_threads_per_block: ask(A::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
        warp_size: ask(A::CU_DEVICE_ATTRIBUTE_WARP_SIZE)?,
        l2_bytes: ask(A::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.into(),
        memory_bytes: memory_bytes as u64,
        // Newer drivers may stop telling clocks; then there is no floor under times.
        clock_khz: ask(A::CU_DEVICE_ATTRIBUTE_CLOCK_RATE).unwrap_or(0),
        memory_clock_khz: ask(A::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE).unwrap_or(0),
        memory_bus_bits: ask(A::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_reads_as_the_tools_write_it() {
        let bytes = std::array::from_fn(|place| place as u8 * 17);
        assert_eq!(uuid_text(bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn without_a_driver_every_way_in_says_so() {
        if driver_version().is_ok() {
            println!("skipped: this machine has a CUDA driver");
            return;
        }
        let text = Device::open(0).unwrap_err();
        assert_eq!(text.kind(), ErrorKind::Missing);
        assert!(text.to_string().contains("with the device `cpu`"), "{text}");
        assert_eq!(Device::count().unwrap_err(), text);
        assert_eq!(Device::by_uuid("GPU-").unwrap_err(), text);
    }
}
