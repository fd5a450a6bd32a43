//! `evo completions` and `evo man`.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use evo_run::RunError;

use super::print;
use crate::args::Args;
use crate::failure::Failure;

/// Prints a shell's completion script.
pub(crate) fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "evo", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes one man page for the program and one for each command.
pub(crate) fn man(folder: &Path) -> Result<ExitCode, Failure> {
    let failed = |error: std::io::Error| {
        RunError::environment(format!(
            "{}: cannot write the man pages: {error}",
            folder.display()
        ))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), folder).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
