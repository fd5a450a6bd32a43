//! The straight line of a run: baselines, search, profiles, confirmation.

mod compare;
mod history;
mod merge;
mod opening;
mod profile;
mod search;
mod session;
mod trial;

pub use session::{RunEnd, Session};
pub(crate) use trial::{Sorted, leaves_disorder, sort};
