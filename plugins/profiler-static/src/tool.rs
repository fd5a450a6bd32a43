//! Disassemblers: which one an artifact needs, where it is, and running it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use evo_plugin::Error;
use tempfile::NamedTempFile;

/// Machine code that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// A cubin.
    Sass,
    /// A library for x86-64.
    X86,
}

/// What the bytes of an artifact are; `None` for anything else than an ELF file that is known here.
pub(crate) fn code(bytes: &[u8]) -> Option<Code> {
    let machine = bytes
        .get(18..20)
        .filter(|_| bytes.starts_with(b"\x7fELF"))?;
    match machine {
        [190, 0] => Some(Code::Sass),
        [62, 0] => Some(Code::X86),
        _ => None,
    }
}

impl Code {
    /// The variable that names the program, the program, and where else it is looked for.
    fn names(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Sass => ("EVO_NVDISASM", "nvdisasm", &["/usr/local/cuda/bin"]),
            Self::X86 => ("EVO_OBJDUMP", "objdump", &[]),
        }
    }

    /// The program; `None` where there is none.
    pub(crate) fn program(self) -> Option<PathBuf> {
        let (variable, name, more) = self.names();
        let given = std::env::var_os(variable).filter(|given| !given.is_empty());
        if let Some(given) = given {
            return Some(given.into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).chain(more.iter().map(PathBuf::from));
        places
            .map(|place| place.join(name))
            .find(|program| program.is_file())
    }

    /// The listing of an artifact.
    ///
    /// # Errors
    /// What the program said.
    pub(crate) fn list(self, program: &PathBuf, bytes: &[u8]) -> Result<String, Error> {
        let failed = |error: std::io::Error| Error::Failed(error.to_string());
        let mut file = NamedTempFile::new().map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        let options: &[&str] = match self {
            Self::Sass => &["-c"],
            Self::X86 => &["-d", "--no-show-raw-insn"],
        };
        let ended = Command::new(program)
            .args(options)
            .arg(file.path())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::Failed(format!("{}: {error}", program.display())))?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        let said = said
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        Err(Error::Failed(format!(
            "{}: {} ({said})",
            program.display(),
            ended.status
        )))
    }
}
