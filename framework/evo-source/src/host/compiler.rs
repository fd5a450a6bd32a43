//! The system's compiler: found, driven, and its builds kept.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use evo_bundle::source::Language;
use evo_types::ContentHash;

use super::scratch;
use super::shim::Shim;

/// Builds that are kept: a candidate is often the same code for all shapes.
const KEPT: usize = 32;
/// Of the compiler's text so many bytes are kept.
const LONGEST_LOG: usize = 64 << 10;

/// A compiler with the arguments that its variable gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    words: Vec<OsString>,
    language: Language,
}

impl Toolchain {
    /// The compiler of a language: `EVO_CC`, `CC` or `cc`; `EVO_CXX`, `CXX` or `c++`.
    ///
    /// # Errors
    /// Where there is none, with what to install.
    pub(crate) fn of(language: Language) -> Result<Self, String> {
        let (variables, usual) = match language {
            Language::C => (["EVO_CC", "CC"], "cc"),
            _ => (["EVO_CXX", "CXX"], "c++"),
        };
        let given = variables.iter().find_map(|name| {
            let value = std::env::var(name).ok()?;
            let words: Vec<OsString> = value.split_whitespace().map(OsString::from).collect();
            (!words.is_empty()).then_some((*name, words))
        });
        let (origin, words) = given.unwrap_or((usual, vec![OsString::from(usual)]));
        let program = words.first().cloned().unwrap_or_default();
        if !found(&program) {
            return Err(missing(language, origin, &program.to_string_lossy()));
        }
        Ok(Self { words, language })
    }
}

impl Toolchain {
    /// What the compiler says of its version, in one line.
    pub(crate) fn version(&self) -> Result<String, String> {
        let (program, rest) = self
            .words
            .split_first()
            .ok_or_else(|| "no compiler is named".to_owned())?;
        let output = Command::new(program).args(rest).arg("--version").output();
        let output = output
            .map_err(|error| format!("`{}` cannot be run: {error}", program.to_string_lossy()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let first = text.lines().next().unwrap_or_default();
        Ok(format!("{}: {first}", program.to_string_lossy()))
    }
}

fn missing(language: Language, origin: &str, program: &str) -> String {
    let (what, variable, package) = match language {
        Language::C => ("C", "EVO_CC", "`apt install gcc`, `dnf install gcc`"),
        _ => ("C++", "EVO_CXX", "`apt install g++`, `dnf install gcc-c++`"),
    };
    let looked = if origin == program {
        format!("`{program}` is not on the PATH")
    } else {
        format!("{origin} names `{program}`, which is not there")
    };
    format!(
        "there is no {what} compiler: {looked}; install one ({package}) or set {variable} to it"
    )
}

/// Whether a program is a file, or on the path.
fn found(program: &OsString) -> bool {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return path.is_file();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(path).is_file())
}

/// What to compile.
pub(crate) struct Unit<'a> {
    pub(crate) files: &'a BTreeMap<String, Vec<u8>>,
    pub(crate) shim: &'a Shim,
    /// Sources that the shim does not include.
    pub(crate) more_sources: Vec<String>,
    pub(crate) macros: &'a [String],
    pub(crate) flags: &'a [String],
}

/// A compiled library.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) bytes: Vec<u8>,
    /// Warnings.
    pub(crate) log: String,
}

/// Why there is no library.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The first error.
    pub(crate) message: String,
    /// The command, for people.
    pub(crate) command: String,
    /// All that the compiler said.
    pub(crate) log: String,
}

type Builds = VecDeque<(ContentHash, Arc<Built>)>;

/// The builds that are kept, the one that was wanted last at the end.
static BUILDS: Mutex<Builds> = Mutex::new(VecDeque::new());

/// Compiles, or hands back what was compiled from the same text before.
///
/// # Errors
/// What the compiler said.
pub(crate) fn compile(toolchain: &Toolchain, unit: &Unit<'_>) -> Result<Arc<Built>, Failure> {
    let arguments = arguments(unit);
    let key = key(toolchain, unit, &arguments);
    let builds = || BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(built) = take(&mut builds(), &key) {
        return Ok(built);
    }
    let built = Arc::new(run(toolchain, unit, &arguments)?);
    let mut builds = builds();
    if builds.len() >= KEPT {
        builds.pop_front();
    }
    builds.push_back((key, Arc::clone(&built)));
    Ok(built)
}

/// A build that is kept; it becomes the one that is dropped last.
fn take(builds: &mut Builds, key: &ContentHash) -> Option<Arc<Built>> {
    let place = builds.iter().position(|(own, _)| own == key)?;
    let kept = builds.remove(place)?;
    let built = Arc::clone(&kept.1);
    builds.push_back(kept);
    Some(built)
}

fn key(toolchain: &Toolchain, unit: &Unit<'_>, arguments: &[String]) -> ContentHash {
    let mut parts: Vec<&[u8]> = Vec::new();
    parts.extend(toolchain.words.iter().map(|word| word.as_encoded_bytes()));
    parts.push(unit.shim.text.as_bytes());
    parts.extend(arguments.iter().map(String::as_bytes));
    for (path, content) in unit.files {
        parts.extend([path.as_bytes(), content.as_slice()]);
    }
    ContentHash::of_parts(&parts)
}

