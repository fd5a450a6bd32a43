//! `evo study`.

use std::io::IsTerminal;
use std::process::ExitCode;

use evo_core::engine::Preset;
use evo_run::{RunError, Stop};
use evo_study::{Progress, Report, RunLog, StudyError, StudySpace, read_records};

use super::{note, print};
use crate::args::Study;
use crate::failure::Failure;
use crate::signals;

/// Runs what the log does not have yet, and prints the report.
pub(crate) fn study(args: &Study) -> Result<ExitCode, Failure> {
    let stop = Stop::default();
    // The notice of `evo run` speaks of trials: a study has its own.
    signals::listen(&stop, true)?;
    let spaces = StudySpace::read_all(&args.spaces).map_err(failed)?;
    let mut records = if args.report_only {
        read_records(&args.log).map_err(failed)?
    } else {
        let mut log = RunLog::open(&args.log).map_err(failed)?;
        let mut show = reporter(args.output.quiet);
        let stopped = || stop.requested();
        asked(args)
            .run(&spaces, &mut log, &stopped, &mut show)
            .map_err(failed)?;
        log.records().to_vec()
    };
    if stop.requested() {
        if !args.output.quiet {
            note(&format!(
                "stopped by {}: {} searches are in {}; the same command goes on",
                stop.signal_name(),
                records.len(),
                args.log.display()
            ));
        }
        return Ok(ExitCode::from(128u8.saturating_add(stop.signal())));
    }
    for other in &args.others {
        records.extend(read_records(other).map_err(failed)?);
    }
    let report = Report::new(&spaces, &records, &args.budgets);
    if args.output.json {
        let text = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
        print(&(text + "\n"))?;
    } else if !args.output.quiet {
        print(&report.to_string())?;
        if args.by_space {
            print(&report.by_space())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The study that the arguments describe.
fn asked(args: &Study) -> evo_study::Study {
    let mut strategies = if args.strategies.is_empty() {
        Preset::ALL.to_vec()
    } else {
        args.strategies.clone()
    };
    strategies.sort_unstable();
    strategies.dedup();
    evo_study::Study {
        strategies,
        seeds: args.first_seed..args.first_seed + args.seeds,
        budget: args.budgets.iter().copied().max().unwrap_or(0),
        threads: args.threads.unwrap_or(0),
    }
}

/// Shows the progress on a terminal, and nothing elsewhere.
fn reporter(quiet: bool) -> impl FnMut(Progress) {
    let shown = !quiet && std::io::stderr().is_terminal();
    move |progress| {
        if shown {
            note(&format!("{} of {} searches", progress.done, progress.all));
        }
    }
}

/// What the user gave is wrong, except where the engine and a recording disagree.
fn failed(error: StudyError) -> Failure {
    match error {
        StudyError::Search { .. } => RunError::input(error.to_string())
            .hint("the recording's parameters or restrictions cannot be written as a space"),
        other => RunError::input(other.to_string()),
    }
    .into()
}
