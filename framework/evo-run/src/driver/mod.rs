//! The straight line of a run: baselines, search, profiles, confirmation.

mod compare;
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

pub use pipeline::Queues;
pub use session::{RunEnd, Session};
pub(crate) use trial::{Sorted, leaves_disorder, sort};
