//! The run journal: the only truth about a run.
//!
//! A journal is a text file with one record per line (JSON). Each line carries its number and a
//! CRC-32 of the record's text. One writer appends and syncs; a record that was acknowledged
//! survives the process, and a proposal is on disk before its trial ([`Writer`]). Everything else
//! in a run folder can be rebuilt from the journal.

#![forbid(unsafe_code)]

mod baseline;
mod error;
mod line;
mod plan;
mod reader;
mod record;
mod writer;

pub use baseline::{AbsentBaseline, BaselineRole, Reference, letter_at};
pub use error::JournalError;
pub use plan::{
    Limits, Plan, PlannedCandidate, PlannedPlugin, Sibling, Target, Work, register_file,
};
pub use reader::{Journal, read};
pub use record::{
    BuildFacts, ComparedItem, Comparison, Diagnosed, DiagnosisLine, Environment, Evaluated, Header,
    InsightLine, OperatorLine, Profiled, Proposed, Record, Snapshot, Stage, profiler_folder,
};
pub use writer::Writer;

/// The version of the records. A newer program reads every older schema.
pub const SCHEMA: u32 = 1;
