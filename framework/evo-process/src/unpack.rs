//! Puts the files of a bundle, and the Python package, where a process can be started.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use evo_bundle::Bundle;
use evo_types::ContentHash;

/// A file of the Python package with its path.
macro_rules! package_file {
    ($name:literal) => {
        (
            concat!("evo_candidate/", $name),
            include_bytes!(concat!("../../../plugins/python/evo_candidate/", $name)).as_slice(),
        )
    };
}
/// The Python package, so that no installation is needed: it always fits this `evo`.
const PYTHON: [(&str, &[u8]); 7] = [
    package_file!("__init__.py"),
    package_file!("candidate.py"),
    package_file!("cuda.py"),
    package_file!("documents.py"),
    package_file!("numbers.py"),
    package_file!("protocol.py"),
    package_file!("server.py"),
];

/// How folders begin that are being written; the number of the process follows.
const BESIDE: &str = ".new-";

/// Where a bundle's files are.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    /// The bundle's files: the process's current folder.
    pub(crate) files: PathBuf,
    /// The folder for `PYTHONPATH`.
    pub(crate) python: PathBuf,
}

/// Unpacks into folders that are named by their content, or finds them unpacked.
///
/// # Errors
/// Which folder cannot be written, or which file has an unsafe name.
pub(crate) fn unpack(bundle: &Bundle) -> Result<Unpacked, String> {
    let cache = cache()?;
    let files: Vec<(&str, &[u8])> = bundle
        .files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    Ok(Unpacked {
        files: folder_of(&cache, &files)?,
        python: folder_of(&cache, &PYTHON)?,
    })
}

/// `process` in the user's cache: `$EVO_CACHE_DIR`, `$XDG_CACHE_HOME/evo` or `~/.cache/evo`, as for
/// the plugin store.
fn cache() -> Result<PathBuf, String> {
    let of = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = of("EVO_CACHE_DIR")
        .or_else(|| of("XDG_CACHE_HOME").map(|cache| cache.join("evo")))
        .or_else(|| of("HOME").map(|home| home.join(".cache/evo")))
        .unwrap_or_else(|| {
            let user = rustix::process::getuid().as_raw();
            std::env::temp_dir().join(format!("evo-cache-{user}"))
        })
        .join("process");
    let failed = |error: io::Error| {
        format!(
            "the folder {} cannot be made: {error}; set EVO_CACHE_DIR to a folder that you may \
             write to",
            cache.display()
        )
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&cache)
        .map_err(failed)?;
    let metadata = fs::metadata(&cache).map_err(failed)?;
    if metadata.uid() != rustix::process::getuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err(format!(
            "the folder {} can be changed by others: files that are run from it would not be \
             safe; mend it (`chmod go-w`) or set EVO_CACHE_DIR",
            cache.display()
        ));
    }
    fs::canonicalize(&cache).map_err(failed)
}

/// The folder with exactly these files, written if it is not there or damaged.
fn folder_of(cache: &Path, files: &[(&str, &[u8])]) -> Result<PathBuf, String> {
    let parts: Vec<&[u8]> = files
        .iter()
        .flat_map(|(name, content)| [name.as_bytes(), *content])
        .collect();
    let hash = ContentHash::of_parts(&parts);
    let folder = cache.join(hash.as_str());
    if intact(&folder, files) {
        return Ok(folder);
    }
    if let Some((name, _)) = files.iter().find(|(name, _)| !stays_inside(name)) {
        return Err(format!(
            "the file name {name:?} leads out of the description's folder"
        ));
    }
    let place = |error: io::Error| {
        format!(
            "the files cannot be unpacked to {}: {error}",
            folder.display()
        )
    };
    sweep(cache);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let beside = cache.join(format!("{BESIDE}{}-{count}", std::process::id()));
    // Left by a process of the same number that was killed.
    let _ = fs::remove_dir_all(&beside);
    write_all(&beside, files).map_err(place)?;
    if fs::rename(&beside, &folder).is_ok() {
        return Ok(folder);
    }
    // Somebody was faster, or what is there is damaged.
    if !intact(&folder, files) {
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&beside, &folder).map_err(place)?;
    } else {
        let _ = fs::remove_dir_all(&beside);
    }
    Ok(folder)
}

/// Removes what processes left that were killed while they unpacked.
fn sweep(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(BESIDE))
            .and_then(|rest| rest.split('-').next())
            .and_then(|id| id.parse::<u32>().ok());
        if process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn stays_inside(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

fn intact(folder: &Path, files: &[(&str, &[u8])]) -> bool {
    folder.is_dir()
        && files
            .iter()
            .all(|(name, content)| fs::read(folder.join(name)).is_ok_and(|kept| kept == *content))
}

/// Files that may be run and not written: nothing changes them by accident.
fn write_all(folder: &Path, files: &[(&str, &[u8])]) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(folder)?;
    for (name, content) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(&path)?;
        io::Write::write_all(&mut file, content)?;
        file.set_permissions(fs::Permissions::from_mode(0o500))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_get_the_same_folder_and_damage_is_mended() {
        let cache = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 2] = [("a.py", b"one"), ("sub/b.py", b"two")];
        let folder = folder_of(cache.path(), &files).unwrap();
        assert_eq!(fs::read(folder.join("sub/b.py")).unwrap(), b"two");
        assert_eq!(folder_of(cache.path(), &files).unwrap(), folder);
        fs::remove_file(folder.join("a.py")).unwrap();
        assert_eq!(folder_of(cache.path(), &files).unwrap(), folder);
        assert_eq!(fs::read(folder.join("a.py")).unwrap(), b"one");
        let others: [(&str, &[u8]); 2] = [("a.py", b"onet"), ("sub/b.py", b"wo")];
        assert_ne!(folder_of(cache.path(), &others).unwrap(), folder);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 2);
    }

    #[test]
    fn no_file_leaves_its_folder() {
        let cache = tempfile::tempdir().unwrap();
        for name in ["../x", "/etc/x", "a/../../x", ""] {
            let error = folder_of(cache.path(), &[(name, b"x")]).unwrap_err();
            assert!(error.contains("leads out"), "{error}");
        }
    }
}
