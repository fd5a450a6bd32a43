//! What the machine has that some plugins need: compilers, an interpreter, GPUs.

use evo_cuda::{Device, Nvrtc};
use evo_wire::Tool;

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
        tool("NVRTC", nvrtc()),
    ]
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
