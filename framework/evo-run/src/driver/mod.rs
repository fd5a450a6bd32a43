//! The straight line of a run: baselines, search, profiles, confirmation.

mod compare;
mod diagnose;
mod entrant;
mod explain;
mod finalists;
mod history;
mod lanes;
mod merge;
mod opening;
mod pipeline;
mod profile;
mod search;
mod session;
mod statics;
mod trial;

pub(crate) use diagnose::{BUILD, read as read_rules};
pub(crate) use entrant::Entrant;
pub use explain::{Explained, explain};
pub(crate) use history::{History, read_run};
pub(crate) use opening::{check_plugins, engine_settings};
pub use pipeline::Queues;
pub use session::{RunEnd, Session};
pub(crate) use statics::objection;
pub(crate) use trial::{Sorted, leaves_disorder, sort};
