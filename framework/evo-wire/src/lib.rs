//! What the `evo` program and its workers say to each other.
//!
//! A worker is a child process that serves one device. The host sends one [`Request`] at a time;
//! the worker answers with any number of [`Reply::Progress`] and then exactly one other reply.
//! Messages carry content hashes instead of paths, and all that a worker on another machine would
//! need. Frames are length-prefixed and checksummed (see [`frame`]).

#![forbid(unsafe_code)]

mod conform;
pub mod frame;
mod message;
mod replay;

use evo_types::ContentHash;

pub use conform::{Breach, ConformJob, ConformReport, Probe, Probed, Rule};
pub use frame::{FrameError, read_frame, write_frame};
pub use message::{
    CompareItem, CompareJob, ComparedItem, ComponentRef, Envelope, FailureKind, MeasureJob,
    MeasureSettings, ProfileJob, Reply, Request, SCORE, Tool,
};
pub use replay::{Difference, Differing, ReplayJob, ReplayMode, ReplayReport};

/// The version of the protocol. Host and worker are the same program, so there is no
/// negotiation: a difference is an error that names both.
pub const PROTOCOL: u32 = 4;

/// Stands for the content hash of the plugin that every worker has without a file: the built-in
/// problems.
pub fn built_in() -> ContentHash {
    ContentHash::of_bytes(concat!("evo built-in plugin ", env!("CARGO_PKG_VERSION")).as_bytes())
}

/// Where the built-in plugin is, in place of a path.
pub const BUILT_IN_ORIGIN: &str = "<built in>";
