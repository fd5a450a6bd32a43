//! `evo export`: the trials of runs, and of earlier exports, as recorded tuning data.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use evo_journal::Profiled;
use evo_report::{Figured, RunModel, recorded};
use evo_run::{JOURNAL, RunError};
use evo_types::{Direction, Metric, Params};
use serde::Deserialize;

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
    let (files, folders): (Vec<&PathBuf>, Vec<&PathBuf>) =
        args.runs.iter().partition(|path| path.is_file());
    let mut runs: Vec<(String, RunModel)> = folders
        .into_iter()
        .map(|run| Ok((run.display().to_string(), read(run)?)))
        .collect::<Result<_, Failure>>()?;
    let earlier: Vec<(String, serde_json::Value)> = files
        .into_iter()
        .map(|file| Ok((file.display().to_string(), read_recording(file)?)))
        .collect::<Result<_, Failure>>()?;
    if runs.is_empty() {
        return Err(RunError::input("no run is named".to_owned())
            .hint("a file that an earlier export wrote stands beside at least one run, by which its space is known")
            .into());
    }
    let mut figured = Vec::new();
    for file in &args.figures {
        figured.extend(add_figures(file, &mut runs)?);
    }
    refuse_parts(&figured, &runs, args.candidate.as_deref())?;
    let found = recorded(&runs, &earlier, figured, args.candidate.as_deref()).map_err(|reason| {
        RunError::input(reason).hint(
            "one candidate of runs of one problem on one kind of device; --candidate names it; a file \
             that an earlier export wrote stands beside at least one run",
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

/// The greatest size of a recording, unpacked.
const RECORDING_BYTES: u64 = 1 << 30;

/// Reads what an earlier export wrote.
fn read_recording(file: &Path) -> Result<serde_json::Value, Failure> {
    let fail = |message: String| RunError::input(format!("{}: {message}", file.display()));
    let packed = file.extension().is_some_and(|extension| extension == "xz");
    let text = (|| {
        let mut text = Vec::new();
        let opened = BufReader::new(File::open(file)?);
        match packed {
            true => lzma_rust2::XzReader::new(opened, true)
                .take(RECORDING_BYTES)
                .read_to_end(&mut text)?,
            false => opened.take(RECORDING_BYTES).read_to_end(&mut text)?,
        };
        std::io::Result::Ok(text)
    })()
    .map_err(|error| fail(format!("cannot be read: {error}")))?;
    serde_json::from_slice(&text)
        .map_err(|error| fail(format!("no recording that `evo export` wrote: {error}")).into())
}

/// Figures of trials that were made outside of their run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    /// Whose they are: a profiler, as `plugin/name`.
    source: String,
    /// The run's name; may be left out where one run is exported.
    run: Option<String>,
    /// The source's rules.
    rules: Option<String>,
    /// By the trial's number.
    #[serde(default)]
    trials: BTreeMap<u64, BTreeMap<String, f64>>,
    /// Of configurations, whichever trial measured them.
    #[serde(default)]
    configurations: Vec<OfConfiguration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfConfiguration {
    params: Params,
    figures: BTreeMap<String, f64>,
}

/// Puts those of trials to the profiles of their run; returns those of configurations.
fn add_figures(file: &Path, runs: &mut [(String, RunModel)]) -> Result<Vec<Figured>, Failure> {
    let shown = file.display();
    let fail = |message: String| RunError::input(format!("{shown}: {message}"));
    let text = std::fs::read(file).map_err(|error| fail(format!("cannot be read: {error}")))?;
    let figures: Figures =
        serde_json::from_slice(&text).map_err(|error| fail(format!("no figures: {error}")))?;
    if figures.trials.is_empty() && figures.configurations.is_empty() {
        return Err(fail("there are no figures in it".to_owned())
            .hint("give some by `trials` or by `configurations`: evo export --help")
            .into());
    }
    // Figures of configurations are of no run: any one carries their rules.
    let many = runs.len() > 1 && !figures.trials.is_empty();
    let mut own = runs.iter_mut().filter(|(_, model)| match &figures.run {
        Some(name) => model.header.run == *name,
        None => !many,
    });
    let Some((_, model)) = own.next() else {
        let message = match &figures.run {
            Some(name) => format!("they are of the run `{name}`, which is not exported"),
            None => "they name no run, and several are exported".to_owned(),
        };
        return Err(fail(message)
            .hint("name one run, or give `run` in the file")
            .into());
    };
    if let Some(rules) = figures.rules {
        model.plan.rules.insert(figures.source.clone(), rules);
    }
    for (trial, values) in figures.trials {
        let Some(known) = model.trial(trial) else {
            return Err(fail(format!("there is no trial {trial} in the run")).into());
        };
        let label = known.name();
        let metrics = values.iter();
        let metrics = metrics.map(|(name, value)| Metric::new(name, "", Direction::Info, *value));
        let profiled = Profiled {
            at: 0.0,
            profiler: figures.source.clone(),
            label,
            trial: Some(trial),
            metrics: metrics.collect(),
            failure: None,
        };
        model.profiles.push(profiled);
    }
    let configurations = figures.configurations.into_iter();
    Ok(configurations
        .map(|of| Figured {
            source: figures.source.clone(),
            params: of.params,
            figures: of.figures,
        })
        .collect())
}

/// Refuses figures of what is no whole configuration: a baseline, perhaps, which does not name what has the
/// default.
fn refuse_parts(
    figured: &[Figured],
    runs: &[(String, RunModel)],
    candidate: Option<&str>,
) -> Result<(), Failure> {
    let Some((_, model)) = runs.first().filter(|_| !figured.is_empty()) else {
        return Ok(());
    };
    let spaces = evo_run::spaces(&model.plan)?;
    let mut candidates = model.plan.candidates.iter().zip(spaces);
    let Some((_, space)) =
        candidates.find(|(known, _)| candidate.is_none_or(|label| label == known.label))
    else {
        // Which is said where runs are put together.
        return Ok(());
    };
    for of in figured {
        let fail = |reason: String| {
            RunError::input(format!(
                "figures of {} are of no configuration: {reason} ({})",
                of.source,
                evo_types::format_params(&of.params)
            ))
        };
        let whole = evo_run::completed(&space, &of.params).map_err(fail)?;
        if let Some(missing) = whole.keys().find(|name| !of.params.contains_key(*name)) {
            return Err(fail(format!("`{missing}` is missing")).into());
        }
        if let Some(idle) = of.params.keys().find(|name| !whole.contains_key(*name)) {
            return Err(fail(format!("`{idle}` has no effect in it")).into());
        }
    }
    Ok(())
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
