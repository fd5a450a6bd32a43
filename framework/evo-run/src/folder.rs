//! The run folder: the journal, the lock, and derived files that can be rebuilt.

use std::fs;
use std::path::{Path, PathBuf};

use crate::RunError;
use crate::lock::Lock;

/// The journal's file name.
pub const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";

/// A run folder that this process has locked.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: Lock,
}

impl RunFolder {
    /// Makes a folder for a new run.
    ///
    /// # Errors
    /// Where it cannot be made or written, holds a run already, or is in use.
    pub fn create(path: &Path) -> Result<Self, RunError> {
        fs::create_dir_all(path).map_err(|error| {
            RunError::environment(format!(
                "{}: cannot make the run folder: {error}",
                path.display()
            ))
            .hint("name another folder with --out")
        })?;
        let folder = Self::lock(path)?;
        if path.join(JOURNAL).exists() {
            return Err(RunError::input(format!(
                "{}: there is a run in this folder",
                path.display()
            ))
            .hint(format!(
                "go on with `evo resume {0}`, extend it with `evo run --from {0} --budget N`, \
                     or name another folder with --out",
                path.display()
            )));
        }
        Ok(folder)
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// Where there is no run, or another process has it.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        if !path.join(JOURNAL).is_file() {
            return Err(RunError::input(format!(
                "{}: there is no run in this folder ({JOURNAL} is missing)",
                path.display()
            ))
            .hint("name a folder that `evo run` made, such as runs/<name>"));
        }
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, RunError> {
        let path = fs::canonicalize(path).map_err(|error| {
            RunError::environment(format!(
                "{}: cannot open the run folder: {error}",
                path.display()
            ))
        })?;
        match Lock::try_take(&path.join(LOCK)) {
            Ok(Ok(lock)) => Ok(Self { path, _lock: lock }),
            Ok(Err(holder)) => Err(RunError::environment(format!(
                "{}: this run is in use by {holder}",
                path.display()
            ))
            .hint("wait until it ends, or start a run of your own with another --out")),
            Err(error) => Err(RunError::environment(format!(
                "{}: cannot write to the run folder: {error}",
                path.display()
            ))
            .hint("name a folder that you may write to with --out")),
        }
    }

    /// The folder's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal's file.
    pub fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// The folder's name: the run's name.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}
