//! What plugins say of themselves, what they are asked to build, and what they return.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DeviceFacts, Direction, FieldInfo, Metric, Params, ProblemInfo, ProblemSpec, Value};

/// The version of the plugin interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceVersion {
    /// Changes when an older plugin can no longer be called.
    pub major: u32,
    /// Grows when something is added that older plugins do without.
    pub minor: u32,
}

impl InterfaceVersion {
    /// The version that this build of the framework speaks.
    pub const CURRENT: Self = Self { major: 1, minor: 1 };
}

impl fmt::Display for InterfaceVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// The way in which a plugin is brought. All ways are the same to the engine, the verifier and the
/// report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// A library built with the `evo-plugin` crate.
    Rust,
    /// A library built with `evo_plugin.h`.
    C,
    /// A source-only kernel: `NAME.kernel.ron`.
    Source,
    /// Another process: `NAME.process.ron`.
    Process,
    /// Part of `evo` itself.
    BuiltIn,
}

impl fmt::Display for PluginKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Source => "source",
            Self::Process => "process",
            Self::BuiltIn => "built in",
        })
    }
}

/// A plugin library: what is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginInfo {
    /// The plugin's name, `[A-Za-z0-9._-]{1,64}`.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// One sentence for people.
    pub doc: String,
    /// The interface version that it was built for.
    pub interface: InterfaceVersion,
    /// Problems that it defines.
    #[serde(default)]
    pub problems: Vec<ProblemInfo>,
    /// Kernels that it brings.
    #[serde(default)]
    pub kernels: Vec<KernelInfo>,
    /// Objectives that it brings.
    #[serde(default)]
    pub objectives: Vec<ObjectiveInfo>,
    /// Profilers that it brings.
    #[serde(default)]
    pub profilers: Vec<ProfilerInfo>,
    /// A complete run spec (RON) that `evo run NAME` uses; absent where the plugin has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_spec: Option<String>,
}

/// A kernel as its plugin describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelInfo {
    /// The kernel's name within its plugin.
    pub name: String,
    /// The version of the code: part of every artifact's identity.
    pub version: String,
    /// One sentence for people.
    pub doc: String,
    /// Names of the problems that it can solve.
    pub problems: Vec<String>,
    /// Kinds of device that it runs on: `cpu`, `cuda`.
    pub devices: Vec<String>,
    /// The parameters that it understands; a space may use no others.
    pub params: Vec<ParamInfo>,
    /// Its default search space as RON text; absent for a kernel with nothing to tune.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Whether two launches on the same inputs must agree bit by bit.
    pub deterministic: bool,
    /// Whether `prepare` does work (layout change, quantisation) that end-to-end time includes.
    #[serde(default)]
    pub prepares: bool,
}

impl KernelInfo {
    /// A deterministic kernel for the CPU with no parameters yet; the methods below add to it.
    pub fn new(name: &str, version: &str, doc: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            doc: doc.to_owned(),
            problems: Vec::new(),
            devices: vec!["cpu".to_owned()],
            params: Vec::new(),
            space: None,
            deterministic: true,
            prepares: false,
        }
    }

    /// Adds a problem that the kernel can solve.
    #[must_use]
    pub fn solves(mut self, problem: &str) -> Self {
        self.problems.push(problem.to_owned());
        self
    }

    /// Adds a parameter that acts at launch.
    #[must_use]
    pub fn param(mut self, name: &str, default: impl Into<Value>, doc: &str) -> Self {
        self.params.push(ParamInfo {
            name: name.to_owned(),
            doc: doc.to_owned(),
            default: default.into(),
            runtime: true,
        });
        self
    }

    /// Sets the default search space (RON).
    #[must_use]
    pub fn space(mut self, ron: &str) -> Self {
        self.space = Some(ron.to_owned());
        self
    }
}

/// A parameter that a kernel or an objective understands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamInfo {
    /// The parameter's name.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
    /// The value used where a configuration does not set it.
    pub default: Value,
    /// Whether it acts at launch rather than in the built code: such a parameter is part of the
    /// execution's identity beside the artifact.
    #[serde(default)]
    pub runtime: bool,
}

/// An objective: something that turns a configuration into metrics without being a kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveInfo {
    /// The objective's name within its plugin.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
    /// The settings that a spec may give it. An objective whose values are drawn has an integer
    /// called `seed` or `..._seed` among them: the confirmation evaluates each finalist with five
    /// other seeds (up to 5,000,015 larger), and takes the median.
    pub settings: Vec<FieldInfo>,
    /// Its default search space as RON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// The name of the metric to rank by.
    pub metric: String,
    /// Which way that metric is better; lower, if left out. A setting called `direction`, a choice
    /// of `lower` and `higher`, goes before it.
    #[serde(default = "lower")]
    pub direction: Direction,
}

fn lower() -> Direction {
    Direction::Lower
}

/// A profiler as its plugin describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfilerInfo {
    /// The profiler's name within its plugin.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
    /// Kinds of device that it can look at.
    pub devices: Vec<String>,
    /// Rules (RON) by which its metrics become insights; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
}

/// What a kernel is asked to build: the problem, the configuration and the device.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BuildRequest {
    /// The problem with all fields fixed.
    pub problem: ProblemSpec,
    /// The active parameters of the configuration.
    pub config: Params,
    /// The device to build for.
    pub device: DeviceFacts,
}

/// What a build returns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Artifact {
    /// The code, or whatever `load` needs: equal bytes mean equal machine code.
    pub bytes: Vec<u8>,
    /// What the build tool printed.
    #[serde(default)]
    pub log: String,
    /// Resource figures: registers, spilled bytes, shared memory and the like. Of a GPU kernel the
    /// framework reads `registers` and `spill_store_bytes` (bytes), both of a thread, and
    /// `shared_bytes` (of a block, without what the launch asks for), and does not run what cannot
    /// fit.
    #[serde(default)]
    pub resources: Vec<Metric>,
    /// Launch geometry and run-time parameters: what tells executions of equal code apart. Of a GPU
    /// kernel the framework reads `block_x`, `block_y` and `block_z` (threads) and `shared_bytes`
    /// (dynamic shared memory of a block).
    #[serde(default)]
    pub launch: Params,
}
