//! `evo export`: the trials of runs as recorded tuning data.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use evo_report::{RunModel, recorded};
use evo_run::{JOURNAL, RunError};

use super::print;
use crate::args::Export;
use crate::failure::Failure;

/// The level of compression: data are written once and read often.
const PRESET: u32 = 6;

/// Reads runs, which may be under way, and writes one file.
pub(crate) fn export(args: &Export) -> Result<ExitCode, Failure> {
    if args.out.exists() {
        return Err(RunError::input(format!(
            "{}: there is a file of this name already",
            args.out.display()
        ))
        .hint("name another one, or remove it")
        .into());
    }
    let runs: Vec<(String, RunModel)> = args
        .runs
        .iter()
        .map(|run| Ok((run.display().to_string(), read(run)?)))
        .collect::<Result<_, Failure>>()?;
    let found = recorded(&runs, args.candidate.as_deref()).map_err(|reason| {
        RunError::input(reason).hint(
            "one candidate of runs of one problem on one kind of device; --candidate names it",
        )
    })?;
    let text = serde_json::to_vec(&found.document).map_err(std::io::Error::from)?;
    write(&args.out, &text).map_err(|error| {
        RunError::environment(format!(
            "{}: cannot be written: {error}",
            args.out.display()
        ))
    })?;
    if !args.quiet {
        let repeated = match found.repeated {
            0 => String::new(),
            repeated => format!(", {repeated} of them repeated"),
        };
        print(&format!(
            "{} configurations, {} measured{repeated}: {}\n",
            found.configurations,
            found.measured,
            args.out.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(run: &Path) -> Result<RunModel, Failure> {
    let file = run.join(JOURNAL);
    if !file.is_file() {
        return Err(RunError::input(format!(
            "{}: there is no run in this folder ({JOURNAL} is missing)",
            run.display()
        ))
        .hint("name folders that `evo run` made, such as runs/<name>")
        .into());
    }
    let journal = evo_journal::read(&file).map_err(RunError::from)?;
    Ok(RunModel::from_records(&journal.records)?)
}

/// Writes a file that is there whole or not at all; compressed where its name ends in `.xz`.
fn write(out: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut part = out.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let mut file = File::create(part)?;
    let packed = out.extension().is_some_and(|extension| extension == "xz");
    if packed {
        let options = lzma_rust2::XzOptions::with_preset(PRESET);
        let mut writer = lzma_rust2::XzWriter::new(&mut file, options)?;
        writer.write_all(text)?;
        writer.finish()?;
    } else {
        file.write_all(text)?;
    }
    file.sync_all()?;
    std::fs::rename(part, out)
}
