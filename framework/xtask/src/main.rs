//! `cargo evo ARGS`: builds the program and every plugin library, then runs `evo ARGS`.
//!
//! A plain `cargo run` builds the program alone, and a dynamic plugin is a library that nothing
//! links to, so it would be missing. This task knows which packages are plugins (the folders of
//! `plugins/` and `tests/plugins/`), builds them together with the program, and puts the libraries
//! where the program looks for them: `<target>/<profile>/plugins/<folder>.so`. A plugin that is no
//! library, but a description with its files, is copied to `<target>/<profile>/plugins/<folder>/`.
//!
//! `cargo xtask build` and `cargo xtask build --dev` only build. The latter is what the end-to-end
//! tests call; it adds the test plugins (`<target>/debug/test-plugins/`) and those of the examples
//! (`<target>/debug/example-plugins/`).

#![forbid(unsafe_code)]

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = if args.first().is_some_and(|arg| arg == "--task") {
        args.remove(0);
        task(&args)
    } else {
        evo(&args)
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error}");
        ExitCode::FAILURE
    })
}

fn task(args: &[OsString]) -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    match words.as_slice() {
        ["build"] => build(Profile::Release).map(|_| ExitCode::SUCCESS),
        ["build", "--dev"] => build(Profile::Dev).map(|_| ExitCode::SUCCESS),
        _ => Err("usage: cargo xtask build [--dev]".into()),
    }
}

/// Builds in release mode and becomes `evo`.
fn evo(args: &[OsString]) -> Result<ExitCode, Box<dyn Error>> {
    let folder = build(Profile::Release)?;
    let program = folder.join("evo");
    // The program takes this process's place, so that signals and the terminal are its own.
    let error = std::os::unix::process::CommandExt::exec(Command::new(&program).args(args));
    Err(format!("{}: cannot be run: {error}", program.display()).into())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Dev,
    Release,
}

/// Builds the program and the plugins and returns the folder with the program.
fn build(profile: Profile) -> Result<PathBuf, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let mut plugins = vec![("plugins", packages(&root.join("plugins"))?)];
    if profile == Profile::Dev {
        plugins.push(("test-plugins", packages(&root.join("tests/plugins"))?));
        plugins.push(("example-plugins", packages(&root.join("examples"))?));
    }
    let mut cargo = Command::new(cargo());
    cargo
        .current_dir(&root)
        .args(["build", "--quiet", "--package", "evo-cli"]);
    for (_, packages) in &plugins {
        for package in packages {
            cargo.args(["--package", &package.name]);
        }
    }
    if profile == Profile::Release {
        cargo.arg("--release");
        eprintln!("building evo and its plugins (the first time takes a few minutes) ...");
    }
    if !cargo.status()?.success() {
        return Err("the build failed".into());
    }
    let folder = target(&root)?.join(if profile == Profile::Release {
        "release"
    } else {
        "debug"
    });
    for (place, packages) in &plugins {
        let place = folder.join(place);
        fs::create_dir_all(&place)?;
        for package in packages {
            let library = folder.join(format!("lib{}.so", package.name.replace('-', "_")));
            install(&library, &place.join(format!("{}.so", package.folder)))?;
        }
    }
    for described in described(&root.join("plugins"))? {
        let name = described.file_name().unwrap_or_default();
        install_folder(&described, &folder.join("plugins").join(name))?;
    }
    Ok(folder)
}

/// The folders with plugins that are no library but have a description of the folder's name.
fn described(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let is_described = ["kernel", "process"]
            .iter()
            .any(|kind| path.join(format!("{name}.{kind}.ron")).is_file());
        if is_described {
            found.push(path);
        }
    }
    Ok(found)
}

/// Copies the files of a folder; what an interpreter left there stays behind.
fn install_folder(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        if path.is_file() {
            install(&path, &to.join(name))?;
        } else if path.is_dir() && name != "__pycache__" {
            install_folder(&path, &to.join(name))?;
        }
    }
    Ok(())
}

/// A plugin's package: its folder's name is the plugin's name.
struct Package {
    folder: String,
    name: String,
}

fn packages(folder: &Path) -> Result<Vec<Package>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Ok(manifest) = fs::read_to_string(path.join("Cargo.toml")) else {
            continue;
        };
        if !manifest.contains("cdylib") {
            continue;
        }
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
            .ok_or_else(|| format!("{}: the package has no name", path.display()))?;
        let folder = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        found.push(Package {
            folder,
            name: name.to_owned(),
        });
    }
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(found)
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn target(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(cargo())
        .current_dir(root)
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let found = text
        .split("\"target_directory\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    Ok(found.ok_or("cargo metadata names no target folder")?.into())
}

/// Copies beside the target and renames, so that a program that has the old library loaded keeps
/// it; leaves an equal file alone.
fn install(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let content = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let beside = to.with_extension(format!("new-{}", std::process::id()));
    fs::write(&beside, content)?;
    fs::rename(&beside, to)?;
    Ok(())
}
