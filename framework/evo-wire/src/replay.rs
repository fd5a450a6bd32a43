//! Candidates that are executed again, with nothing timed: to see whether they always do the same,
//! and for tools that look at a process from outside.

use evo_types::{BuildRequest, ErrorFigures, WrongResult};
use serde::{Deserialize, Serialize};

use crate::ComponentRef;

/// A candidate to execute again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayJob {
    /// The problem.
    pub problem: ComponentRef,
    /// The kernel.
    pub kernel: ComponentRef,
    /// Problem, configuration and device.
    pub request: BuildRequest,
    /// The seeds of the inputs, at least one. The same buffers are filled from each in turn.
    pub seeds: Vec<u64>,
    /// The distribution of the inputs; the problem's ordinary one, if absent.
    pub distribution: Option<String>,
    /// Whether large problems are held against the reference on every row instead of a sample of
    /// rows.
    pub check_all_rows: bool,
    /// Whether there are guard bands around the buffers. Without them a tool that watches memory
    /// sees every access outside a buffer, and the worker sees none.
    pub guards: bool,
    /// What is done on each inputs.
    pub mode: ReplayMode,
}

/// What a replay does on each inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum ReplayMode {
    /// So many launches, at least one, each onto outputs that were poisoned anew. The outputs of
    /// all are compared bit by bit with those of the first, and each that is not known yet is held
    /// against the reference. Each launch is announced, so that it has a deadline of its own.
    Check {
        /// Launches on each inputs.
        repeats: u32,
    },
    /// One launch to warm up, then so many, and nothing else: for profilers. On a GPU the launches
    /// after the first lie between `cuProfilerStart` and `cuProfilerStop`.
    Launch {
        /// Launches on each inputs after the first.
        launches: u32,
    },
}

/// What was seen of a candidate that ran to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// The distribution of the inputs.
    pub distribution: String,
    /// Whether the kernel says of itself that launches on the same inputs agree bit by bit.
    pub deterministic: bool,
    /// All launches that were made, over all inputs.
    pub launches: u64,
    /// The greatest errors against the reference; absent where nothing was checked or nothing could
    /// be compared.
    pub figures: Option<ErrorFigures>,
    /// The first result that was wrong.
    pub wrong: Option<WrongResult>,
    /// Launches whose outputs were not those of the first on the same inputs.
    pub differing: Option<Differing>,
}

impl ReplayReport {
    /// Whether every output was right, and the same bit by bit.
    pub fn passed(&self) -> bool {
        self.wrong.is_none() && self.differing.is_none()
    }
}

/// Launches whose outputs were not those of the first on the same inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Differing {
    /// How many, over all inputs.
    pub launches: u64,
    /// What was different in the first of them.
    pub first: Difference,
}

/// How the outputs of a launch differ from those of the first one on the same inputs, in the first
/// output that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The seed of the inputs.
    pub seed: u64,
    /// The launch, from 2.
    pub repeat: u32,
    /// The output.
    pub tensor: String,
    /// How many of its elements have other bits.
    pub elements: u64,
    /// How many elements it has.
    pub of: u64,
    /// Where the first of them is: an index for each dimension.
    pub at: Vec<u64>,
    /// What the first launch had written there, as text since it may be no number.
    pub was: String,
    /// What this launch has written there.
    pub is: String,
}
