//! `evo plugin new`: a folder with a plugin that builds, passes its check and runs a search.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use evo_run::RunError;

use crate::args::{Language, PluginNew};
use crate::command::{print, shown};
use crate::failure::Failure;

/// Makes the folder and says what to do in it.
pub(super) fn new(args: &PluginNew) -> Result<ExitCode, Failure> {
    check_name(&args.name)?;
    let folder = args.folder.join(&args.name);
    if folder.symlink_metadata().is_ok() {
        return Err(
            RunError::input(format!("{}: this exists already", shown(&folder)))
                .hint("choose another name, or another place with --folder")
                .into(),
        );
    }
    let framework = match args.lang {
        Language::Rust => Some(framework(args.framework.as_deref())?),
        _ if args.framework.is_some() => {
            return Err(RunError::input("--framework is for Rust plugins only").into());
        }
        _ => None,
    };
    let files = files(args.lang, &args.name, framework.as_deref())?;
    write(&folder, &files).map_err(|error| {
        RunError::environment(format!("{}: cannot be made: {error}", shown(&folder)))
    })?;
    let mut text = format!("made {}\n", shown(&folder));
    for (path, _) in &files {
        let _ = writeln!(text, "    {path}");
    }
    let _ = writeln!(text, "\nnext:\n    cd {}", shown(&folder));
    for step in steps(args.lang, &args.name) {
        let _ = writeln!(text, "    {step}");
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The name becomes that of files, of a crate and of a kernel.
fn check_name(name: &str) -> Result<(), RunError> {
    let begins = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if begins && name.len() <= 48 && name.chars().all(rest) {
        return Ok(());
    }
    Err(
        RunError::input(format!("`{name}` cannot be the name of a plugin"))
            .hint("a name is a small letter and up to 47 more of the characters a-z 0-9 _ -"),
    )
}

/// The repository with the `evo-plugin` crate, as an absolute path.
fn framework(given: Option<&Path>) -> Result<PathBuf, RunError> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = given.unwrap_or(&built_in);
    let found = folder.join("framework/evo-plugin/Cargo.toml").is_file();
    if !found && given.is_none() {
        return Err(RunError::input(
            "the repository that this program was built in is not here any more",
        )
        .hint("name a clone of it with --framework FOLDER: the plugin depends on a crate in it"));
    }
    if !found {
        return Err(RunError::input(format!(
            "{}: there is no framework/evo-plugin in it",
            folder.display()
        ))
        .hint("--framework names a clone of evo's repository"));
    }
    fs::canonicalize(folder).map_err(|error| {
        RunError::environment(format!("{}: cannot be resolved: {error}", folder.display()))
    })
}

/// What to type in the folder.
fn steps(language: Language, name: &str) -> Vec<String> {
    let library = format!("./target/release/libevo_{}.so", name.replace('-', "_"));
    let (build, file) = match language {
        Language::Rust => (Some("cargo build --release"), library),
        Language::C => (Some("make"), format!("./{name}.so")),
        Language::Cuda | Language::Source => (None, format!("./{name}.kernel.ron")),
        Language::Python => (None, format!("./{name}.process.ron")),
    };
    let mut steps: Vec<String> = build.map(str::to_owned).into_iter().collect();
    steps.push(format!("evo plugin check {file}"));
    steps.push("evo run run.ron".to_owned());
    steps
}

/// A template's files: path and text.
type Files = Vec<(String, String)>;

fn files(language: Language, name: &str, framework: Option<&Path>) -> Result<Files, RunError> {
    macro_rules! template {
        ($path:literal) => {
            include_str!(concat!("../../../templates/", $path))
        };
    }
    let texts: Vec<(&str, &str)> = match language {
        Language::Rust => vec![
            ("Cargo.toml", template!("rust/Cargo.toml.in")),
            ("src/lib.rs", template!("rust/lib.rs.in")),
            (".gitignore", template!("rust/gitignore.in")),
            ("run.ron", template!("rust/run.ron")),
            ("README.md", template!("rust/README.md")),
        ],
        Language::C => vec![
            ("@NAME@.c", template!("c/plugin.c")),
            (
                "evo_plugin.h",
                include_str!("../../../../evo-plugin/include/evo_plugin.h"),
            ),
            ("Makefile", template!("c/Makefile")),
            (".gitignore", template!("c/gitignore.in")),
            ("run.ron", template!("c/run.ron")),
            ("README.md", template!("c/README.md")),
        ],
        Language::Cuda => vec![
            ("@NAME@.kernel.ron", template!("cuda/kernel.ron")),
            ("@NAME@.cu", template!("cuda/kernel.cu")),
            ("run.ron", template!("cuda/run.ron")),
            ("README.md", template!("cuda/README.md")),
        ],
        Language::Source => vec![
            ("@NAME@.kernel.ron", template!("source/kernel.ron")),
            ("@NAME@.c", template!("source/kernel.c")),
            ("run.ron", template!("source/run.ron")),
            ("README.md", template!("source/README.md")),
        ],
        Language::Python => vec![
            ("@NAME@.process.ron", template!("python/process.ron")),
            ("@NAME@.py", template!("python/plugin.py")),
            ("run.ron", template!("python/run.ron")),
            ("README.md", template!("python/README.md")),
        ],
    };
    let place = framework.map(|folder| folder.display().to_string());
    let place = place.unwrap_or_default();
    let fill = |text: &str| {
        text.replace("@NAME@", name)
            .replace("@IDENT@", &name.replace('-', "_"))
            .replace("@CLASS@", &class(name))
            .replace("@FRAMEWORK@", &place)
    };
    let mut files: Files = texts
        .into_iter()
        .map(|(path, text)| (fill(path), fill(text)))
        .collect();
    if let Some(folder) = framework {
        // The very versions that the program was built with; cargo drops what is not needed.
        let lock = folder.join("Cargo.lock");
        let text = fs::read_to_string(&lock).map_err(|error| {
            RunError::environment(format!("{}: cannot be read: {error}", lock.display()))
        })?;
        files.push(("Cargo.lock".to_owned(), text));
    }
    Ok(files)
}

/// `row-sum` as the name of a class: `RowSum`.
fn class(name: &str) -> String {
    name.split(['-', '_'])
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

fn write(folder: &Path, files: &Files) -> std::io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    // Fails where somebody was faster, so that nothing is ever overwritten.
    fs::create_dir(folder)?;
    for (path, text) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Language; 5] = [
        Language::Rust,
        Language::C,
        Language::Cuda,
        Language::Source,
        Language::Python,
    ];

    #[test]
    fn names_that_make_trouble_are_refused() {
        assert!(check_name("row-sum_2").is_ok());
        for bad in [
            "",
            "2x",
            "-x",
            "a/b",
            "..",
            "a b",
            "Ä",
            "X",
            &"x".repeat(49),
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(class("row-sum_2"), "RowSum2");
    }

    #[test]
    fn every_template_is_filled_in_and_names_its_own_files() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for language in ALL {
            let framework = (language == Language::Rust).then_some(root.as_path());
            let files = files(language, "row-sum", framework).unwrap();
            for (path, text) in files.iter().filter(|(path, _)| path != "evo_plugin.h") {
                for mark in ["@NAME@", "@IDENT@", "@CLASS@", "@FRAMEWORK@"] {
                    assert!(
                        !path.contains(mark) && !text.contains(mark),
                        "{path}: {mark}"
                    );
                }
            }
            let readme = files.iter().find(|(path, _)| path == "README.md").unwrap();
            for step in steps(language, "row-sum") {
                assert!(
                    readme.1.contains(&step),
                    "{language:?}: `{step}` is not in its README"
                );
            }
        }
    }

    #[test]
    fn a_framework_that_is_none_is_refused() {
        let error = framework(Some(Path::new("/nowhere")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no framework/evo-plugin"), "{error}");
        assert!(framework(None).is_ok());
    }
}
