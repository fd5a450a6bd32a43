//! `evo report`.

use std::process::ExitCode;

use evo_run::{JOURNAL, RunError};

use crate::args::Report;
use crate::failure::Failure;

/// Writes the derived files again and prints the table. Works beside a run that is under way:
/// the journal is only read, and every derived file is replaced in one step.
pub(crate) fn report(args: &Report) -> Result<ExitCode, Failure> {
    if !args.run.join(JOURNAL).is_file() {
        return Err(RunError::input(format!(
            "{}: there is no run in this folder ({JOURNAL} is missing)",
            args.run.display()
        ))
        .hint("name a folder that `evo run` made, such as runs/<name>")
        .into());
    }
    super::run::report(&args.run, args.output)?;
    Ok(ExitCode::SUCCESS)
}
