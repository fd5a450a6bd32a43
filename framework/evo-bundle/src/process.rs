//! `NAME.process.ron`: a plugin that is another process.
//!
//! ```ron
//! (
//!     doc: "Attention in numpy",
//!     command: ["{python}", "candidate.py"],
//!     files: ["candidate.py"],
//!     env: {"OMP_NUM_THREADS": "1"},
//! )
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use crate::document::{Document, Entries, Fault, Text};
use crate::{Bundle, BundleKind, GatherError};

/// The only placeholder: `$EVO_PYTHON`, or `python3`.
const PYTHON: &str = "{python}";
/// The environment variable that tells the process where the framework listens.
const SOCKET: &str = "EVO_SOCKET";
/// Bytes of the largest file that is bundled; what is larger is data, and belongs elsewhere.
const LARGEST_FILE: u64 = 64 << 20;

/// How a process is started, and with which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessDescription {
    /// One sentence for people.
    pub doc: String,
    /// The program and its arguments; `{python}` in them stands for the Python interpreter. A
    /// program that is one of `files` is run from there.
    pub command: Vec<String>,
    /// The files that the process needs, relative to the description. They are copied to a folder
    /// of their own, which is the process's current one.
    pub files: Vec<String>,
    /// Environment variables that are set for the process.
    pub env: BTreeMap<String, String>,
}

/// The description as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    doc: String,
    command: Vec<Text>,
    #[serde(default)]
    files: Vec<Text>,
    #[serde(default)]
    env: Entries<Text>,
}

impl ProcessDescription {
    /// Reads and checks a description; `origin` names its file in errors.
    ///
    /// # Errors
    /// Everything that is wrong with it, with file, line and column.
    pub fn parse(text: &str, origin: &str) -> Result<Self, GatherError> {
        let document = Document::new(text, origin);
        read(&document).map(|written| written.description())
    }
}

fn read(document: &Document) -> Result<Written, GatherError> {
    let written: Written = document.parse()?;
    let mut faults = command_faults(document, &written.command);
    faults.extend(written.files.iter().filter_map(path_fault));
    faults.extend(repeated(&written.files));
    faults.extend(written.env.0.iter().filter_map(env_fault));
    if faults.is_empty() {
        Ok(written)
    } else {
        Err(document.error(&faults))
    }
}

impl Written {
    fn description(self) -> ProcessDescription {
        let values = |texts: Vec<Text>| texts.into_iter().map(|text| text.value).collect();
        ProcessDescription {
            doc: self.doc,
            command: values(self.command),
            files: values(self.files),
            env: self
                .env
                .0
                .into_iter()
                .map(|(name, value)| (name.value, value.value))
                .collect(),
        }
    }
}

fn command_faults(document: &Document, command: &[Text]) -> Vec<Fault> {
    if command
        .first()
        .is_none_or(|program| program.value.is_empty())
    {
        let at = document.text.find("command").unwrap_or(0);
        return vec![
            Fault::new(at..at + "command".len(), "the command is empty")
                .label("such as [\"{python}\", \"candidate.py\"]"),
        ];
    }
    command.iter().filter_map(word_fault).collect()
}

fn word_fault(word: &Text) -> Option<Fault> {
    if let Some(at) = word.value.find('\0') {
        return Some(Fault::new(
            word.within(at, at + 1),
            "an argument cannot hold a zero byte",
        ));
    }
    let rest = word.value.replace(PYTHON, "");
    let name = rest.split_once('{')?.1.split_once('}')?.0;
    let braces = format!("{{{name}}}");
    let at = word.value.find(&braces).unwrap_or(0);
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (plain && !name.is_empty()).then(|| {
        Fault::new(
            word.within(at, at + braces.len()),
            format!("there is no placeholder `{braces}`"),
        )
        .label(format!("there is `{PYTHON}`: $EVO_PYTHON, or python3"))
    })
}

fn path_fault(file: &Text) -> Option<Fault> {
    let inside = Path::new(&file.value)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let sound = inside && !file.value.is_empty() && !file.value.contains('\0');
    (!sound).then(|| {
        Fault::new(
            file.place.clone(),
            "a file must lie in the folder of the description, or below it",
        )
        .label("a relative path without `.` and `..`")
    })
}

fn repeated(files: &[Text]) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    files
        .iter()
        .filter(|file| !seen.insert(file.value.as_str()))
        .map(|file| Fault::new(file.place.clone(), "this file is named twice"))
        .collect()
}

fn env_fault((name, value): &(Text, Text)) -> Option<Fault> {
    let wrong = |text: &Text, message: &str| Some(Fault::new(text.place.clone(), message));
    if name.value.is_empty() || name.value.contains(['=', '\0']) {
        return wrong(name, "this is no name of an environment variable");
    }
    if name.value == SOCKET {
        return wrong(name, "this variable is set by the framework");
    }
    if value.value.contains('\0') {
        return wrong(value, "an environment variable cannot hold a zero byte");
    }
    None
}

