//! `evo plugin ...`.

mod check;
mod describe;
mod list;
mod new;

use std::process::ExitCode;

use crate::args::Plugin;
use crate::failure::Failure;

/// `evo plugin ...`.
pub(crate) fn plugin(command: Plugin) -> Result<ExitCode, Failure> {
    match command {
        Plugin::List(args) => list::list(&args),
        Plugin::Describe(args) => describe::describe(&args),
        Plugin::Check(args) => check::check(&args),
        Plugin::New(args) => new::new(&args),
    }
}
