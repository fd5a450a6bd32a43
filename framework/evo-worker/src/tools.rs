//! What the machine has that some plugins need: compilers, an interpreter, GPUs.

use std::path::{Path, PathBuf};

use evo_cuda::{Device, Nvrtc, Watch};
use evo_wire::Tool;

use crate::energy;

/// Everything that is looked for, found or not.
pub(crate) fn tools() -> Vec<Tool> {
    let tool = |name: &str, found: Result<String, String>| Tool {
        name: name.to_owned(),
        found,
    };
    vec![
        tool("C compiler", evo_source::c_compiler()),
        tool("C++ compiler", evo_source::cpp_compiler()),
        tool("Python", evo_process::python()),
        tool("GPU", gpus()),
        tool("NVML", nvml()),
        tool("NVRTC", nvrtc()),
        tool("CPU energy", energy::of_cpu()),
        tool("disassemblers", disassemblers()),
    ]
}

/// What `profiler-static` lists instructions with.
fn disassemblers() -> Result<String, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let find = |variable: &str, name: &str, more: &str| -> Option<String> {
        let given = std::env::var_os(variable).filter(|given| !given.is_empty());
        let there = places.iter().map(|place| place.join(name));
        let mut there = there.chain([Path::new(more).join(name)]);
        let found = match given {
            Some(given) => Some(PathBuf::from(given)).filter(|it| it.is_file()),
            None => there.find(|it| it.is_file()),
        };
        Some(format!("{name}: {}", found?.display()))
    };
    let found = [
        find("EVO_NVDISASM", "nvdisasm", "/usr/local/cuda/bin"),
        find("EVO_OBJDUMP", "objdump", "/usr/bin"),
    ];
    let found: Vec<String> = found.into_iter().flatten().collect();
    if found.is_empty() {
        return Err(
            "neither nvdisasm (GPU) nor objdump (CPU): the profiler `static` tells no mix of \
                    instructions"
                .to_owned(),
        );
    }
    Ok(found.join(", "))
}

fn gpus() -> Result<String, String> {
    let count = Device::count().map_err(|error| error.to_string())?;
    let names = (0..count).map(|index| match Device::open(index) {
        Ok(device) => format!("cuda:{index} {} ({})", device.name(), device.arch()),
        Err(error) => format!("cuda:{index}: {error}"),
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        return Err("a CUDA driver, but no device: CUDA kernels cannot run here".to_owned());
    }
    Ok(names.join(", "))
}

/// What is known of the first GPU just now.
fn nvml() -> Result<String, String> {
    let none = |error: String| {
        format!("{error}: low clocks and other processes on a GPU go unnoticed during measurements")
    };
    let device = Device::open(0).map_err(|_| "of no use without a GPU".to_owned())?;
    let watch = Watch::of(&device.facts().uuid).map_err(none)?;
    let clock = watch.sm_clock_mhz();
    let clock = clock.map_or_else(|| "clock unknown".to_owned(), |mhz| format!("{mhz} MHz"));
    let causes = watch.throttle().unwrap_or_default().causes();
    let held = match causes.as_slice() {
        [] => "not throttled".to_owned(),
        causes => format!("throttled: {}", causes.join(", ")),
    };
    // This process has opened the device itself.
    let others = watch.processes().map(|all| all.saturating_sub(1));
    let others = others.map_or_else(
        || "other processes unknown".to_owned(),
        |others| format!("{others} other processes"),
    );
    Ok(format!("cuda:0 at {clock}, {held}, {others}"))
}

fn nvrtc() -> Result<String, String> {
    match Nvrtc::get() {
        Ok(nvrtc) => Ok(format!("{} at {}", nvrtc.version(), nvrtc.path().display())),
        // The folders that were looked at follow on the next lines.
        Err(error) => Err(error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()),
    }
}
