//! `evo study`.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use evo_core::engine::Preset;
use evo_run::{RunError, Stop};
use evo_study::{
    Contestant, Progress, Report, RunLog, RunRecord, StudyError, StudySpace, read_records,
};

use super::{note, print};
use crate::args::Study;
use crate::failure::Failure;
use crate::signals;

/// Runs what the log does not have yet, and prints the report.
pub(crate) fn study(args: &Study) -> Result<ExitCode, Failure> {
    let stop = Stop::default();
    // The notice of `evo run` speaks of trials: a study has its own.
    signals::listen(&stop, true)?;
    let mut spaces = StudySpace::read_all(&args.spaces).map_err(failed)?;
    StudySpace::leave_out(&mut spaces, &args.leave_out).map_err(failed)?;
    let mut records = if args.report_only {
        read(args, &args.log)?
    } else {
        let mut log = RunLog::open(&args.log).map_err(failed)?;
        if log.repaired() && !args.output.quiet {
            note(&format!(
                "the end of {} was cut off and is dropped: {} searches could be read",
                args.log.display(),
                log.records().len()
            ));
        }
        let mut show = reporter(args.output.quiet);
        let stopped = || stop.requested();
        asked(args)
            .map_err(failed)?
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
        records.extend(read(args, other)?);
    }
    let report = reported(args, &spaces, &records).map_err(failed)?;
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

/// The records of a log that is only looked at.
fn read(args: &Study, log: &Path) -> Result<Vec<RunRecord>, Failure> {
    let read = read_records(log).map_err(failed)?;
    if read.cut_off && !args.output.quiet {
        note(&format!(
            "the end of {} is cut off, as where a study was killed or is just writing: {} searches \
             could be read",
            log.display(),
            read.records.len()
        ));
    }
    Ok(read.records)
}

/// The study that the arguments describe.
fn asked(args: &Study) -> Result<evo_study::Study, StudyError> {
    let mut strategies = args.strategies.clone();
    if strategies.is_empty() {
        strategies = if args.vary.is_empty() {
            Preset::ALL.to_vec()
        } else {
            vec![Preset::Full]
        };
    }
    strategies.sort_unstable();
    strategies.dedup();
    let mut scales = args.noise.clone();
    scales.sort_by(f64::total_cmp);
    scales.dedup();
    let mut contestants = Vec::new();
    for preset in strategies {
        let variants = Contestant::variants(preset, &args.vary)?;
        for scale in &scales {
            let noisy = variants.iter().map(|each| each.clone().with_noise(*scale));
            contestants.extend(noisy);
        }
    }
    Ok(evo_study::Study {
        contestants,
        seeds: args.first_seed..args.first_seed + args.seeds,
        budget: args.budgets.iter().copied().max().unwrap_or(0),
        threads: args.threads.unwrap_or(0),
    })
}

/// The report with the parts that the arguments ask for.
fn reported(
    args: &Study,
    spaces: &[StudySpace],
    records: &[RunRecord],
) -> Result<Report, StudyError> {
    let mut report = Report::new(spaces, records, &args.budgets);
    if report.left_out == records.len() {
        return Err(nothing(args, records.len()));
    }
    let shipped = Contestant::new(Preset::Full).to_string();
    if let Some(strategy) = &args.regret_of {
        report = report.with_regret(strategy)?;
    } else if report.cells.iter().any(|cell| cell.strategy == shipped) {
        report = report.with_regret(&shipped)?;
    }
    if args.leave_one_kernel_out {
        report = report.with_folds(&args.kernels)?;
    }
    Ok(report)
}

/// A report would be empty.
fn nothing(args: &Study, others: usize) -> StudyError {
    let mut message = "there are no searches of these recordings in it".to_owned();
    if !args.others.is_empty() {
        message.push_str(", and none in the logs of --with");
    }
    if others > 0 {
        message.push_str(&format!(" ({others} of other recordings)"));
    }
    StudyError::File {
        file: args.log.display().to_string(),
        message,
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
