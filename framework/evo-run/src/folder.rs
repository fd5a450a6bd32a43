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
    /// Whether this process made the folder itself.
    made: bool,
    _lock: Lock,
}

impl RunFolder {
    /// Makes a folder for a new run; an empty one that is there is taken.
    ///
    /// # Errors
    /// Where it cannot be made or written, holds a run or anything else, or is in use.
    pub fn create(path: &Path) -> Result<Self, RunError> {
        let shown = path.display();
        let failed = |error: std::io::Error| {
            RunError::environment(format!("{shown}: cannot make the run folder: {error}"))
                .hint("name another folder with --out")
        };
        let made = !path.exists();
        fs::create_dir_all(path).map_err(failed)?;
        if path.join(JOURNAL).exists() {
            // Whoever holds it is worth more than the advice on what to do with the run.
            Self::lock(path, false)?;
            let whole = evo_journal::read(&path.join(JOURNAL)).is_ok();
            let hint = if whole {
                format!(
                    "go on with `evo resume {shown}`, extend it with `evo run --from {shown} \
                     --budget N`, or name another folder with --out"
                )
            } else {
                "it ended before its journal had begun, or is damaged: delete the folder, or name \
                 another one with --out"
                    .to_owned()
            };
            return Err(
                RunError::input(format!("{shown}: there is a run in this folder")).hint(hint),
            );
        }
        let mut entries = fs::read_dir(path).map_err(failed)?.flatten();
        if entries.any(|entry| entry.file_name() != LOCK) {
            return Err(RunError::input(format!(
                "{shown}: this folder is not empty and holds no run"
            ))
            .hint("name a new or an empty folder with --out"));
        }
        Self::lock(path, made)
    }

    /// Removes what a run that never began has made: the lock, and the folder if it was not there
    /// before.
    pub fn discard(self) {
        let Self { path, made, _lock } = self;
        drop(_lock);
        let _ = fs::remove_file(path.join(LOCK));
        if made {
            let _ = fs::remove_dir(path);
        }
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
        Self::lock(path, false)
    }

    fn lock(path: &Path, made: bool) -> Result<Self, RunError> {
        let path = fs::canonicalize(path).map_err(|error| {
            RunError::environment(format!(
                "{}: cannot open the run folder: {error}",
                path.display()
            ))
        })?;
        match Lock::try_take(&path.join(LOCK)) {
            Ok(Ok(lock)) => Ok(Self {
                path,
                made,
                _lock: lock,
            }),
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
