//! What the author of an `evo` plugin depends on.
//!
//! A plugin is a shared library (`crate-type = ["cdylib"]`) that exports one [`Plugin`]: any number
//! of kernels, problems, objectives and profilers. The worker process of `evo` loads it, checks
//! the interface version and the layout of every type that crosses the boundary, and calls it
//! through the traits below. The smallest complete plugin:
//!
//! ```
//! use evo_plugin::{Error, Evaluation, Metric, Direction, Objective, ObjectiveInfo, OpenObjective, Params, Plugin};
//!
//! struct Parabola;
//!
//! impl Objective for Parabola {
//!     fn info(&self) -> ObjectiveInfo {
//!         ObjectiveInfo {
//!             name: "parabola".into(),
//!             doc: "The square of the distance to 7".into(),
//!             settings: vec![],
//!             space: Some(r#"(name: "parabola", params: [(name: "X", range: (from: 0, to: 20))])"#.into()),
//!             metric: "cost".into(),
//!             direction: Direction::Lower,
//!         }
//!     }
//!     fn open(&self, _settings: &Params) -> Result<Box<dyn OpenObjective>, Error> {
//!         Ok(Box::new(Parabola))
//!     }
//! }
//!
//! impl OpenObjective for Parabola {
//!     fn evaluate(&mut self, config: &Params) -> Result<Evaluation, Error> {
//!         let x = evo_plugin::int(config, "X")? as f64;
//!         Ok(Evaluation::of(Metric::new("cost", "", Direction::Lower, (x - 7.0).powi(2))))
//!     }
//! }
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("parabola", env!("CARGO_PKG_VERSION"), "A parabola").objective(Parabola)
//! }
//! evo_plugin::export!(plugin);
//! # fn main() {}
//! ```
//!
//! The shortest kernel is a [`CpuFunction`]; one that builds something implements [`Kernel`].
//!
//! # Rules
//! - The framework times, verifies and allocates; a kernel prepares and launches. It must not
//!   keep results between launches, write to its inputs or outside its buffers, or go on working
//!   after `launch` has returned (on a CPU) or outside the given stream (on a GPU).
//! - `build` and `accept` may be called from several threads at once; an [`Instance`] is used by
//!   one thread at a time.
//! - A panic is caught at the boundary and reported as the outcome `Crashed`; an [`Error`] is the
//!   better way to say what is wrong.

#[doc(hidden)]
pub mod abi;
mod e4m3;
mod error;
mod export;
mod function;
mod guard;
mod params;
mod plugin;
mod tensor;
mod traits;

pub use e4m3::E4m3;
pub use error::Error;
pub use evo_types::{
    Artifact, BuildRequest, CachePolicy, DeviceFacts, Direction, Dtype, FieldInfo, FieldKind, Gate,
    InterfaceVersion, KernelInfo, Metric, ObjectiveInfo, ParamInfo, Params, ProblemInfo,
    ProblemSpec, ProfilerInfo, Role, TensorSpec, Value,
};
pub use function::CpuFunction;
pub use params::{choice, flag, float, int, size};
pub use plugin::Plugin;
pub use tensor::{Element, Io, Tensor, TensorMut};
pub use traits::{
    Evaluation, Instance, Kernel, Objective, OpenObjective, Problem, Profiler, Rows, Runnable,
    Stream,
};

#[doc(hidden)]
pub mod __private {
    pub use crate::export::{host, open, root, wrap};
    pub use abi_stable;
}
