//! What the `evo` program and its workers say to each other.
//!
//! A worker is a child process that serves one device. The host sends one [`Request`] at a time;
//! the worker answers with any number of [`Reply::Progress`] and then exactly one other reply.
//! Messages carry content hashes instead of paths, and all that a worker on another machine would
//! need. Frames are length-prefixed and checksummed (see [`frame`]).

#![forbid(unsafe_code)]

pub mod frame;
mod message;

pub use frame::{FrameError, read_frame, write_frame};
pub use message::{
    CompareItem, CompareJob, ComparedItem, ComponentRef, Envelope, FailureKind, MeasureJob,
    MeasureSettings, ProfileJob, Reply, Request,
};

/// The version of the protocol. Host and worker are the same program, so there is no
/// negotiation: a difference is an error that names both.
pub const PROTOCOL: u32 = 1;
