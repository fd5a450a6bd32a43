//! The harness of the end-to-end tests: the real program, real plugins, folders of their own.
//!
//! The program and the plugins are built on first use, so a plain `cargo test` is enough.

// A harness may fail loudly: its panics are test failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use evo_journal::{Evaluated, Proposed, Record};
use evo_types::Outcome;

/// The folder with the program, built once for each test binary.
fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let root = root();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .current_dir(&root)
            .args([
                "run",
                "--quiet",
                "--package",
                "xtask",
                "--",
                "--task",
                "build",
                "--dev",
            ])
            .status()
            .expect("cargo can be run");
        assert!(
            status.success(),
            "the program and its plugins cannot be built"
        );
        // <target>/<profile>/deps/<this test>: the program is in <target>/debug.
        let this = std::env::current_exe().expect("a test has a file");
        let target = this
            .ancestors()
            .nth(3)
            .expect("a test is in the target folder");
        target.join("debug")
    })
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository is there")
}

/// A folder of a test's own, with the program.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// An empty folder.
    pub fn new() -> Self {
        built();
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("the folder can be written");
        path
    }

    /// `evo` with arguments, to be run in the folder; locks and store are the test's own, so that
    /// tests run side by side.
    pub fn evo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(built().join("evo"));
        command
            .args(args)
            .current_dir(self.path())
            .env("EVO_PLUGIN_PATH", built().join("test-plugins"))
            .env("EVO_LOCK_DIR", self.path())
            .env("EVO_CACHE_DIR", self.path().join("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs `evo` to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::from(self.evo(args).output().expect("evo can be run"))
    }

    /// Starts `evo` and lets it run.
    pub fn start(&self, args: &[&str]) -> Child {
        self.evo(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("evo can be started")
    }

    /// The path of a test plugin's library.
    pub fn test_plugin(&self, name: &str) -> PathBuf {
        built().join("test-plugins").join(format!("{name}.so"))
    }

    /// The path of the library of an example that is a Rust package.
    pub fn example_plugin(&self, folder: &str) -> PathBuf {
        built().join("example-plugins").join(format!("{folder}.so"))
    }

    /// The records of a run in this folder.
    pub fn records(&self, run: &str) -> Vec<Record> {
        let path = self.path().join(run).join("journal.jsonl");
        evo_journal::read(&path)
            .expect("the journal can be read")
            .records
    }

    /// The proposals of a run.
    pub fn proposals(&self, run: &str) -> Vec<Proposed> {
        self.records(run)
            .into_iter()
            .filter_map(|record| match record {
                Record::Proposed(proposed) => Some(proposed),
                _ => None,
            })
            .collect()
    }

    /// The outcomes of a run, in order.
    pub fn evaluated(&self, run: &str) -> Vec<Evaluated> {
        self.records(run)
            .into_iter()
            .filter_map(|record| match record {
                Record::Evaluated(evaluated) => Some(*evaluated),
                _ => None,
            })
            .collect()
    }

    /// The outcome of the trial with a parameter at a value.
    pub fn outcome_with(&self, run: &str, param: &str, value: &str) -> Option<Outcome> {
        let trial = self.proposals(run).into_iter().find_map(|proposed| {
            (proposed.params.get(param)?.to_string() == value).then_some(proposed.trial)
        })?;
        let evaluated = self.evaluated(run).into_iter().find(|e| e.trial == trial)?;
        Some(evaluated.outcome)
    }
}

/// A finished program: exit code and texts.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Asserts an exit code and that standard error has every one of these texts.
    #[track_caller]
    pub fn fails(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "`{text}` is missing in:\n{}",
                self.stderr
            );
        }
        self
    }
}
