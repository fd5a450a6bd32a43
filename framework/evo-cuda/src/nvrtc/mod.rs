//! CUDA C++ to machine code, by NVRTC.

mod cache;
mod find;
mod library;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cache::Cache;
use find::{LIBRARIES, Search};
use library::{COMPILATION, Code, Functions, INVALID_OPTION, Program};

use crate::cubin::{self, CubinError, KernelFigures};

/// A header that the source may include by name, without a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What stands between the quotes of `#include`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// What to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileRequest {
    /// What messages call the source, such as `saxpy.cu`.
    pub name: String,
    /// The CUDA C++ text.
    pub source: String,
    /// Headers that come along.
    pub headers: Vec<Header>,
    /// The real architecture, such as `sm_90a`; see [`arch_of`](crate::arch_of).
    pub arch: String,
    /// Further options of NVRTC, such as `--std=c++17`, `-DTILE=64`, `--use_fast_math`,
    /// `--maxrregcount=64`.
    pub options: Vec<String>,
    /// Expressions whose symbols are asked for, such as `scale<4, float>`; instantiates templates.
    pub name_expressions: Vec<String>,
}

/// A compiled source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The machine code: an ELF file that the driver loads. The same input gives the same bytes.
    pub cubin: Vec<u8>,
    /// What the compiler and the assembler said: warnings, and the resources of each kernel.
    pub log: String,
    /// The symbol of each name expression, in the order of the request.
    pub lowered_names: Vec<String>,
}

impl Compiled {
    /// What each kernel needs, with the spills that the log tells.
    ///
    /// # Errors
    /// Where the machine code is not of a known form.
    pub fn kernels(&self) -> Result<Vec<KernelFigures>, CubinError> {
        cubin::kernels(&self.cubin, &self.log)
    }
}

/// Why nothing was compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NvrtcError {
    /// The library is not there.
    #[error("{}", not_found(.looked, .given.as_deref()))]
    NotFound {
        /// `EVO_NVRTC`, where it was set: then no other place is looked at.
        given: Option<PathBuf>,
        /// The folders that were looked at.
        looked: Vec<PathBuf>,
    },
    /// The library is there and cannot be used.
    #[error("NVRTC at {} cannot be used: {cause}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        cause: String,
    },
    /// The source does not compile.
    #[error("{message}")]
    Compile {
        /// The first error, with its line.
        message: String,
        /// All that the compiler said.
        log: String,
    },
    /// The request cannot be handed to the compiler.
    #[error("{0}")]
    Request(String),
    /// Anything else.
    #[error("NVRTC failed in {call}: {text}")]
    Failed {
        /// The step.
        call: &'static str,
        /// NVRTC's text.
        text: String,
    },
}

fn not_found(looked: &[PathBuf], given: Option<&Path>) -> String {
    let mut text = match given {
        Some(given) => format!(
            "EVO_NVRTC is {}, and there is no {} in it",
            given.display(),
            LIBRARIES.join(" or ")
        ),
        None => format!(
            "NVRTC, the library that compiles CUDA sources, was not found ({})",
            LIBRARIES.join(" or ")
        ),
    };
    text.push_str(
        "; install it with `pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-cccl` \
         in a virtual environment that is active, or set EVO_NVRTC to its file or folder.\n\
         It was looked for in:",
    );
    // Of the many places where it could be, those that exist tell which mistake was made.
    let (there, absent): (Vec<_>, Vec<_>) = looked.iter().partition(|folder| folder.is_dir());
    for folder in &there {
        text.push_str(&format!("\n  {}", folder.display()));
    }
    text.push_str(&format!(
        "\n  and {} folders of CUDA toolkits and Python environments that do not exist",
        absent.len()
    ));
    text
}

/// NVRTC, found and opened.
pub struct Nvrtc {
    functions: Functions,
    version: (i32, i32),
    path: PathBuf,
    includes: Vec<PathBuf>,
    identity: OnceLock<Vec<String>>,
}

impl std::fmt::Debug for Nvrtc {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Nvrtc")
            .field("version", &self.version)
            .field("path", &self.path)
            .field("includes", &self.includes)
            .finish_non_exhaustive()
    }
}

