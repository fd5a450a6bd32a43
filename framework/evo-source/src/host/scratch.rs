//! Folders for builds, private to the process and gone with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use evo_bundle::source::levels_up;
use tempfile::TempDir;

const PREFIX: &str = "evo-build-";

/// A private folder for one build.
///
/// # Errors
/// Where no temporary folder can be made.
pub(crate) fn folder() -> Result<TempDir, String> {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| sweep(&std::env::temp_dir()));
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir()
        .map_err(|error| {
            format!(
                "no temporary folder can be made in {}: {error}; set TMPDIR to a folder with space",
                std::env::temp_dir().display()
            )
        })
}

/// Removes what workers left that were killed in the middle of a build.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split('-').next())
            .and_then(|id| id.parse::<u32>().ok());
        if process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            // Another user's folders cannot be removed, and need not be.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Writes files by their paths from the description; returns the folder that stands for the
/// description's own, deep enough that `../` stays inside.
///
/// # Errors
/// Where a path leaves the folder, or the disk is full.
pub(crate) fn write<'a>(
    root: &Path,
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<PathBuf, String> {
    let files: Vec<(&str, &[u8])> = files.collect();
    let mut deepest = 0;
    for (path, _) in &files {
        let levels = levels_up(path).ok_or_else(|| format!("the path `{path}` is not allowed"))?;
        deepest = deepest.max(levels);
    }
    let base = (0..deepest).fold(root.to_owned(), |folder, _| folder.join("d"));
    for (path, content) in files {
        let full = base.join(path);
        let parent = full.parent().unwrap_or(&base);
        fs::create_dir_all(&base)
            .and_then(|()| fs::create_dir_all(parent))
            .and_then(|()| fs::write(&full, content))
            .map_err(|error| format!("{} cannot be written: {error}", full.display()))?;
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_above_the_description_stay_inside_the_folder() {
        let root = folder().unwrap();
        let files = [("a/x.c", &b"1"[..]), ("../../y.h", b"2")];
        let base = write(root.path(), files.into_iter()).unwrap();
        assert_eq!(fs::read(base.join("a/x.c")).unwrap(), b"1");
        assert_eq!(fs::read(root.path().join("y.h")).unwrap(), b"2");
        let escape = [("../../../../../x", &b""[..])];
        assert!(write(root.path(), escape.into_iter()).is_err());
    }

    #[test]
    fn what_a_dead_process_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        // No process has this id: it is above the kernel's limit.
        let dead = parent.path().join(format!("{PREFIX}4194999-x"));
        let own = parent
            .path()
            .join(format!("{PREFIX}{}-x", std::process::id()));
        fs::create_dir(&dead).unwrap();
        fs::create_dir(&own).unwrap();
        sweep(parent.path());
        assert!(!dead.exists());
        assert!(own.exists());
    }
}
