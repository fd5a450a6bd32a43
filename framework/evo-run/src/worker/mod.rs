//! Workers: child processes that may crash, hang and leak without harm to the run.

mod call;
mod host;
mod output;
mod process;
mod quiet;
mod sweep;

pub use call::{CallFailure, Patience};
pub use host::{Host, HostSettings};
pub(crate) use quiet::Quiet;