/// Compiles with the NVRTC of this machine. May be called from any number of threads.
///
/// Where the environment names a folder for it (`EVO_ARTIFACTS`, which `evo` sets for its
/// workers), what was compiled before from the same source, headers and options by the same
/// compiler is read from there. A source that reads files by folders of its own (`-I`) is compiled
/// each time.
///
/// # Errors
/// Where there is no NVRTC, or the source does not compile.
pub fn compile(request: &CompileRequest) -> Result<Compiled, NvrtcError> {
    static CACHE: OnceLock<Option<Cache>> = OnceLock::new();
    let nvrtc = Nvrtc::get()?;
    let cache = CACHE.get_or_init(Cache::from_environment).as_ref();
    let options = nvrtc.options(request);
    let Some((cache, key)) = cache.zip(cache::key(request, &options, nvrtc.identity())) else {
        return nvrtc.compile(request);
    };
    if let Some(compiled) = cache.get(&key) {
        return Ok(compiled);
    }
    let compiled = nvrtc.compile(request)?;
    cache.put(&key, &compiled);
    Ok(compiled)
}

impl Nvrtc {
    /// The NVRTC of this machine, looked for once: in `EVO_NVRTC` (a file or a folder; if it is
    /// set, only there), CUDA toolkits (`CUDA_HOME`, `CUDA_PATH`, `/usr/local/cuda*`), the
    /// loader's folders, and the wheels of Python environments (`VIRTUAL_ENV`, `CONDA_PREFIX`,
    /// `python3` on the path, the user's own packages).
    ///
    /// # Errors
    /// Where it is not there or cannot be opened: which places were looked at, and what to do.
    pub fn get() -> Result<&'static Self, NvrtcError> {
        static FOUND: OnceLock<Result<Nvrtc, NvrtcError>> = OnceLock::new();
        FOUND
            .get_or_init(|| Self::find(&Search::from_environment()))
            .as_ref()
            .map_err(Clone::clone)
    }

    fn find(search: &Search) -> Result<Self, NvrtcError> {
        if let Some(path) = search.library() {
            return Self::open(search, &path);
        }
        if search.given.is_none() {
            // The loader knows folders that no variable names.
            for name in LIBRARIES {
                if let Ok(functions) = library::open(Path::new(name)) {
                    let path = library::loaded_from(name).unwrap_or_else(|| name.into());
                    return Self::of(search, functions, path);
                }
            }
        }
        Err(NvrtcError::NotFound {
            given: search.given.clone(),
            looked: search.folders(),
        })
    }

    fn open(search: &Search, path: &Path) -> Result<Self, NvrtcError> {
        // The loader takes a name without a slash for something to search for.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let functions = library::open(&path).map_err(|cause| NvrtcError::Unusable {
            path: path.clone(),
            cause,
        })?;
        Self::of(search, functions, path)
    }

    fn of(search: &Search, functions: Functions, path: PathBuf) -> Result<Self, NvrtcError> {
        let version = functions.version().map_err(|code| NvrtcError::Unusable {
            path: path.clone(),
            cause: functions.describe(code),
        })?;
        let includes = search.includes(&path);
        Ok(Self {
            functions,
            version,
            path,
            includes,
            identity: OnceLock::new(),
        })
    }

    /// What tells this compiler from another one, its toolkit's headers included.
    fn identity(&self) -> &[String] {
        self.identity.get_or_init(|| {
            let folders = self.includes.iter();
            let headers = folders.flat_map(|it| [it.clone(), it.join("cuda_fp16.h")]);
            let files = std::iter::once(self.path.clone()).chain(headers);
            std::iter::once(self.version())
                .chain(files.map(|it| cache::state_of(&it)))
                .collect()
        })
    }

    /// The version, such as `13.0`.
    pub fn version(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }

    /// The file of the library.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folders of the toolkit's headers (`cuda_fp16.h`, `mma.h`, `cuda/std/...`), which every
    /// compilation searches last; empty where none were found.
    pub fn includes(&self) -> &[PathBuf] {
        &self.includes
    }

    /// Compiles to machine code.
    ///
    /// # Errors
    /// Where the source does not compile, with all that the compiler said.
    pub fn compile(&self, request: &CompileRequest) -> Result<Compiled, NvrtcError> {
        let name = text(&request.name, "the name of the source")?;
        let source = text(&request.source, "the source")?;
        let headers = request
            .headers
            .iter()
            .map(|it| {
                Ok((
                    text(&it.name, "a header's name")?,
                    text(&it.text, &it.name)?,
                ))
            })
            .collect::<Result<Vec<_>, NvrtcError>>()?;
        let expressions = texts(&request.name_expressions, "a name expression")?;
        let options = texts(&self.options(request), "an option")?;

        let failed = |call| move |code: Code| self.failed(call, code);
        let program = Program::new(&self.functions, &name, &source, &headers)
            .map_err(failed("nvrtcCreateProgram"))?;
        for expression in &expressions {
            program
                .add_name(expression)
                .map_err(failed("nvrtcAddNameExpression"))?;
        }
        let compiled = program.compile(&options);
        let log = tidy(&program.log().map_err(failed("nvrtcGetProgramLog"))?);
        compiled.map_err(|code| self.refused(code, log.clone()))?;
        let lowered_names = expressions
            .iter()
            .map(|it| program.lowered_name(it))
            .collect::<Result<Vec<_>, Code>>()
            .map_err(failed("nvrtcGetLoweredName"))?;
        let cubin = program.cubin().map_err(failed("nvrtcGetCUBIN"))?;
        if cubin.is_empty() {
            return Err(NvrtcError::Request(format!(
                "NVRTC made no machine code for `{}`: it takes a real architecture such as sm_90a",
                request.arch
            )));
        }
        Ok(Compiled {
            cubin,
            log,
            lowered_names,
        })
    }

    /// The options of a compilation: ours, the request's, and last the toolkit's headers, so that
    /// the request's folders come first.
    fn options(&self, request: &CompileRequest) -> Vec<String> {
        let mut options = vec![format!("--gpu-architecture={}", request.arch)];
        // Resources and spills go into the log, which is where `Compiled::kernels` reads them.
        options.push("--ptxas-options=-v".to_owned());
        if self.version.0 >= 13 {
            // Names of internal variables hold the time and the process's number otherwise, and the
            // same source gives other bytes each time.
            options.push("--frandom-seed=evo".to_owned());
        }
        options.extend(request.options.iter().cloned());
        let folders = self.includes.iter();
        options.extend(folders.map(|folder| format!("--include-path={}", folder.display())));
        options
    }

    fn failed(&self, call: &'static str, code: Code) -> NvrtcError {
        NvrtcError::Failed {
            call,
            text: self.functions.describe(code),
        }
    }

    fn refused(&self, code: Code, mut log: String) -> NvrtcError {
        if code != COMPILATION && code != INVALID_OPTION {
            let text = match log.trim() {
                "" => self.functions.describe(code),
                log => format!("{}: {log}", self.functions.describe(code)),
            };
            return NvrtcError::Failed {
                call: "nvrtcCompileProgram",
                text,
            };
        }
        if log.contains("could not open source file") || log.contains("cannot open source file") {
            log.push_str(&self.header_hint());
        }
        NvrtcError::Compile {
            message: first_error(&log).unwrap_or_else(|| self.functions.describe(code)),
            log,
        }
    }

    fn header_hint(&self) -> String {
        if self.includes.is_empty() {
            return format!(
                "note: no headers of the CUDA toolkit were found near {}; \
                 `pip install nvidia-cuda-runtime nvidia-cuda-cccl nvidia-cuda-crt` brings them\n",
                self.path.display()
            );
        }
        let folders: Vec<_> = self
            .includes
            .iter()
            .map(|it| it.display().to_string())
            .collect();
        format!(
            "note: headers are searched in the request's folders and in {}; headers of the host \
             such as <cuda.h>, <cstdio> or <vector> do not compile under NVRTC\n",
            folders.join(", ")
        )
    }
}

/// The first line that tells an error.
fn first_error(log: &str) -> Option<String> {
    let tells = |line: &&str| line.contains("error") || line.contains("fatal");
    let line = log
        .lines()
        .find(tells)
        .or_else(|| log.lines().find(|line| !line.is_empty()))?;
    // NVRTC compiles the name expressions as the lines of a source of this name.
    let Some((before, rest)) = line.split_once("__nv_name_map(") else {
        return Some(line.trim().to_owned());
    };
    let rest = rest.split_once(')').map_or(rest, |(_, rest)| rest);
    Some(format!("{before}name expressions{rest}"))
}

/// The log without what differs from run to run.
fn tidy(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.contains("Compile time ="));
    lines.fold(String::new(), |mut text, line| {
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

fn text(text: &str, what: &str) -> Result<CString, NvrtcError> {
    CString::new(text)
        .map_err(|_| NvrtcError::Request(format!("{what} has a zero byte, which ends a text in C")))
}

fn texts(all: &[String], what: &str) -> Result<Vec<CString>, NvrtcError> {
    all.iter().map(|it| text(it, what)).collect()
}
