//! The other process: its start, what it prints, and how it ended.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use evo_bundle::{Bundle, ProcessDescription};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::frame::FrameError;
use crate::unpack::Unpacked;

/// The environment variable with the number of the socket's descriptor.
const SOCKET: &str = "EVO_SOCKET";
/// The environment variable with the Python interpreter to use.
const PYTHON: &str = "EVO_PYTHON";
/// Bytes that are kept of what the process printed.
const TAIL_BYTES: usize = 4 << 10;
/// How often an answer that does not come is asked about.
const WATCH: Duration = Duration::from_millis(200);
/// How long an ended process may take to disappear, and its last output to arrive.
const PATIENCE: Duration = Duration::from_millis(500);

/// A running process with its end of the socket.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    pub(crate) channel: UnixStream,
    output: Arc<Output>,
    /// The command, for messages.
    pub(crate) command: String,
    /// Where its files are, and where they came from: messages name the latter.
    folders: (String, String),
    interpreter: String,
}

/// The Python interpreter: `EVO_PYTHON`, or `python3` on the path.
fn interpreter() -> String {
    std::env::var(PYTHON)
        .ok()
        .filter(|python| !python.is_empty())
        .unwrap_or_else(|| "python3".to_owned())
}

/// The Python interpreter that processes are started with, and its numpy, in one line.
///
/// # Errors
/// Where there is none, or it has no numpy, with what to do.
pub fn python() -> Result<String, String> {
    let program = interpreter();
    let script =
        "import sys, numpy; print(sys.version.split()[0], 'with numpy', numpy.__version__)";
    let output = Command::new(&program).args(["-c", script]).output();
    let output = output.map_err(|error| {
        format!("`{program}` cannot be run ({error}); set {PYTHON} to a Python interpreter")
    })?;
    if !output.status.success() {
        return Err(format!(
            "`{program}` has no numpy, which plugins in Python need: `{program} -m pip install \
             numpy`, or set {PYTHON} to an interpreter that has it"
        ));
    }
    let version = String::from_utf8_lossy(&output.stdout);
    Ok(format!("{program}: {}", version.trim()))
}

/// Starts the command of a description among the unpacked files.
///
/// It is killed when the thread that started it ends; it is in this process's group; it has the
/// socket and no other descriptor of ours; what it prints is kept, and passed on.
///
/// # Errors
/// What could not be started, and what to do.
pub(crate) fn start(
    description: &ProcessDescription,
    unpacked: &Unpacked,
    bundle: &Bundle,
) -> Result<Started, String> {
    let failed = |error: std::io::Error| format!("the process cannot be started: {error}");
    let interpreter = interpreter();
    let words: Vec<String> = description
        .command
        .iter()
        .map(|word| word.replace("{python}", &interpreter))
        .collect();
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| "the command is empty".to_owned())?;
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut command = Command::new(program_path(program, &unpacked.files));
    command
        .args(arguments)
        .current_dir(&unpacked.files)
        .envs(&description.env)
        .env(SOCKET, theirs.as_raw_fd().to_string())
        .env("PYTHONPATH", python_path(&unpacked.python, description))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer);
    let socket = theirs.as_raw_fd();
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only system calls are made, without allocation.
    unsafe { command.pre_exec(move || prepare_child(socket, parent)) };
    let child = command.spawn().map_err(|error| {
        let hint = if description
            .command
            .first()
            .is_some_and(|word| word == "{python}")
        {
            format!("; set {PYTHON} to a Python interpreter")
        } else {
            String::new()
        };
        format!("the process `{program}` cannot be started: {error}{hint}")
    })?;
    // The command keeps the ends of the pipe that the child has copies of.
    drop(command);
    let output = Arc::new(Output::default());
    let filled = Arc::clone(&output);
    thread::Builder::new()
        .name("process-output".to_owned())
        .spawn(move || filled.drain(reader))
        .map_err(failed)?;
    Ok(Started {
        child,
        channel: ours,
        output,
        command: words.join(" "),
        folders: (unpacked.files.display().to_string(), bundle.folder.clone()),
        interpreter,
    })
}

/// A program among the unpacked files, or one for the system to find.
fn program_path(program: &str, files: &Path) -> std::path::PathBuf {
    let own = files.join(program);
    if own.is_file() { own } else { program.into() }
}

/// The embedded package first, and then what is asked for or inherited.
fn python_path(package: &Path, description: &ProcessDescription) -> std::ffi::OsString {
    let rest = description
        .env
        .get("PYTHONPATH")
        .map(Into::into)
        .or_else(|| std::env::var_os("PYTHONPATH"))
        .filter(|rest: &std::ffi::OsString| !rest.is_empty());
    let mut path = package.as_os_str().to_owned();
    if let Some(rest) = rest {
        path.push(":");
        path.push(rest);
    }
    path
}

