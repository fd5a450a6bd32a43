//! What NVIDIA's management library tells about a device while it works: clocks, why they are held
//! down, and who else is there. The library comes with the driver; without it nothing is told.

use std::ffi::{CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;

use libloading::Library;

/// Files of the library, the usual one first.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

type Handle = *mut c_void;
type Code = c_int;

/// What the library can be asked for: the functions that every driver since 2019 has.
struct Functions {
    clock: unsafe extern "C" fn(Handle, c_uint, *mut c_uint) -> Code,
    reasons: unsafe extern "C" fn(Handle, *mut c_ulonglong) -> Code,
    processes: Option<unsafe extern "C" fn(Handle, *mut c_uint, *mut Process) -> Code>,
    energy: Option<unsafe extern "C" fn(Handle, *mut c_ulonglong) -> Code>,
    by_uuid: unsafe extern "C" fn(*const c_char, *mut Handle) -> Code,
}

/// A process on a device, as `nvmlProcessInfo_t` has it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Process {
    pid: c_uint,
    bytes: c_ulonglong,
    instances: [c_uint; 2],
}

/// Most processes on a device that are listed.
const MOST_PROCESSES: usize = 64;

/// A device as the management library sees it.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    handle: Handle,
}

// SAFETY: the library may be used from every thread; a handle is valid until the process ends.
unsafe impl Send for Watch {}
// SAFETY: as above.
unsafe impl Sync for Watch {}

/// Why a device's clocks are lower than they could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttle(u64);

impl Throttle {
    /// Causes that slow work down, by NVML's bits. Low clocks of an idle device, or ones that
    /// somebody has set, are as they should be.
    const CAUSES: [(u64, &str); 5] = [
        (0x04, "power limit"),
        (0x08, "hardware slowdown"),
        (0x20, "temperature"),
        (0x40, "temperature (hardware)"),
        (0x80, "power brake"),
    ];

    /// Whether anything slows the device down.
    pub fn is_any(self) -> bool {
        Self::CAUSES.iter().any(|(bit, _)| self.0 & bit != 0)
    }

    /// The causes, in words.
    pub fn causes(self) -> Vec<&'static str> {
        let of = Self::CAUSES.iter().filter(|(bit, _)| self.0 & bit != 0);
        of.map(|(_, cause)| *cause).collect()
    }
}

impl Watch {
    /// A device by its UUID, as in its facts.
    ///
    /// # Errors
    /// Where the library is not there, or does not know the device: in words.
    pub fn of(uuid: &str) -> Result<Self, String> {
        let functions = functions()?;
        let text = CString::new(uuid).map_err(|_| "the UUID has a zero byte".to_owned())?;
        let mut handle: Handle = std::ptr::null_mut();
        // SAFETY: the text ends in a zero, and `handle` is a place for the handle.
        let code = unsafe { (functions.by_uuid)(text.as_ptr(), &raw mut handle) };
        check(code, "finding the device")?;
        Ok(Self { handle })
    }

    /// The clock of the multiprocessors now, in MHz.
    pub fn sm_clock_mhz(&self) -> Option<u32> {
        const SM: c_uint = 1;
        let functions = functions().ok()?;
        let mut clock: c_uint = 0;
        // SAFETY: the handle is a device's, and `clock` an integer.
        let code = unsafe { (functions.clock)(self.handle, SM, &raw mut clock) };
        check(code, "the clock").ok().map(|()| clock)
    }

    /// Why the clocks are held down now.
    pub fn throttle(&self) -> Option<Throttle> {
        let functions = functions().ok()?;
        let mut reasons: c_ulonglong = 0;
        // SAFETY: the handle is a device's, and `reasons` an integer.
        let code = unsafe { (functions.reasons)(self.handle, &raw mut reasons) };
        let told = check(code, "the reasons");
        told.ok().map(|()| Throttle(reasons))
    }

    /// The joules that the device has taken since its driver was loaded.
    ///
    /// # Errors
    /// Where the library or the device does not tell them: in words.
    pub fn energy_j(&self) -> Result<f64, String> {
        let ask = functions()?.energy.ok_or("NVML is too old to tell it")?;
        let mut millijoules: c_ulonglong = 0;
        // SAFETY: the handle is a device's, and `millijoules` an integer.
        let code = unsafe { ask(self.handle, &raw mut millijoules) };
        check(code, "the energy").map(|()| millijoules as f64 / 1e3)
    }

    /// How many processes compute on the device now. Inside a container their numbers are others
    /// than there, so only the count says something.
    pub fn processes(&self) -> Option<usize> {
        let ask = functions().ok()?.processes?;
        let mut list = [Process::default(); MOST_PROCESSES];
        let mut count = MOST_PROCESSES as c_uint;
        // SAFETY: there is room for as many entries as `count` says.
        let code = unsafe { ask(self.handle, &raw mut count, list.as_mut_ptr()) };
        check(code, "the processes").ok()?;
        let listed = list.iter().take(count as usize);
        let mut pids: Vec<c_uint> = listed.map(|process| process.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        Some(pids.len())
    }
}

fn check(code: Code, doing: &str) -> Result<(), String> {
    match code {
        0 => Ok(()),
        code => Err(format!("{doing}: NVML answers with error {code}")),
    }
}

/// The library, opened and started once.
fn functions() -> Result<&'static Functions, String> {
    static OPEN: OnceLock<Result<Functions, String>> = OnceLock::new();
    OPEN.get_or_init(open).as_ref().map_err(Clone::clone)
}

fn open() -> Result<Functions, String> {
    let library = LIBRARIES.iter().find_map(|name| {
        // SAFETY: the driver's own library, whose initialisers concern nothing of ours.
        unsafe { Library::new(*name) }.ok()
    });
    let library = library.ok_or_else(|| format!("{} is not there", LIBRARIES[0]))?;
    // It stays open until the process ends.
    let library: &'static Library = Box::leak(Box::new(library));
    let missing = |error: libloading::Error| format!("NVML is of another kind: {error}");
    // SAFETY: the types are those of nvml.h.
    unsafe {
        let start = library
            .get::<unsafe extern "C" fn() -> Code>(b"nvmlInit_v2\0")
            .map_err(missing)?;
        check(start(), "starting NVML")?;
        Ok(Functions {
            clock: *library.get(b"nvmlDeviceGetClockInfo\0").map_err(missing)?,
            reasons: *library
                .get(b"nvmlDeviceGetCurrentClocksThrottleReasons\0")
                .map_err(missing)?,
            energy: library
                .get(b"nvmlDeviceGetTotalEnergyConsumption\0")
                .ok()
                .map(|found| *found),
            processes: library
                .get(b"nvmlDeviceGetComputeRunningProcesses_v3\0")
                .ok()
                .map(|found| *found),
            by_uuid: *library
                .get(b"nvmlDeviceGetHandleByUUID\0")
                .map_err(missing)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_and_idle_clocks_are_none() {
        assert!(!Throttle(0x01 | 0x02).is_any());
        assert_eq!(Throttle(0x24).causes(), ["power limit", "temperature"]);
        assert!(Throttle(0x80).is_any());
    }

    #[test]
    fn without_the_library_it_says_so() {
        match Watch::of("GPU-00000000-0000-0000-0000-000000000000") {
            Ok(_) => panic!("no device has this UUID"),
            Err(text) => assert!(!text.is_empty()),
        }
    }
}
