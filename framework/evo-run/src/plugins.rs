//! Where plugins are looked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::RunError;
use crate::error::suggestion;

/// The folders in which plugins are looked for, with the reason why each is one of them.
#[derive(Debug, Clone)]
pub struct SearchPath {
    folders: Vec<(PathBuf, &'static str)>,
}

/// A plugin file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name that users type: the file's name without extension.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Why this folder was searched.
    pub origin: &'static str,
}

/// Whether a file is the description of a plugin, by its name: `NAME.kernel.ron` or
/// `NAME.process.ron`.
pub fn is_description(path: &Path) -> bool {
    evo_bundle::kind(path).is_some()
}

/// Whether what a user typed names a file, and not a plugin on the search path.
pub(crate) fn is_path(name: &str) -> bool {
    let path = Path::new(name);
    name.contains('/') || name.ends_with(".so") || evo_bundle::kind(path).is_some()
}

/// What messages call a plugin by what a spec names: a path by its file's name.
pub(crate) fn short_name(named: &str) -> String {
    let path = Path::new(named);
    let described = evo_bundle::name(path);
    let stem = || {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    };
    match is_path(named) {
        true => described.or_else(stem).unwrap_or_else(|| named.to_owned()),
        false => named.to_owned(),
    }
}

/// The plugin's name and file for an entry of a folder: a library, a description, or a folder
/// that holds a description or library of its own name.
fn plugin_in(path: PathBuf) -> Option<(String, PathBuf)> {
    if path.is_dir() {
        let name = path.file_name()?.to_str()?.to_owned();
        let described = evo_bundle::EXTENSIONS.iter().map(|(end, _)| *end);
        let file = described
            .chain([".so"])
            .map(|end| path.join(format!("{name}{end}")))
            .find(|file| file.is_file())?;
        return Some((name, file));
    }
    if let Some(name) = evo_bundle::name(&path) {
        return Some((name, path));
    }
    if path.extension().is_none_or(|extension| extension != "so") {
        return None;
    }
    let name = path.file_stem()?.to_string_lossy().into_owned();
    Some((name, path))
}

impl SearchPath {
    /// The documented path, in order: `--plugin-path`, `$EVO_PLUGIN_PATH`, `plugins` beside the
    /// program, `../lib/evo/plugins` from the program, and the user's data folder.
    pub fn new(extra: &[PathBuf]) -> Self {
        let mut folders: Vec<(PathBuf, &'static str)> = extra
            .iter()
            .map(|folder| (folder.clone(), "--plugin-path"))
            .collect();
        if let Some(list) = std::env::var_os("EVO_PLUGIN_PATH") {
            folders.extend(std::env::split_paths(&list).map(|folder| (folder, "$EVO_PLUGIN_PATH")));
        }
        if let Some(bin) = std::env::current_exe()
            .ok()
            .as_deref()
            .and_then(Path::parent)
        {
            folders.push((bin.join("plugins"), "beside the program"));
            folders.push((bin.join("../lib/evo/plugins"), "installed with the program"));
        }
        let data = std::env::var_os("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| {
                std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"))
            });
        if let Some(data) = data {
            folders.push((data.join("evo/plugins"), "the user's data folder"));
        }
        Self { folders }
    }

    /// The folders with the reasons.
    pub fn folders(&self) -> &[(PathBuf, &'static str)] {
        &self.folders
    }

    /// Every plugin file on the path; of two with one name the first folder's.
    pub fn list(&self) -> Vec<Found> {
        let mut found = BTreeMap::new();
        for (folder, origin) in &self.folders {
            let Ok(entries) = fs::read_dir(folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let Some((name, path)) = plugin_in(entry.path()) else {
                    continue;
                };
                found
                    .entry(name.clone())
                    .or_insert(Found { name, path, origin });
            }
        }
        found.into_values().collect()
    }

    /// Finds a plugin: a path (anything with a `/` in it, or that ends like a plugin's file), or a
    /// name on the search path. A relative path starts from `folder`.
    ///
    /// # Errors
    /// Where there is none, with the nearest name or the folders that were searched.
    pub fn find(&self, name: &str, folder: &Path) -> Result<PathBuf, RunError> {
        if is_path(name) {
            let path = folder.join(name);
            if path.is_file() {
                return Ok(path);
            }
            let inside = plugin_in(path.clone()).filter(|_| path.is_dir());
            return inside.map(|(_, path)| path).ok_or_else(|| {
                if path.exists() {
                    return RunError::input(format!(
                        "{}: this is no regular file, and no folder with a plugin of its name",
                        path.display()
                    ));
                }
                RunError::input(format!("{}: there is no such plugin file", path.display()))
                    .hint("a path in a spec starts from the spec's folder")
            });
        }
        let all = self.list();
        if let Some(found) = all.iter().find(|found| found.name == name) {
            return Ok(found.path.clone());
        }
        let names: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
        let folders: Vec<String> = self
            .folders
            .iter()
            .map(|(folder, origin)| format!("{} ({origin})", folder.display()))
            .collect();
        let nearest = if names.is_empty() {
            String::new()
        } else {
            format!("; {}", suggestion(name, &names))
        };
        Err(
            RunError::input(format!("there is no plugin `{name}`{nearest}")).hint(format!(
                "these folders were searched: {}; a path with a `/` names a file itself",
                folders.join(", ")
            )),
        )
    }
}
