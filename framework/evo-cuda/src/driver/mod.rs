//! The CUDA driver: devices, memory, modules, streams and events.
//!
//! A thin layer of ownership over `cudarc`'s bindings. Its own safe layer is not used: it allocates
//! from pools that would move buffers, waits between streams on its own account, and has no
//! clusters. All functions may be called from any thread; what concerns one stream is ordered by
//! that stream. A device's context is made once for the process and never given back: a worker
//! that lost one ends.

mod buffer;
mod device;
mod error;
mod graph;
mod launch;
mod module;
mod peaks;
mod persisting;
mod pinned;
mod stream;
mod tensor_map;

pub use buffer::{DeviceBuffer, Flush};
pub use device::{Device, DeviceLimits, driver_version};
pub use error::{CudaError, ErrorKind};
pub use graph::Graph;
pub use launch::{Argument, Launch, LaunchConfig};
pub use module::{Function, Module};
pub use peaks::Peaks;
pub use pinned::PinnedBuffer;
pub use stream::{Event, Stream};
pub use tensor_map::{Swizzle, TensorElement, TensorMap};
