//! Workers: child processes that may crash, hang and leak without harm to the run.

mod call;
mod host;
mod output;
mod process;
mod sweep;

pub use call::{CallFailure, Patience};
pub use host::{Host, HostSettings};
