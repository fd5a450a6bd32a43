//! The store: immutable copies of plugin files, named by their content.
//!
//! A library that is loaded while its file is rewritten brings the process down, and opening a
//! path again returns the code that was loaded first. So workers only ever load
//! `<store>/<sha256>.so`, or `.bundle` for a description with its files, which nobody rewrites.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use evo_bundle::Bundle;
use evo_types::ContentHash;

use crate::RunError;

/// The extension of a library in the store.
const LIBRARY: &str = "so";
/// The extension of a description with its files.
const BUNDLE: &str = "bundle";

/// A folder of content-addressed files.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The user's store: `$EVO_CACHE_DIR`, `$XDG_CACHE_HOME/evo` or `~/.cache/evo`.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open() -> Result<Self, RunError> {
        let given = std::env::var_os("EVO_CACHE_DIR").filter(|folder| !folder.is_empty());
        let cache = match given {
            Some(folder) => PathBuf::from(folder),
            None => match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
                (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache).join("evo"),
                (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".cache/evo"),
                _ => std::env::temp_dir()
                    .join(format!("evo-cache-{}", rustix::process::getuid().as_raw())),
            },
        };
        Self::at(&cache.join("store"))
    }

    /// A store in a folder of one's own.
    ///
    /// # Errors
    /// Where the folder cannot be made, or belongs to somebody else.
    pub fn at(folder: &Path) -> Result<Self, RunError> {
        let failed = |error: std::io::Error| {
            RunError::environment(format!(
                "{}: cannot make the plugin store: {error}",
                folder.display()
            ))
            .hint("set EVO_CACHE_DIR to a folder that you may write to")
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let folder = fs::canonicalize(folder).map_err(failed)?;
        refuse_unsafe(&folder)?;
        Ok(Self { folder })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder beside it where workers keep what they compile, made if need be; `None` where it
    /// cannot be used: then everything is compiled each time.
    pub fn artifacts(&self) -> Option<PathBuf> {
        let folder = self.folder.parent()?.join("artifacts");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .ok()?;
        refuse_unsafe(&folder).ok()?;
        Some(folder)
    }

    /// Copies a plugin into the store and returns its hash: a library as it is, a description
    /// together with the files that it names.
    ///
    /// # Errors
    /// Where the file is missing, is no regular file, may be changed by others, or cannot be
    /// copied; and what is wrong with a description.
    pub fn add(&self, file: &Path) -> Result<ContentHash, RunError> {
        let canonical = fs::canonicalize(file).map_err(|error| {
            RunError::input(format!(
                "{}: cannot open the plugin: {error}",
                file.display()
            ))
        })?;
        if !canonical.is_file() {
            return Err(RunError::input(format!(
                "{}: this is no plugin file",
                file.display()
            )));
        }
        refuse_unsafe(&canonical)?;
        if let Some(parent) = canonical.parent() {
            refuse_unsafe(parent)?;
        }
        let (hash, bytes, extension) = if evo_bundle::kind(file).is_some() {
            let (hash, bytes) = bundle(file)?;
            (hash, bytes, BUNDLE)
        } else {
            let bytes = fs::read(&canonical).map_err(|error| {
                RunError::input(format!(
                    "{}: cannot read the plugin: {error}",
                    file.display()
                ))
            })?;
            (ContentHash::of_bytes(&bytes), bytes, LIBRARY)
        };
        let target = self.path(&hash, extension);
        // A bundle also holds where its description was, for messages, which is no part of its
        // content: the same one from another folder takes its place.
        if fs::read(&target).ok().as_deref() != Some(&bytes) {
            self.write(&target, &bytes)?;
        }
        Ok(hash)
    }

    /// Whether a file with this content is there, undamaged.
    pub fn has(&self, hash: &ContentHash) -> bool {
        let library = fs::read(self.path(hash, LIBRARY));
        let bundle = fs::read(self.path(hash, BUNDLE)).ok();
        let bundle = bundle.and_then(|kept| Bundle::from_bytes(&kept).ok());
        library.is_ok_and(|kept| ContentHash::of_bytes(&kept) == *hash)
            || bundle.is_some_and(|bundle| bundle.hash() == *hash)
    }

    fn path(&self, hash: &ContentHash, extension: &str) -> PathBuf {
        self.folder.join(format!("{hash}.{extension}"))
    }

    /// Writes beside the target and renames, so that nobody ever sees half a file.
    fn write(&self, target: &Path, bytes: &[u8]) -> Result<(), RunError> {
        let beside = self.folder.join(format!(
            ".new-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o500)
            .open(&beside)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, target));
        written.map_err(|error| {
            let _ = fs::remove_file(&beside);
            RunError::environment(format!(
                "{}: cannot write to the plugin store: {error}",
                self.folder.display()
            ))
            .hint("free some space, or set EVO_CACHE_DIR to another folder")
        })
    }
}

/// A description with its files, each of which nobody else may be able to change.
fn bundle(file: &Path) -> Result<(ContentHash, Vec<u8>), RunError> {
    let bundle = evo_bundle::gather(file).map_err(|error| RunError {
        hint: error.hint,
        ..RunError::input(error.message)
    })?;
    for name in bundle.files.keys() {
        let path = Path::new(&bundle.folder).join(name);
        // Resolved, since a link's own owner says nothing.
        if let Ok(path) = fs::canonicalize(&path) {
            refuse_unsafe(&path)?;
        }
    }
    let bytes = bundle.to_bytes();
    bytes
        .map(|bytes| (bundle.hash(), bytes))
        .map_err(|error| RunError::internal(format!("{}: {error}", file.display())))
}

/// A plugin is code that runs as this user: nobody else may be able to change it.
fn refuse_unsafe(path: &Path) -> Result<(), RunError> {
    let metadata = fs::metadata(path).map_err(|error| {
        RunError::environment(format!(
            "{}: cannot look at the file: {error}",
            path.display()
        ))
    })?;
    let user = rustix::process::getuid().as_raw();
    if metadata.uid() != user && metadata.uid() != 0 {
        return Err(RunError::input(format!(
            "{}: belongs to user {}, not to you or root: it could be changed behind your back",
            path.display(),
            metadata.uid()
        ))
        .hint("copy it to a folder of your own and load the copy"));
    }
    // A group with the number of the user is that user's own, by the custom of most systems.
    let group_is_private = metadata.gid() == user || metadata.gid() == 0;
    if metadata.mode() & 0o020 != 0 && !group_is_private {
        return Err(RunError::input(format!(
            "{}: every member of group {} may write to it",
            path.display(),
            metadata.gid()
        ))
        .hint(format!("chmod g-w {}", path.display())));
    }
    // A sticky folder such as /tmp does not let others replace what is in it.
    let sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
    if metadata.mode() & 0o002 != 0 && !sticky {
        return Err(
            RunError::input(format!("{}: every user may write to it", path.display()))
                .hint(format!("chmod o-w {}", path.display())),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> PathBuf {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("evo-store-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_copy_is_named_by_its_content_and_damage_is_mended() {
        let folder = folder();
        let store = Store::at(&folder.join("store")).unwrap();
        let file = folder.join("plugin.so");
        fs::write(&file, b"content").unwrap();
        let hash = store.add(&file).unwrap();
        assert_eq!(hash, ContentHash::of_bytes(b"content"));
        let copy = store.path(&hash, LIBRARY);
        assert_eq!(fs::read(&copy).unwrap(), b"content");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(&copy, b"damaged").unwrap();
        store.add(&file).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"content");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let folder = folder();
        let store = Store::at(&folder.join("store")).unwrap();
        let file = folder.join("plugin.so");
        fs::write(&file, b"content").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let error = store.add(&file).unwrap_err();
        assert!(
            error.to_string().contains("every user may write to it"),
            "{error}"
        );
        assert!(error.to_string().contains("chmod o-w"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
