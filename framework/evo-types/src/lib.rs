//! The documents that cross a boundary: between a plugin and the worker, between the worker and
//! the `evo` program, and between a run and its journal.
//!
//! Every type here is plain data with a JSON form. A document may gain optional fields; it never
//! loses or changes one within an interface version, so that an older peer can be read.

#![forbid(unsafe_code)]

mod device;
mod hash;
mod metric;
mod outcome;
mod plugin;
mod problem;
mod value;

pub use device::DeviceFacts;
pub use hash::ContentHash;
pub use metric::{Direction, Metric};
pub use outcome::{
    ErrorFigures, Measurement, Outcome, OutcomeKind, Phase, RejectedBy, WrongKind, WrongResult,
};
pub use plugin::{
    Artifact, BuildRequest, InterfaceVersion, KernelInfo, ObjectiveInfo, ParamInfo, PluginInfo,
    PluginKind, ProfilerInfo,
};
pub use problem::{
    CachePolicy, Dtype, FieldInfo, FieldKind, Gate, ProblemInfo, ProblemSpec, Role, TensorSpec,
};
pub use value::{Params, Value, format_params};
