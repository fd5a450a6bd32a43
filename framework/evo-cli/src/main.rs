//! The `evo` program: reads the command line, runs one command, reports errors.

#![forbid(unsafe_code)]

mod args;
mod command;
mod failure;
mod signals;
mod space_show;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Failure;

/// The program's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    // A worker is not started by people: it has no command line to speak of.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|arg| arg == "worker")
    {
        return evo_worker::main();
    }
    let args = Args::parse();
    match run(args) {
        Ok(code) => code,
        Err(failure) => {
            command::note(&format!("error: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Run(run) => command::run::run(run),
        Command::Resume(resume) => command::run::resume(resume),
        Command::Report(report) => command::report::report(&report),
        Command::Explain(explain) => command::explain::explain(&explain),
        Command::Export(export) => command::export::export(&export),
        Command::Replay(replay) => command::replay::replay(&replay),
        Command::Space(space) => command::space::space(space),
        Command::Plugin(plugin) => command::plugin::plugin(plugin),
        Command::Study(study) => command::study::study(&study),
        Command::Doctor(doctor) => command::doctor::doctor(&doctor),
        Command::Completions { shell } => command::shell::completions(shell),
        Command::Man { folder } => command::shell::man(&folder),
    }
}
