//! Gathering the files that a description names, and the headers that its sources include.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use super::{Description, OwnProblem, Reference};
use crate::document::{Fault, Text};
use crate::{Bundle, BundleKind, GatherError as Error};

/// How many folders above its own a description may reach.
pub const MOST_LEVELS_UP: usize = 4;
/// The largest file that is gathered: expected values of a large problem.
const LARGEST: u64 = 512 << 20;
/// More headers than this are no kernel's.
const MOST_FILES: usize = 2_000;

/// How many folders above its own a path begins; `None` for a path that no bundle has: absolute,
/// empty, with `..` in the middle, or too far up.
pub fn levels_up(path: &str) -> Option<usize> {
    let mut levels = 0;
    let mut names = 0;
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir if names == 0 => levels += 1,
            Component::Normal(_) => names += 1,
            _ => return None,
        }
    }
    (names > 0 && levels <= MOST_LEVELS_UP).then_some(levels)
}

/// A path without `.` and with `..` at its beginning only, `/` between parts.
fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ => parts.push(".."),
            },
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let path = parts.join("/");
    levels_up(&path).map(|_| path)
}

/// Reads a description and every file that it needs.
pub(crate) fn gather(path: &Path, name: &str) -> Result<Bundle, Error> {
    let shown = path.display().to_string();
    let unreadable = |error| Error::new(format!("{shown}: cannot be read: {error}"));
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).map_err(unreadable)?;
    let read_text = |file: &str| read_text(&folder, file);
    let description = Description::parse(&text, &shown, name, &read_text)?;
    let mut files = BTreeMap::new();
    let mut faults = Vec::new();
    for (text, is_code) in named(&description) {
        match read(&folder, &text.value) {
            Ok((path, content)) => {
                if is_code {
                    includes(&folder, &path, &content, &mut files);
                }
                files.insert(path, content);
            }
            Err(error) => {
                let message = format!("the file `{}` cannot be read: {error}", text.value);
                faults.push(
                    Fault::new(text.place.clone(), message)
                        .note(format!("paths start at {}", folder.display())),
                );
            }
        }
    }
    placeholders(&description, &files, &mut faults);
    if !faults.is_empty() {
        return Err(description.document.error(&faults));
    }
    if let Some(file) = &description.space_file {
        let (_, content) = read(&folder, file).map_err(Error::new)?;
        files.insert(file.clone(), content);
    }
    Ok(Bundle {
        kind: BundleKind::Source,
        name: name.to_owned(),
        description: text,
        origin: shown,
        folder: folder.display().to_string(),
        files,
    })
}

/// The files that the description names, and whether each is code.
fn named(description: &Description) -> Vec<(&Text, bool)> {
    let code = description.sources.iter().chain(&description.headers);
    let mut named: Vec<(&Text, bool)> = code.map(|text| (text, true)).collect();
    match description.own_problem() {
        Some(OwnProblem {
            reference: Reference::Function { source, .. },
            ..
        }) => named.push((source, true)),
        Some(OwnProblem {
            reference: Reference::Expected(cases),
            ..
        }) => {
            for case in cases {
                let files = case.inputs.0.iter().chain(&case.outputs.0);
                named.extend(files.map(|(_, file)| (file, false)));
            }
        }
        None => {}
    }
    named
}

fn read_text(folder: &Path, file: &str) -> Result<String, String> {
    let (_, content) = read(folder, file)?;
    String::from_utf8(content).map_err(|_| "it is no UTF-8 text".to_owned())
}

/// Reads a file by its path in the description.
fn read(folder: &Path, file: &str) -> Result<(String, Vec<u8>), String> {
    let path = normal(file).ok_or_else(|| {
        format!("a path is relative and at most {MOST_LEVELS_UP} folders up (`../`)")
    })?;
    let full = folder.join(&path);
    let metadata = fs::metadata(&full).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if metadata.len() > LARGEST {
        return Err(format!("it has more than {LARGEST} bytes"));
    }
    let content = fs::read(&full).map_err(|error| error.to_string())?;
    Ok((path, content))
}

/// Adds the files that a source includes in quotes, where they are; the compiler finds the others
/// or says that they are missing.
fn includes(folder: &Path, path: &str, content: &[u8], files: &mut BTreeMap<String, Vec<u8>>) {
    let mut pending = vec![(path.to_owned(), content.to_vec())];
    while let Some((path, content)) = pending.pop() {
        let text = String::from_utf8_lossy(&content);
        for included in text.lines().filter_map(included) {
            let beside = path
                .rsplit_once('/')
                .map(|(parent, _)| format!("{parent}/{included}"));
            for candidate in beside.into_iter().chain([included.to_owned()]) {
                let known = normal(&candidate).is_none_or(|path| files.contains_key(&path));
                if known || files.len() >= MOST_FILES {
                    continue;
                }
                if let Ok((path, content)) = read(folder, &candidate) {
                    pending.push((path.clone(), content.clone()));
                    files.insert(path, content);
                    break;
                }
            }
        }
    }
}

/// The file of a line `#include "file"`.
fn included(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('#')?.trim_start();
    let rest = rest
        .strip_prefix("include")?
        .trim_start()
        .strip_prefix('"')?;
    rest.split_once('"').map(|(file, _)| file)
}

/// Placeholders that stand in no source would be dead.
fn placeholders(
    description: &Description,
    files: &BTreeMap<String, Vec<u8>>,
    faults: &mut Vec<Fault>,
) {
    for (name, _) in &description.placeholders.0 {
        let written = format!("{{{{{}}}}}", name.value);
        let found = files.values().any(|content| {
            content
                .windows(written.len())
                .any(|window| window == written.as_bytes())
        });
        if !found {
            let message = format!("no source has the placeholder `{written}`");
            faults.push(Fault::new(name.place.clone(), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_near_the_description() {
        assert_eq!(normal("a/./b/../c.h").as_deref(), Some("a/c.h"));
        assert_eq!(normal("../x.h").as_deref(), Some("../x.h"));
        assert_eq!(levels_up("../../x.h"), Some(2));
        for bad in ["/etc/passwd", "", "..", "../../../../../x", "a/.."] {
            assert_eq!(normal(bad), None, "{bad}");
        }
        assert_eq!(levels_up("a/../../b"), None);
    }

    #[test]
    fn includes_in_quotes_are_found() {
        assert_eq!(included("  #  include \"a/b.h\" // x"), Some("a/b.h"));
        assert_eq!(included("#include <a.h>"), None);
        assert_eq!(included("// #include \"a.h\""), None);
    }
}
