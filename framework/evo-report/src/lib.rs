//! From a journal to everything that people and scripts read.
//!
//! [`RunModel::from_records`] folds the records of a journal; everything else is a function of
//! the model: [`write_all`] writes the derived files of a run folder, [`final_table`] is the end
//! of `evo run`, [`summary_json`] is its output for scripts. Nothing here is a source of truth:
//! the files can always be made again.
//!
//! Headline figures come from the confirmation alone ([`RunModel::confirmation`]); the figures of
//! the search rank trials and are marked as such wherever they show.

#![forbid(unsafe_code)]

mod baselines;
mod bench;
mod by_kernel;
mod chart;
mod confirmed;
mod diagnosis;
mod error;
mod failures;
mod fold;
mod format;
mod grid;
mod headline;
mod json;
pub mod knobs;
mod limits;
mod manifest;
mod model;
mod profiles;
mod ratio;
mod recorded;
mod summary;
mod terminal;
mod text;
mod topk;
mod tune_log;
mod verdict;
mod write;

pub use confirmed::{Best, Figures, Row, Table};
pub use diagnosis::{Next, next_steps};
pub use error::ReportError;
pub use headline::headline;
pub use json::summary_json;
pub use model::{
    BudgetLimits, BudgetUse, Event, Improvement, RankedMetric, RunModel, State, Trial,
    baseline_name,
};
pub use ratio::{Ratio, Rival};
pub use recorded::{Figured, Recorded, recorded};
pub use summary::summary_markdown;
pub use terminal::final_table;
pub use text::plain;
pub use verdict::{TARGET_DEFINITIONS, TargetStatus, TargetVerdict};
pub use write::write_all;
