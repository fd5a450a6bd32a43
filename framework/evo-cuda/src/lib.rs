//! The CUDA side shared by host and plugins: NVRTC builds, what a cubin says of itself, and the
//! driver: devices, buffers, modules, launches, events.
//!
//! Nothing here needs CUDA to compile or to start: NVRTC and the driver are opened when they are
//! first asked for, and each says clearly what is missing and what to do.

mod arch;
mod cubin;
mod driver;
mod nvml;
mod nvrtc;
mod occupancy;

pub use arch::{Limits, arch_of};
pub use cubin::{CubinError, KernelFigures, Parameter, has_variables, kernels};
pub use driver::{
    Argument, CudaError, Device, DeviceBuffer, DeviceLimits, ErrorKind, Event, Flush, Function,
    Graph, Launch, LaunchConfig, Module, Peaks, PinnedBuffer, Stream, Swizzle, TensorElement,
    TensorMap, driver_version,
};
pub use nvml::{Throttle, Watch};
pub use nvrtc::{CompileRequest, Compiled, Header, Nvrtc, NvrtcError, compile};
pub use occupancy::{Limiter, Occupancy, occupancy};
