//! A profiler of a C plugin.

use std::ffi::c_void;

use evo_plugin::{DeviceFacts, Error, Metric, Profiler, ProfilerInfo, Runnable};

use crate::abi::{self, code};
use crate::component::Component;
use crate::function::Function;
use crate::marshal::{OwnedDevice, OwnedRequest};
use crate::sink::call;

/// A profiler whose table was checked.
pub(crate) struct CProfiler {
    pub(crate) component: Component<abi::Profiler>,
    pub(crate) info: ProfilerInfo,
}

impl Profiler for CProfiler {
    fn info(&self) -> ProfilerInfo {
        self.info.clone()
    }

    fn probe(&self, device: &DeviceFacts) -> Result<(), Error> {
        let Some(probe) = self.component.table.probe else {
            return Ok(());
        };
        let device = OwnedDevice::new(device)?;
        call(Function::Probe, &self.component.label, |host| {
            // SAFETY: the plugin's own table and function, and facts that outlive the call.
            unsafe { probe(self.component.address, device.as_ptr(), host) }
        })?;
        Ok(())
    }

    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        let profile = self.component.table.profile.ok_or("`profile` is NULL")?;
        let request = OwnedRequest::new(runnable.request())?;
        let artifact = runnable.artifact().bytes.clone();
        let mut candidate = Candidate {
            runnable,
            error: None,
        };
        let raw = abi::Runnable {
            struct_size: size_of::<abi::Runnable>(),
            context: (&raw mut candidate).cast::<c_void>(),
            request: request.as_ptr(),
            artifact: artifact.as_ptr().cast::<c_void>(),
            artifact_size: artifact.len(),
            launch,
        };
        let result = call(Function::Profile, &self.component.label, |host| {
            // SAFETY: the plugin's own table and function, and a candidate that outlives the call.
            unsafe { profile(self.component.address, &raw const raw, host) }
        });
        match candidate.error {
            // The candidate's own failure says more than what the profiler makes of it.
            Some(error) => Err(error),
            None => Ok(result?.metrics),
        }
    }
}

/// The candidate behind the `context` of an `evo_runnable`.
struct Candidate<'a> {
    runnable: &'a mut dyn Runnable,
    error: Option<Error>,
}

unsafe extern "C" fn launch(runnable: *const abi::Runnable) -> i32 {
    // SAFETY: the header asks for the structure that `profile` was given, on its thread; the context
    // is the candidate of that call, and nobody else uses it meanwhile.
    let candidate = unsafe {
        runnable
            .as_ref()
            .and_then(|runnable| runnable.context.cast::<Candidate<'_>>().as_mut())
    };
    let Some(candidate) = candidate else {
        return code::FAILED;
    };
    match candidate.runnable.launch() {
        Ok(()) => code::OK,
        Err(error) => {
            let code = code_of(&error);
            candidate.error.get_or_insert(error);
            code
        }
    }
}

fn code_of(error: &Error) -> i32 {
    match error {
        Error::Rejected(_) => code::REJECTED,
        Error::BuildFailed { .. } => code::BUILD_FAILED,
        Error::OutOfMemory(_) => code::OUT_OF_MEMORY,
        Error::WrongResult(_) => code::WRONG_RESULT,
        Error::TimedOut(_) => code::TIMED_OUT,
        Error::Implausible(_) => code::IMPLAUSIBLE,
        _ => code::FAILED,
    }
}
