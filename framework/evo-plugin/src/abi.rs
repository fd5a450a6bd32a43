//! The types that cross the boundary between a Rust plugin and the worker.
//!
//! Documents (descriptors, problems, configurations, metrics, errors) cross as JSON text, so that
//! they can gain fields without a change of layout and are the same in every way of bringing a
//! kernel; what is called in a measurement (`bind`, `launch`) and tensors cross as plain C data.
//! `abi_stable` checks the layout of everything here before the first call.
#![allow(non_local_definitions, unused_braces, missing_docs, clippy::all)]
// The macros of abi_stable expand to unsafe code without comments of their own.
#![allow(
    clippy::undocumented_unsafe_blocks,
    unused_qualifications,
    unreachable_pub
)]

use std::path::PathBuf;

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::package_version_strings;
use abi_stable::sabi_trait;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, RResult, RSlice, RStr, RString, RVec};
use evo_types::{Dtype, Metric};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A tensor in the layout of DLPack's `DLTensor`: data, device, rank, element type, shape,
/// strides (null for dense row-major) and byte offset.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct RawTensor {
    pub data: *mut u8,
    pub device_type: i32,
    pub device_id: i32,
    pub ndim: i32,
    pub dtype_code: u8,
    pub dtype_bits: u8,
    pub dtype_lanes: u16,
    pub shape: *const i64,
    pub strides: *const i64,
    pub byte_offset: u64,
}

/// DLPack's device type of the host.
pub const DEVICE_CPU: i32 = 1;
/// DLPack's device type of CUDA devices.
pub const DEVICE_CUDA: i32 = 2;

/// DLPack's code and number of bits of an element type.
pub fn dtype_code(dtype: Dtype) -> (u8, u8) {
    match dtype {
        Dtype::I8 => (0, 8),
        Dtype::I32 => (0, 32),
        Dtype::I64 => (0, 64),
        Dtype::U8 => (1, 8),
        Dtype::F16 => (2, 16),
        Dtype::F32 => (2, 32),
        Dtype::F64 => (2, 64),
        Dtype::Bf16 => (4, 16),
        Dtype::F8E4m3 => (10, 8),
    }
}

impl RawTensor {
    /// A dense tensor on the host.
    ///
    /// # Safety
    /// `data` and `shape` must outlive every use of the tensor; `shape` has `ndim` extents, all
    /// of at least 0, whose product is the number of elements behind `data`.
    pub unsafe fn host(data: *mut u8, dtype: Dtype, shape: &[i64]) -> Self {
        let (dtype_code, dtype_bits) = dtype_code(dtype);
        Self {
            data,
            device_type: DEVICE_CPU,
            device_id: 0,
            ndim: shape.len() as i32,
            dtype_code,
            dtype_bits,
            dtype_lanes: 1,
            shape: shape.as_ptr(),
            strides: std::ptr::null(),
            byte_offset: 0,
        }
    }

    pub(crate) fn pointer(&self) -> *mut u8 {
        self.data.wrapping_add(self.byte_offset as usize)
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        // SAFETY: the maker of the tensor promised `ndim` extents behind `shape`.
        let shape = unsafe { std::slice::from_raw_parts(self.shape, self.ndim as usize) };
        shape.iter().map(|extent| *extent as usize).collect()
    }

    pub(crate) fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    pub(crate) fn dtype(&self) -> Result<Dtype, Error> {
        let all = [
            Dtype::I8,
            Dtype::I32,
            Dtype::I64,
            Dtype::U8,
            Dtype::F16,
            Dtype::F32,
            Dtype::F64,
            Dtype::Bf16,
            Dtype::F8E4m3,
        ];
        let wanted = (self.dtype_code, self.dtype_bits);
        all.into_iter()
            .find(|dtype| dtype_code(*dtype) == wanted)
            .ok_or_else(|| {
                Error::Failed(format!(
                    "unknown element type: code {}, {} bits",
                    self.dtype_code, self.dtype_bits
                ))
            })
    }
}

/// The buffers of a launch.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct RawIo {
    pub inputs: RVec<RawTensor>,
    pub outputs: RVec<RawTensor>,
    pub workspace: *mut u8,
    pub workspace_bytes: usize,
}

/// A result whose error is the JSON document of [`Error`].
pub type RawResult<T> = RResult<T, RString>;

/// An artifact: the bytes, and the rest of the document as JSON.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct RawArtifact {
    pub bytes: RVec<u8>,
    pub document: RString,
}

