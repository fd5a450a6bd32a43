//! `evo replay`: candidates of a run executed again, untimed.

mod configurations;
mod json;
mod show;

use std::process::ExitCode;

use evo_run::{
    Replay as Replayed, ReplayEvent, ReplayMode, ReplaySettings, RunError, Stop,
    replay as run_replay,
};

use super::{note, print, program};
use crate::args::{Output, Replay};
use crate::failure::Failure;
use crate::signals;

/// The exit code of a replay in which a candidate did not pass.
const NOT_PASSED: u8 = 4;

/// `evo replay`.
pub(crate) fn replay(args: &Replay) -> Result<ExitCode, Failure> {
    let stop = Stop::default();
    // What a run says of its journal is not true of a replay.
    signals::listen(&stop, true)?;
    let settings = settings(args)?;
    let mut watch = |event: &ReplayEvent<'_>| tell(event, args.output);
    let done = run_replay(&args.run, &settings, &stop, &mut watch)?;
    if args.output.json {
        let text =
            serde_json::to_string_pretty(&json::document(&done)).map_err(std::io::Error::from)?;
        print(&(text + "\n"))?;
    } else if !args.output.quiet {
        print(&show::render(&done))?;
    }
    for end in &done.bad_ends {
        note(&format!(
            "error: {end}; a tool over it tells in this way that it found something"
        ));
    }
    Ok(exit(&done, &stop, args.output))
}

fn exit(done: &Replayed, stop: &Stop, output: Output) -> ExitCode {
    if done.interrupted {
        if !output.quiet {
            note("interrupted: this is what was seen until then");
        }
        return ExitCode::from(128u8.saturating_add(stop.signal()));
    }
    if done.passed() {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(NOT_PASSED)
}

fn settings(args: &Replay) -> Result<ReplaySettings, RunError> {
    if !(args.deadline.is_finite() && args.deadline > 0.0) {
        return Err(RunError::input(format!(
            "--deadline is {}, but must be a positive number of seconds",
            args.deadline
        )));
    }
    let mode = match args.launches {
        Some(launches) => ReplayMode::Launch { launches },
        None if args.no_check => ReplayMode::Launch { launches: 1 },
        None => ReplayMode::Check {
            repeats: args.repeats,
        },
    };
    Ok(ReplaySettings {
        program: program()?,
        trials: args.trials.clone(),
        top: args.top.map(|top| top as usize),
        configurations: match &args.configurations {
            Some(file) => configurations::read(file, args.rows.clone())?,
            None => Vec::new(),
        },
        baselines: args.baselines,
        candidates: args.candidates.clone(),
        mode,
        seeds: args.seeds.clone(),
        distribution: args.inputs.clone(),
        check_all_rows: args.all_rows,
        guards: !args.no_guards,
        set: args.set.clone(),
        device: args.device.clone(),
        deadline_s: args.deadline,
    })
}

/// Lines and no bar: what tools print goes to the same place.
fn tell(event: &ReplayEvent<'_>, output: Output) {
    if output.quiet {
        return;
    }
    match event {
        ReplayEvent::Begins {
            candidate,
            done,
            of,
        } if !output.json => {
            note(&format!("replaying {candidate} ({} of {of})", done + 1));
        }
        ReplayEvent::WaitingForDevice { holder } => {
            note(&format!("waiting for the device: {holder} measures on it"));
        }
        ReplayEvent::Warning(message) => note(&format!("warning: {message}")),
        _ => {}
    }
}
