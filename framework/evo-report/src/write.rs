//! The derived files of a run folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ReportError;
use crate::bench;
use crate::manifest::manifest;
use crate::model::RunModel;
use crate::profiles::profiles;
use crate::summary::summary_markdown;
use crate::topk::topk;
use crate::tune_log::tune_log;

/// Writes every derived file into a run folder and says which: `manifest.yaml`, `tune_log.csv`,
/// `topk.json`, `bench/<candidate>.json`, `<profiler>/summary.json` and `reports/summary.md`. A file is there in full or as
/// it was before. Files in `bench/` of candidates that are compared no more are removed.
///
/// # Errors
/// [`ReportError::Write`] with the path, [`ReportError::Format`] where a document cannot be made.
pub fn write_all(model: &RunModel, folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = vec![
        (folder.join("manifest.yaml"), manifest(model)?.into_bytes()),
        (folder.join("tune_log.csv"), tune_log(model)?),
        (folder.join("topk.json"), pretty("topk.json", &topk(model))?),
    ];
    let bench_folder = folder.join("bench");
    for (name, document) in bench::bench(model) {
        files.push((
            bench_folder.join(name),
            pretty("bench/<candidate>.json", &document)?,
        ));
    }
    for (name, document) in profiles(model) {
        let file = "<profiler>/summary.json";
        files.push((
            folder.join(name).join("summary.json"),
            pretty(file, &document)?,
        ));
    }
    let summary = summary_markdown(model)?.into_bytes();
    files.push((folder.join("reports").join("summary.md"), summary));
    for (path, content) in &files {
        write(path, content).map_err(|source| ReportError::Write {
            path: path.clone(),
            source,
        })?;
    }
    let paths: Vec<PathBuf> = files.into_iter().map(|(path, _)| path).collect();
    remove_stale(&bench_folder, &paths)?;
    Ok(paths)
}

fn pretty(file: &'static str, document: &Value) -> Result<Vec<u8>, ReportError> {
    let mut text =
        serde_json::to_vec_pretty(document).map_err(|error| ReportError::format(file, error))?;
    text.push(b'\n');
    Ok(text)
}

/// Writes beside the file, then renames: a reader never sees half of it.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = fs::write(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to report; what is left of the attempt may be gone already.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Removes our files of earlier reports; files of others stay.
fn remove_stale(folder: &Path, current: &[PathBuf]) -> Result<(), ReportError> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if !current.contains(&path) && is_ours(&path) {
            fs::remove_file(&path).map_err(|source| ReportError::Write { path, source })?;
        }
    }
    Ok(())
}

fn is_ours(path: &Path) -> bool {
    let text = fs::read(path).unwrap_or_default();
    let document: Option<Value> = serde_json::from_slice(&text).ok();
    document.is_some_and(|document| {
        document.get("schema").and_then(Value::as_str) == Some(bench::SCHEMA)
    })
}