#[sabi_trait]
pub trait RawInstance: Send {
    fn workspace_size(&self) -> RawResult<usize>;
    fn prepare(&mut self, inputs: RSlice<'_, RawTensor>) -> RawResult<()>;
    fn bind(&mut self, io: &RawIo) -> RawResult<()>;
    #[sabi(last_prefix_field)]
    fn launch(&mut self, io: &RawIo, stream: u64) -> RawResult<()>;
}

pub type BoxedInstance = RawInstance_TO<'static, RBox<()>>;

#[sabi_trait]
pub trait RawKernel: Send + Sync {
    fn accept(&self, request: RStr<'_>) -> RawResult<()>;
    fn build(&self, request: RStr<'_>) -> RawResult<RawArtifact>;
    #[sabi(last_prefix_field)]
    fn load(&self, artifact: &RawArtifact, request: RStr<'_>) -> RawResult<BoxedInstance>;
}

pub type BoxedKernel = RawKernel_TO<'static, RBox<()>>;

#[sabi_trait]
pub trait RawProblem: Send + Sync {
    fn resolve(&self, fields: RStr<'_>) -> RawResult<RString>;
    fn fill(
        &self,
        spec: RStr<'_>,
        seed: u64,
        distribution: RStr<'_>,
        inputs: RSlice<'_, RawTensor>,
    ) -> RawResult<()>;
    /// `all_rows` asks for every row; otherwise `rows` lists them.
    #[sabi(last_prefix_field)]
    fn reference(
        &self,
        spec: RStr<'_>,
        inputs: RSlice<'_, RawTensor>,
        all_rows: bool,
        rows: RSlice<'_, u64>,
        outputs: RSlice<'_, RawTensor>,
    ) -> RawResult<()>;
}

pub type BoxedProblem = RawProblem_TO<'static, RBox<()>>;

#[sabi_trait]
pub trait RawObjective: Send {
    /// The space as RON; empty for the one of the description.
    fn space(&self) -> RawResult<RString>;
    /// Returns `{"metrics": [...], "cost_s": number or null}`. Its errors may have `cost_s` too.
    #[sabi(last_prefix_field)]
    fn evaluate(&mut self, config: RStr<'_>) -> RawResult<RString>;
}

pub type BoxedObjective = RawObjective_TO<'static, RBox<()>>;

/// How a profiler can look at a candidate from outside: part of the document of a
/// [`RawRunnable`]'s request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outside {
    /// Program and arguments; the number of launches is added.
    #[serde(default)]
    pub command: Vec<String>,
    /// A folder for files that the run keeps.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// What was measured of the candidate before, without a profiler.
    #[serde(default)]
    pub measured: Vec<Metric>,
}

/// The host's side of a profile: the candidate that may be launched.
#[sabi_trait]
pub trait RawRunnable {
    /// The request as JSON. Since interface 1.1 it also has `outside`: `{"command": [...], "folder":
    /// "...", "measured": [...]}`, see [`Outside`].
    fn request(&self) -> RString;
    fn artifact(&self) -> RawArtifact;
    #[sabi(last_prefix_field)]
    fn launch(&mut self) -> RawResult<()>;
}

pub type BoxedRunnable<'a> = RawRunnable_TO<'a, RBox<()>>;

#[sabi_trait]
pub trait RawProfiler: Send + Sync {
    fn probe(&self, device: RStr<'_>) -> RawResult<()>;
    #[sabi(last_prefix_field)]
    fn profile(&self, runnable: BoxedRunnable<'_>) -> RawResult<RString>;
}

pub type BoxedProfiler = RawProfiler_TO<'static, RBox<()>>;

/// An opened plugin: hands out its components by name.
#[sabi_trait]
pub trait RawPlugin: Send + Sync {
    fn info(&self) -> RawResult<RString>;
    fn kernel(&self, name: RStr<'_>) -> RawResult<BoxedKernel>;
    fn problem(&self, name: RStr<'_>) -> RawResult<BoxedProblem>;
    fn objective(&self, name: RStr<'_>, settings: RStr<'_>) -> RawResult<BoxedObjective>;
    #[sabi(last_prefix_field)]
    fn profiler(&self, name: RStr<'_>) -> RawResult<BoxedProfiler>;
}

pub type BoxedPlugin = RawPlugin_TO<'static, RBox<()>>;

/// What a plugin library exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRootRef)))]
#[sabi(missing_field(panic))]
pub struct PluginRoot {
    /// Makes the plugin. Called once for each time the library is loaded.
    #[sabi(last_prefix_field)]
    pub open: extern "C" fn() -> RawResult<BoxedPlugin>,
}

impl RootModule for PluginRootRef {
    abi_stable::declare_root_module_statics! {PluginRootRef}
    const BASE_NAME: &'static str = "evo_plugin";
    const NAME: &'static str = "evo_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