const LIBRARY: &str = "kernel.so";

fn shim_name(language: Language) -> &'static str {
    match language {
        Language::C => "evo_call.c",
        _ => "evo_call.cpp",
    }
}

/// The arguments without the place, which differs from build to build.
fn arguments(unit: &Unit<'_>) -> Vec<String> {
    // Nothing that differs between two builds of one text may get into the library; names are
    // stripped, so that equal code is equal bytes.
    const OURS: [&str; 8] = [
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
        "-frandom-seed=evo",
        "-Wl,-Bsymbolic",
        "-Wl,--build-id=none",
        "-Wl,-z,defs",
        "-s",
    ];
    let (libraries, flags): (Vec<&String>, Vec<&String>) =
        unit.flags.iter().partition(|flag| flag.starts_with("-l"));
    let mut all: Vec<String> = OURS.map(str::to_owned).to_vec();
    all.extend(flags.into_iter().cloned());
    all.extend(unit.macros.iter().cloned());
    all.push(shim_name(unit.shim.language).to_owned());
    all.extend(unit.more_sources.iter().cloned());
    all.extend(["-o".to_owned(), LIBRARY.to_owned()]);
    // Libraries come after what needs them.
    all.extend(libraries.into_iter().cloned());
    all.push("-lm".to_owned());
    all
}

fn run(toolchain: &Toolchain, unit: &Unit<'_>, arguments: &[String]) -> Result<Built, Failure> {
    let words = toolchain.words.iter().map(|word| word.to_string_lossy());
    let shown: Vec<String> = words
        .map(String::from)
        .chain(arguments.iter().cloned())
        .collect();
    let shown = shown.join(" ");
    let failure = |message: String, log: String| Failure {
        message,
        command: shown.clone(),
        log,
    };
    let plain = |message: String| failure(message, String::new());
    let root = scratch::folder().map_err(plain)?;
    let shim = shim_name(unit.shim.language);
    let files = unit.files.iter();
    let files = files.map(|(path, content)| (path.as_str(), content.as_slice()));
    let files = files.chain([(shim, unit.shim.text.as_bytes())]);
    let base = scratch::write(root.path(), files).map_err(plain)?;
    let Some((program, first)) = toolchain.words.split_first() else {
        return Err(plain("no compiler is named".to_owned()));
    };
    let mut command = Command::new(program);
    command
        .args(first)
        .arg(format!("-ffile-prefix-map={}=.", base.display()))
        .args(arguments)
        .current_dir(&base)
        .env("LC_ALL", "C")
        .env("SOURCE_DATE_EPOCH", "0")
        .env("TMPDIR", root.path())
        .stdin(Stdio::null());
    die_with_parent(&mut command);
    let output = command.output().map_err(|error| {
        let program = program.to_string_lossy();
        plain(format!(
            "the compiler `{program}` cannot be started: {error}"
        ))
    })?;
    let mut log = String::from_utf8_lossy(&output.stderr).into_owned();
    log.push_str(&String::from_utf8_lossy(&output.stdout));
    truncate(&mut log);
    if !output.status.success() {
        let first = first_error(&log);
        let first = first.unwrap_or_else(|| format!("the compiler ended with {}", output.status));
        return Err(failure(first, log));
    }
    let bytes = fs::read(base.join(LIBRARY))
        .map_err(|error| plain(format!("the compiler wrote no library: {error}")))?;
    Ok(Built { bytes, log })
}

/// The compiler stays in the worker's process group, which the host kills as a whole; should only
/// this process die, the kernel kills the compiler.
fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only an async-signal-safe system call is made.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
}

fn truncate(log: &mut String) {
    if log.len() > LONGEST_LOG {
        let mut end = LONGEST_LOG;
        while !log.is_char_boundary(end) {
            end -= 1;
        }
        log.truncate(end);
        log.push_str("\n... (cut off)\n");
    }
}

/// The line that says what is wrong: the compiler's first error, or the linker's.
fn first_error(log: &str) -> Option<String> {
    let tells = |line: &&str| line.contains("error:") || line.contains("undefined reference");
    let line = log
        .lines()
        .find(tells)
        .or_else(|| log.lines().find(|line| !line.trim().is_empty()))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_compiler_is_named_with_what_to_install() {
        assert_eq!(
            missing(Language::C, "cc", "cc"),
            "there is no C compiler: `cc` is not on the PATH; install one (`apt install gcc`, \
             `dnf install gcc`) or set EVO_CC to it"
        );
        assert!(missing(Language::Cpp, "CXX", "clang++-99").contains("CXX names `clang++-99`"));
        assert!(!found(&OsString::from("no-such-compiler-here")));
        assert!(found(&OsString::from("sh")));
    }

    #[test]
    fn the_first_error_is_the_one_to_show() {
        let log = "In file included from evo_call.c:1:\nx.c:3:5: warning: w\nx.c:4:1: error: e\nx.c:9:1: error: f\n";
        assert_eq!(first_error(log).as_deref(), Some("x.c:4:1: error: e"));
        assert_eq!(first_error("\n").as_deref(), None);
        let mut long = "ä".repeat(LONGEST_LOG);
        truncate(&mut long);
        assert!(long.ends_with("(cut off)\n"));
    }
}