/// Reads a description and the files that it names.
///
/// # Errors
/// What is wrong with it or cannot be read, with file, line and column.
pub(crate) fn gather(path: &Path, name: &str) -> Result<Bundle, GatherError> {
    let origin = path.display().to_string();
    let failed =
        |what: &str, error: std::io::Error| GatherError::new(format!("{origin}: {what}: {error}"));
    let text = std::fs::read_to_string(path)
        .map_err(|error| failed("the description cannot be read", error))?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .canonicalize()
        .map_err(|error| failed("its folder cannot be found", error))?;
    let document = Document::new(&text, &origin);
    let written = read(&document)?;
    let mut faults = unlisted(&folder, &written);
    let mut files = BTreeMap::new();
    for file in &written.files {
        match read_file(&folder.join(&file.value)) {
            Ok(content) => {
                files.insert(file.value.clone(), content);
            }
            Err(why) => faults.push(Fault::new(
                file.place.clone(),
                format!("the file `{}` cannot be taken: {why}", file.value),
            )),
        }
    }
    if !faults.is_empty() {
        return Err(document.error(&faults));
    }
    Ok(Bundle {
        kind: BundleKind::Process,
        name: name.to_owned(),
        description: text,
        origin,
        folder: folder.display().to_string(),
        files,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    if metadata.len() > LARGEST_FILE {
        return Err(format!(
            "it has {} bytes, and at most {LARGEST_FILE} are copied; read large data by its \
             absolute path instead",
            metadata.len()
        ));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

/// Words of the command that are files beside the description, and are not among `files`: the
/// process would not find them.
fn unlisted(folder: &Path, written: &Written) -> Vec<Fault> {
    written
        .command
        .iter()
        .filter(|word| path_fault(word).is_none())
        .filter(|word| folder.join(&word.value).is_file())
        .filter(|word| !written.files.iter().any(|file| file.value == word.value))
        .map(|word| {
            Fault::new(
                word.place.clone(),
                format!("`{}` is not among the files", word.value),
            )
            .label("add it to `files`: only those are copied to where the process runs")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        ProcessDescription::parse(text, "x.process.ron")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_description_is_read() {
        let text = r#"(
            doc: "Attention", command: ["{python}", "-u", "a.py"], files: ["a.py", "sub/b.py"],
            env: {"THREADS": "1"},
        )"#;
        let description = ProcessDescription::parse(text, "x").unwrap();
        assert_eq!(description.command, ["{python}", "-u", "a.py"]);
        assert_eq!(description.files, ["a.py", "sub/b.py"]);
        assert_eq!(
            description.env.get("THREADS").map(String::as_str),
            Some("1")
        );
    }

    #[test]
    fn all_that_is_wrong_is_shown_at_its_place() {
        let text = concat!(
            "(\n  command: [\"{pyhton}\", \"a.py\"],\n  files: [\"../a.py\", \"b\", \"b\"],\n",
            "  env: {\"EVO_SOCKET\": \"4\", \"A=B\": \"1\"},\n)"
        );
        insta::assert_snapshot!(error(text), @r#"
        there is no placeholder `{pyhton}`
          --> x.process.ron:2:14
          |
        2 |   command: ["{pyhton}", "a.py"],
          |              ^^^^^^^^ there is `{python}`: $EVO_PYTHON, or python3

        a file must lie in the folder of the description, or below it
          --> x.process.ron:3:11
          |
        3 |   files: ["../a.py", "b", "b"],
          |           ^^^^^^^^^ a relative path without `.` and `..`

        this file is named twice
          --> x.process.ron:3:27
          |
        3 |   files: ["../a.py", "b", "b"],
          |                           ^^^

        this variable is set by the framework
          --> x.process.ron:4:9
          |
        4 |   env: {"EVO_SOCKET": "4", "A=B": "1"},
          |         ^^^^^^^^^^^^

        this is no name of an environment variable
          --> x.process.ron:4:28
          |
        4 |   env: {"EVO_SOCKET": "4", "A=B": "1"},
          |                            ^^^^^
        "#);
        insta::assert_snapshot!(error("(command: [], files: [])"), @r#"
        the command is empty
          --> x.process.ron:1:2
          |
        1 | (command: [], files: [])
          |  ^^^^^^^ such as ["{python}", "candidate.py"]
        "#);
        insta::assert_snapshot!(error("(comand: [\"x\"])"), @r#"
        there is no field `comand` here
          --> x.process.ron:1:2
          |
        1 | (comand: ["x"])
          |  ^^^^^^ did you mean `command`?
        "#);
    }

    #[test]
    fn files_are_gathered_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.process.ron");
        let gathered = |text: &str| {
            fs::write(&path, text).unwrap();
            gather(&path, "x")
        };
        fs::write(folder.path().join("a.py"), "print(1)").unwrap();
        let bundle = gathered(r#"(command: ["{python}", "a.py"], files: ["a.py"])"#).unwrap();
        assert_eq!(
            bundle.files.get("a.py").map(Vec::as_slice),
            Some(b"print(1)".as_slice())
        );
        assert_eq!(
            bundle.folder,
            folder.path().canonicalize().unwrap().display().to_string()
        );

        let error = gathered(r#"(command: ["{python}", "a.py"])"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("`a.py` is not among the files"), "{error}");
        let error = gathered(r#"(command: ["x"], files: ["b.py"])"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`b.py` cannot be taken") && error.contains(":1:26"),
            "{error}"
        );
        fs::create_dir(folder.path().join("sub")).unwrap();
        let error = gathered(r#"(command: ["x"], files: ["sub"])"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("no regular file"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = ProcessDescription::parse(&text, "x");
        }

        #[test]
        fn any_words_are_read_or_refused(words in prop::collection::vec(".{0,12}", 0..4)) {
            let text = format!("(command: {words:?}, files: {words:?})");
            let _ = ProcessDescription::parse(&text, "x");
        }
    }
}
