//! Studies of search strategies: strategies times recorded spaces times seeds, scored.
//!
//! [`Study::run`] runs searches in parallel and keeps a [`RunRecord`] of each in a [`RunLog`], so
//! that a study can be broken off and taken up again. [`Report`] scores the records of a log,
//! and those of other tuners in the same format.
//!
//! The protocol is that of the comparison with other tuners:
//!
//! - One evaluation is one distinct recorded configuration, failed ones included. A proposal that
//!   was never recorded costs nothing and counts as an ask alone.
//! - A search is run once with the largest budget and read off at the smaller ones: no strategy
//!   knows its budget.
//! - No strategy profits from the order in which values are listed: what a space calls its default
//!   is a recorded configuration drawn with the seed, the same for all strategies.
//! - The cost of a search is what its evaluations cost when they were recorded; the strategy's own
//!   CPU time is kept apart.
//! - Under noise a strategy sees one draw around the recorded time of each configuration; it is scored
//!   by the recorded time of its answer.
//! - Searches of another version of the engine, or of another shipped tuning, are never continued
//!   and never mixed with those of this one. Nor are those on another recording of the same name.

#![forbid(unsafe_code)]

mod contestant;
mod diagnose;
mod error;
mod folds;
mod log;
mod noise;
mod noise_loss;
mod record;
mod regret;
mod report;
mod run;
mod score;
mod search;
mod significance;
mod space;
mod text;

pub use contestant::{Contestant, Variation, engine_tag};
pub use error::StudyError;
pub use folds::{Combined, Fold, Folds, kernel_of};
pub use log::{LogRecords, RunLog, read_records};
pub use noise::{FINALISTS, ROUNDS};
pub use noise_loss::{Loss, NoiseLoss};
pub use record::RunRecord;
pub use regret::{Column, Estimate, Partial, Regret, Versus};
pub use report::{Aggregate, Cell, Report};
pub use run::{Progress, Study};
pub use score::{Figures, Score};
pub use significance::Difference;
pub use space::StudySpace;

/// The evaluations after which other tuners were looked at.
pub const BUDGETS: [u64; 4] = [32, 64, 128, 256];

/// What the names of this engine's strategies begin with in run records.
pub const PREFIX: &str = "evo_";
