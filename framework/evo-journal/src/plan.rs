//! What a run is going to do, as its journal has it.

use std::collections::BTreeMap;

use evo_types::{ContentHash, DeviceFacts, Params, ProblemSpec};
use serde::{Deserialize, Serialize};

use crate::{AbsentBaseline, BaselineRole};

/// Everything resolved: what a run does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The plugins with their file hashes.
    pub plugins: Vec<PlannedPlugin>,
    /// What is evaluated.
    pub work: Work,
    /// The content of the files that settings of an objective name, by setting: a resumed run must
    /// not mix two of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, ContentHash>,
    /// The candidates that are tuned, each with its space.
    pub candidates: Vec<PlannedCandidate>,
    /// The candidates that are compared against, `A`, `B`, ... in order.
    pub baselines: Vec<PlannedCandidate>,
    /// The optional baselines that could not be had, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent_baselines: Vec<AbsentBaseline>,
    /// The device.
    pub device: DeviceFacts,
    /// The device's place on the machine: `cpu`, or `cuda:0` by number.
    #[serde(default = "cpu")]
    pub device_name: String,
    /// Further devices of the same kind on which trials are measured side by side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub siblings: Vec<Sibling>,
    /// The metric that ranks.
    pub metric: String,
    /// The target, if the spec names one.
    pub target: Option<Target>,
    /// The preset's name.
    pub preset: String,
    /// The seed.
    pub seed: u64,
    /// The engine's settings, among them the budget, as the engine reads them.
    pub engine: serde_json::Value,
    /// How many proposals are under way at once: the one that is measured, and those that are built
    /// ahead of their turn.
    pub ahead: usize,
    /// How candidates are verified and measured, as the worker reads it: `search` and
    /// `confirmation`.
    pub measure: serde_json::Value,
    /// Deadlines and other limits.
    pub limits: Limits,
    /// How many of the best are measured again at the end.
    pub top_k: usize,
    /// The profilers, as `plugin/name`.
    pub profilers: Vec<String>,
    /// Trials between two rounds of profiles during the search; 0 for none.
    #[serde(default)]
    pub profile_every: u64,
    /// How many elites of each candidate a round looks at; plans of before it look at the best.
    #[serde(default = "one")]
    pub profile_elites: usize,
    /// The rules (RON) by which figures become diagnoses, by their source: `build`, or a profiler as
    /// `plugin/name`. Those of spaces are in the spaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, String>,
}

/// A device beside the first one, of the same kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sibling {
    /// The device.
    pub device: DeviceFacts,
    /// Its place on the machine: `cuda:1` by number.
    pub device_name: String,
}

fn one() -> usize {
    1
}

fn cpu() -> String {
    "cpu".to_owned()
}

/// A plugin file of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedPlugin {
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// Where the file was.
    pub path: String,
    /// The file's content.
    pub hash: ContentHash,
}

/// What is evaluated: candidates of a problem, or an objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Kernels that solve a problem.
    Problem {
        /// The plugin that defines the problem, by name.
        plugin: String,
        /// The problem with all fields fixed.
        spec: ProblemSpec,
    },
    /// An objective.
    Objective {
        /// The plugin, by name.
        plugin: String,
        /// The objective's name.
        name: String,
        /// Every setting.
        settings: Params,
    },
}

/// A candidate: a kernel with pinned parameters and perhaps a space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedCandidate {
    /// What reports call it.
    pub label: String,
    /// The plugin, by name.
    pub plugin: String,
    /// The kernel's or the objective's name.
    pub kernel: String,
    /// Parameters that are fixed.
    pub pinned: Params,
    /// The space's RON text; absent for a baseline.
    pub space: Option<String>,
    /// Where the space came from: a file, or the plugin.
    pub space_origin: String,
    /// Configurations that are tried right after the first one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start: Vec<Params>,
    /// What it is as a baseline; absent in candidates that are tuned, and in journals of older
    /// programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineRole>,
}

/// A target that the spec names: a speedup over a baseline or a group of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The wanted ratio of the baseline's median to the candidate's.
    pub speedup: f64,
    /// The label of a baseline or the name of a group, such as `A`.
    pub over: String,
}

/// Limits of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Most seconds of a static check and build.
    pub build_s: f64,
    /// Most seconds of one verification.
    pub verify_s: f64,
    /// Most seconds of a measurement, beyond what its own settings allow.
    pub measure_s: f64,
    /// Most bytes of resident memory of a worker.
    pub memory_bytes: u64,
    /// How often the machine may have gone down during the evaluation of a configuration before
    /// that is quarantined.
    pub attempts: u32,
    /// How many trials in a row may kill their worker before the run stops.
    pub crashes_in_a_row: u32,
    /// Most bytes of registers that each thread of a GPU kernel may spill to memory.
    #[serde(default = "register_file")]
    pub spill_bytes: u64,
}

/// All registers that a thread can have, in bytes: one that spills more has been written for
/// another device.
pub const fn register_file() -> u64 {
    255 * 4
}
