//! From a spec to a finished run.
//!
//! ```text
//! RunSpec   what was typed: a RON file or a plugin's default, with the flags of the command line
//! Plan      everything resolved (evo-journal's document): plugins and hashes, problem, spaces,
//!           device, baselines, budget, seed
//! Session   the locked run folder with its journal, the campaign and the worker: runs the line
//!           baselines -> search -> profiles -> confirmation, from wherever the journal stands
//! ```
//!
//! This crate starts processes and writes the run folder. It never loads a plugin, talks to a
//! device, or decides what to propose.

#![forbid(unsafe_code)]

mod audit;
mod check;
mod driver;
mod environment;
mod error;
mod event;
mod folder;
mod lock;
mod plan;
mod plugins;
mod replay;
mod ron_text;
mod spec;
mod stop;
mod store;
mod worker;

pub use audit::{
    Audit, AuditEvent, AuditSettings, AuditedCandidate, BuiltConfig, FailedConfig, TimedPair, audit,
};
pub use check::{
    CheckDevice, CheckEvent, CheckOptions, CheckReport, CheckSpace, CheckTarget, Rule, Ruling,
    Verdict, asks, check, cure, named_values,
};
pub use driver::{Explained, Queues, RunEnd, Session, explain};
pub use environment::capture as capture_environment;
pub use error::{ErrorKind, RunError};
pub use event::{Event, Observer, Progress, SilentObserver};
pub use folder::{JOURNAL, RunFolder};
pub use plan::{
    Described, Prepared, Source, completed, default_worker, describe_built_in, describe_plugin,
    prepare, prepare_audit, probe_profiler, space_environment, spaces, tools,
};
pub use plugins::{Found, SearchPath, is_description};
pub use replay::{
    Replay, ReplayDifference, ReplayDiffering, ReplayEvent, ReplayMode, ReplayReport, ReplayResult,
    ReplaySettings, ReplayedCandidate, replay,
};
pub use ron_text::parse as parse_ron;
pub use spec::{
    BaselineSpec, BudgetSpec, MeasureSpec, ObjectiveSpec, Overrides, ProblemSpecChoice, RunSpec,
    TuneSpec, read_value,
};
pub use stop::Stop;
pub use store::Store;
pub use worker::{CallFailure, Host, HostSettings, Patience};