/// Runs in the child before the command takes its place.
fn prepare_child(socket: RawFd, parent: Pid) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(parent) {
        // The parent ended before it could be watched.
        return Err(std::io::ErrorKind::NotConnected.into());
    }
    // Everything from 3 up is closed by exec, the socket alone stays. Systems without the call have
    // only what this process did not mark itself, which is nothing.
    // SAFETY: marks descriptors, and closes none.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3 as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
        );
        if libc::fcntl(socket, libc::F_SETFD, 0) < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

impl Started {
    /// Ends the process if it runs, and says how it had ended if it had: with the last lines that
    /// it printed.
    /// Waits until there is something to read, or the end of the socket. A process that ends while
    /// a child of its own keeps the socket would be waited for in vain.
    pub(crate) fn wait_for_answer(&mut self) -> Result<(), FrameError> {
        loop {
            // Asked first: what it sent before it ended is then still there to be read.
            let ended = !matches!(self.child.try_wait(), Ok(None));
            let mut watched = [PollFd::new(&self.channel, PollFlags::IN)];
            let patience = Timespec {
                tv_sec: 0,
                tv_nsec: WATCH.subsec_nanos().into(),
            };
            match poll(&mut watched, Some(&patience)) {
                Ok(0) if ended => return Err(FrameError::Orphaned),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(FrameError::Io(error.into())),
            }
        }
    }

    pub(crate) fn post_mortem(&mut self) -> PostMortem {
        let ended = self.wait(PATIENCE);
        if ended.is_none() {
            self.kill();
        }
        self.output.wait_for_end(PATIENCE);
        let output = self.with_own_paths(&self.output.text());
        PostMortem {
            how: ended.map(describe),
            hint: self.missing_module(&output),
            output,
        }
    }

    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Names files as the user knows them.
    pub(crate) fn with_own_paths(&self, text: &str) -> String {
        let (unpacked, folder) = &self.folders;
        text.replace(unpacked.as_str(), folder)
    }

    /// What to do about a Python module that is not there.
    fn missing_module(&self, output: &str) -> Option<String> {
        let (_, rest) = output.rsplit_once("ModuleNotFoundError: No module named '")?;
        let (module, _) = rest.split_once('\'')?;
        let package = module.split('.').next().unwrap_or(module);
        let interpreter = &self.interpreter;
        Some(format!(
            "the interpreter `{interpreter}` has no module `{module}`: install it with \
             `{interpreter} -m pip install {package}`, or set {PYTHON} to an interpreter that has it"
        ))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is left of a process.
#[derive(Debug)]
pub(crate) struct PostMortem {
    /// How it had ended, where it was not killed here.
    pub(crate) how: Option<String>,
    /// The last lines that it printed.
    pub(crate) output: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("it was killed by signal {signal}{}", signal_name(signal)),
        (None, Some(code)) => format!("it ended with exit code {code}"),
        (None, None) => "it ended".to_owned(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGILL => " (SIGILL: an instruction that this CPU does not have)",
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGFPE => " (SIGFPE)",
        libc::SIGKILL => " (SIGKILL: perhaps by the system, for lack of memory)",
        libc::SIGSEGV => " (SIGSEGV: access to memory that is not there, or stack overflow)",
        _ => "",
    }
}

/// What a process printed: its last bytes, and whether there will be more.
#[derive(Debug, Default)]
struct Output {
    state: Mutex<(VecDeque<u8>, bool)>,
    ended: Condvar,
}

impl Output {
    /// Reads to the end, keeps the tail, and passes everything on to this process's error output,
    /// where the host sees it.
    fn drain(&self, mut from: impl Read) {
        let mut piece = vec![0; 16 << 10];
        loop {
            let count = match from.read(&mut piece) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            let new = piece.get(..count).unwrap_or_default();
            let _ = std::io::stderr().write_all(new);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.0.extend(new);
            let excess = state.0.len().saturating_sub(TAIL_BYTES);
            state.0.drain(..excess);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = true;
        self.ended.notify_all();
    }

    /// Waits for the last output of an ended process. Its children may keep the pipe open, so not
    /// for long.
    fn wait_for_end(&self, patience: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .ended
            .wait_timeout_while(state, patience, |state| !state.1);
        drop(waited);
    }

    /// The tail from its first whole line, without control characters but line ends and tabs.
    fn text(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = state.0.iter().copied().collect();
        drop(state);
        let text = String::from_utf8_lossy(&bytes);
        let whole = if bytes.len() < TAIL_BYTES {
            &text
        } else {
            text.split_once('\n').map_or(&*text, |(_, rest)| rest)
        };
        whole
            .chars()
            .filter(|c| matches!(c, '\n' | '\t') || !c.is_control())
            .collect::<String>()
            .trim_end()
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_begins_with_a_whole_line_and_has_no_escapes() {
        let output = Output::default();
        let printed: String = (0..2000).map(|n| format!("line {n}\x1b[31m\n")).collect();
        output.drain(printed.as_bytes());
        let text = output.text();
        assert!(
            text.len() <= TAIL_BYTES && text.ends_with("line 1999[31m"),
            "{text}"
        );
        assert!(text.starts_with("line "), "{text}");
        output.wait_for_end(Duration::from_secs(60));
    }
}
