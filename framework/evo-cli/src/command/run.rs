//! `evo run` and `evo resume`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use evo_core::engine::Budget;
use evo_report::{RunModel, final_table, summary_json, write_all};
use evo_run::{
    JOURNAL, Overrides, RunEnd, RunError, RunFolder, SearchPath, Session, Source, Stop,
    capture_environment, prepare,
};

use super::{note, print, program, shown};
use crate::args::{Output, Resume, Run};
use crate::failure::Failure;
use crate::terminal::observer;
use crate::{VERSION, signals};

/// What `evo run` runs when nothing is named: it needs no GPU and no file.
const DEFAULT_PLUGIN: &str = "sdpa-cpu";

/// The exit code of a search that ended without one correct candidate.
const NOTHING_MEASURED: u8 = 3;

/// `evo run`.
pub(crate) fn run(args: Run) -> Result<ExitCode, Failure> {
    let stop = Stop::default();
    signals::listen(&stop, args.output.quiet)?;
    if let Some(from) = &args.from {
        return extend(from, &args, &stop);
    }
    let (source, name) = source(&args);
    let overrides = Overrides {
        trials: args.budget,
        wall_s: args.wall,
        seed: args.seed,
        preset: args.preset,
        target: args.target.clone(),
        profilers: args.profilers.clone(),
        no_profilers: args.no_profilers,
        device: args.device.clone(),
        set: args.set.clone(),
        start_from: args.start_from.clone(),
    };
    // The folder comes first: it is refused before any work.
    let folder = folder(args.out.as_deref(), &name)?;
    let search = SearchPath::new(&args.plugins.folders);
    let prepared = match prepare(&source, &overrides, &search, &program()?, &stop) {
        Ok(prepared) => prepared,
        Err(error) => {
            folder.discard();
            return Err(error.into());
        }
    };
    if !args.output.quiet {
        prepared.left_out.iter().for_each(|line| note(line));
    }
    let environment = capture_environment(VERSION, option_env!("EVO_COMMIT"));
    let session = Session::start(prepared, folder, environment, &stop)?;
    drive(session, args.output)
}

/// `evo resume`.
pub(crate) fn resume(args: Resume) -> Result<ExitCode, Failure> {
    let stop = Stop::default();
    signals::listen(&stop, args.output.quiet)?;
    let session = Session::resume(
        &args.run,
        None,
        &program()?,
        VERSION,
        &stop,
        &mut warner(args.output),
    )?;
    drive(session, args.output)
}

fn extend(from: &Path, args: &Run, stop: &Stop) -> Result<ExitCode, Failure> {
    if args.budget.is_none() && args.wall.is_none() {
        return Err(
            RunError::input("--from extends a run, but there is no larger budget")
                .hint("add --budget N (the new total of trials) or --wall SECONDS")
                .into(),
        );
    }
    if args.budget == Some(0) || args.wall.is_some_and(|s| !(s.is_finite() && s > 0.0)) {
        return Err(RunError::input("--budget and --wall must be positive numbers").into());
    }
    // The whole budget is replaced: a limit that ended the run would end it again at once.
    let budget = Budget {
        trials: args.budget,
        wall_s: args.wall,
        ..Budget::default()
    };
    let mut warn = warner(args.output);
    let session = Session::resume(from, Some(budget), &program()?, VERSION, stop, &mut warn)?;
    drive(session, args.output)
}

fn warner(output: Output) -> impl FnMut(String) {
    move |message| {
        if !output.quiet {
            note(&format!("warning: {message}"));
        }
    }
}

/// Runs a session to its end and writes the reports, whatever the end was.
fn drive(mut session: Session, output: Output) -> Result<ExitCode, Failure> {
    let mut observer = observer(output);
    let end = session.run(observer.as_mut());
    drop(observer);
    let folder = session.folder().to_owned();
    drop(session);
    // An error of the run comes first, but what was done until then is reported all the same.
    let reported = report(&folder, output);
    let end = end?;
    reported?;
    Ok(match end {
        RunEnd::Finished { measured: 0, .. } => {
            if !output.quiet {
                note("no candidate was correct and timed; the summary says what happened");
            }
            ExitCode::from(NOTHING_MEASURED)
        }
        RunEnd::Finished { .. } => ExitCode::SUCCESS,
        RunEnd::Interrupted { signal } => {
            if !output.quiet {
                note(&format!(
                    "interrupted and saved; go on with: evo resume {}",
                    shown(&folder)
                ));
            }
            ExitCode::from(128u8.saturating_add(signal))
        }
    })
}

/// Writes the derived files and prints the table or the JSON document.
pub(super) fn report(folder: &Path, output: Output) -> Result<(), Failure> {
    let journal = evo_journal::read(&folder.join(JOURNAL)).map_err(RunError::from)?;
    let model = RunModel::from_records(&journal.records)?;
    // What was found is shown also where it cannot be written.
    let written = write_all(&model, folder);
    if output.json {
        let text =
            serde_json::to_string_pretty(&summary_json(&model)).map_err(std::io::Error::from)?;
        print(&(text + "\n"))?;
    } else if !output.quiet {
        print(&final_table(&model))?;
    }
    written?;
    if !output.json && !output.quiet {
        print(&format!(
            "summary: {}\n",
            shown(&folder.join("reports/summary.md"))
        ))?;
    }
    Ok(())
}

/// Whether the argument is a spec rather than a plugin: by its name, or because it is a file that
/// is no library.
pub(super) fn is_spec(what: &str) -> bool {
    let path = Path::new(what);
    let library = path.extension().is_some_and(|extension| extension == "so");
    let plugin = library || evo_run::is_description(path);
    !plugin && (what.ends_with(".ron") || path.is_file())
}

fn source(args: &Run) -> (Source, String) {
    let stem = |path: &Path| {
        path.file_stem().map_or_else(
            || "run".to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        )
    };
    match (&args.what, &args.plugin) {
        (Some(what), _) if is_spec(what) => {
            let path = PathBuf::from(what);
            let name = match stem(&path).as_str() {
                // `examples/01_x/run.ron` is better named after its folder.
                "run" => {
                    let path = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
                    path.parent().map_or_else(|| "run".to_owned(), stem)
                }
                other => other.to_owned(),
            };
            (Source::File(path), name)
        }
        (Some(name), _) | (None, Some(name)) => {
            (Source::Plugin(name.clone()), stem(Path::new(name)))
        }
        (None, None) => (
            Source::Plugin(DEFAULT_PLUGIN.to_owned()),
            DEFAULT_PLUGIN.to_owned(),
        ),
    }
}

/// The folder that was named, or `runs/<name>-<number>` with the next free number.
fn folder(out: Option<&Path>, name: &str) -> Result<RunFolder, RunError> {
    if let Some(out) = out {
        return RunFolder::create(out);
    }
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(48)
        .collect();
    let runs = PathBuf::from("runs");
    fs::create_dir_all(&runs).map_err(|error| {
        RunError::environment(format!("runs: cannot make the folder: {error}"))
            .hint("name another folder with --out")
    })?;
    for number in 1..100_000 {
        let path = runs.join(format!("{name}-{number:03}"));
        match fs::create_dir(&path) {
            Ok(()) => return RunFolder::create(&path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(RunError::environment(format!(
                    "{}: cannot make the run folder: {error}",
                    path.display()
                ))
                .hint("name another folder with --out"));
            }
        }
    }
    Err(
        RunError::environment("runs: there are 99,999 runs of this name")
            .hint("remove some, or name a folder with --out"),
    )
}
