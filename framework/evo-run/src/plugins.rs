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
                let path = entry.path();
                if path.extension().is_none_or(|extension| extension != "so") {
                    continue;
                }
                if let Some(name) = path
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned())
                {
                    found
                        .entry(name.clone())
                        .or_insert(Found { name, path, origin });
                }
            }
        }
        found.into_values().collect()
    }

    /// Finds a plugin: a path (anything with a `/` in it), or a name on the search path.
    ///
    /// # Errors
    /// Where there is none, with the nearest name or the folders that were searched.
    pub fn find(&self, name: &str) -> Result<PathBuf, RunError> {
        if name.contains('/') {
            let path = PathBuf::from(name);
            return if path.is_file() {
                Ok(path)
            } else {
                Err(RunError::input(format!(
                    "{name}: there is no such plugin file"
                )))
            };
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
