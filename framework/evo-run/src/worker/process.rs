//! One worker process: spawn, channel, end.

use std::ffi::OsString;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use evo_wire::{Envelope, FrameError, Reply, read_frame};
use rustix::process::{Pid, Signal, kill_process_group};

use super::output::Tail;
use super::sweep::{children, strangers, sweep, with_workers};
use crate::{RunError, Stop};

/// How long a killed process may take to disappear.
const REAP: Duration = Duration::from_secs(5);

/// The priority of a process whose work is for later: half-way to the lowest.
const BEHIND: i32 = 10;

/// The variable with which a plugin that is another process is told its socket.
const PLUGIN_SOCKET: &[u8] = b"EVO_SOCKET=";

/// What becomes of what a worker prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prints {
    /// It is drained, and the last part of it kept for messages.
    Kept,
    /// It goes to this program's standard error as it comes: the worker's standard output too, so
    /// that this program's own holds nothing but results.
    PassedOn,
}

impl Prints {
    fn target(self) -> std::io::Result<Stdio> {
        match self {
            Self::Kept => Ok(Stdio::piped()),
            Self::PassedOn => {
                let error = std::io::stderr().as_fd().try_clone_to_owned()?;
                Ok(Stdio::from(error))
            }
        }
    }
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) channel: UnixStream,
    pub(crate) replies: Receiver<Result<Envelope<Reply>, FrameError>>,
    pub(crate) output: Tail,
}

impl Process {
    /// Starts `program worker` with one end of a socket pair as its standard input, in a process
    /// group of its own, and drains what it prints or passes it on. The worker inherits the
    /// environment of this program, by which tools get into it.
    ///
    /// The worker asks the system to be killed when the thread that started it ends, so this is
    /// called from a thread that lives as long as the worker is wanted.
    pub(crate) fn spawn(
        program: &Path,
        environment: &[(OsString, OsString)],
        prints: Prints,
    ) -> Result<Self, RunError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            RunError::environment(format!("cannot start a worker: {what}: {error}"))
        };
        let (ours, theirs) = UnixStream::pair().map_err(|error| failed("socket pair", &error))?;
        let output = || prints.target().map_err(|error| failed("output", &error));
        let mut command = Command::new(program);
        command
            .arg("worker")
            .envs(environment.iter().cloned())
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(output()?)
            .stderr(output()?)
            .process_group(0);
        let spawned = with_workers(|workers| {
            let child = command.spawn()?;
            workers.insert(child.id());
            Ok(child)
        });
        let mut child = spawned
            .map_err(|error: std::io::Error| failed(&program.display().to_string(), &error))?;
        let output = Tail::default();
        if let Some(pipe) = child.stdout.take() {
            output.drain(pipe);
        }
        if let Some(pipe) = child.stderr.take() {
            output.drain(pipe);
        }
        let mut reading = ours.try_clone().map_err(|error| failed("socket", &error))?;
        let (sender, replies) = mpsc::channel();
        thread::spawn(move || {
            loop {
                let frame = read_frame(&mut reading);
                let ended = frame.is_err();
                if sender.send(frame).is_err() || ended {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            channel: ours,
            replies,
            output,
        })
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets everything else go first: what this process does is for later.
    pub(crate) fn yield_to_others(&self) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // One that may not be slowed down works all the same.
            let _ = rustix::process::setpriority_process(Some(pid), BEHIND);
        }
    }

    /// Bytes of resident memory of the worker and of what it started, where the system tells.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let own = resident_bytes(self.pid())?;
        let started = children(&self.pid().to_string());
        Some(
            started
                .into_iter()
                .filter_map(resident_bytes)
                .fold(own, u64::saturating_add),
        )
    }

    /// How many processes a plugin has left running: children of the worker, and those that were
    /// handed to this process because their parent ended.
    pub(crate) fn leaked(&self, known: &[u32]) -> usize {
        let started = children(&self.pid().to_string());
        let left = started.into_iter().filter(|pid| !is_plugin(*pid));
        left.count() + strangers(known).len()
    }

    /// Waits a moment for the process to end by itself, for its exit status.
    fn ended_by_itself(&mut self, patience: Duration, stop: &Stop) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline && !stop.requested() => {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Closes the channel, after which a worker ends by itself, and waits for that as long as the
    /// user does not ask to stop; then as [`end`](Self::end).
    pub(crate) fn dismiss(mut self, patience: Duration, stop: &Stop, known: &[u32]) -> Ended {
        // The thread that reads the replies has the channel as well, so dropping it closes nothing.
        let _ = self.channel.shutdown(Shutdown::Both);
        let by_itself = self.ended_by_itself(patience, stop);
        self.kill(by_itself, known)
    }

    /// Kills the process group, reaps the process, and sweeps what escaped the group. Says how
    /// the process had ended, if it had, and whether it could be reaped at all. Children of this
    /// process that are known are left alone.
    pub(crate) fn end(mut self, patience: Duration, known: &[u32]) -> Ended {
        let by_itself = self.ended_by_itself(patience, &Stop::default());
        self.kill(by_itself, known)
    }

    fn kill(mut self, by_itself: Option<ExitStatus>, known: &[u32]) -> Ended {
        let output = self.output.text();
        if let Some(group) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let reaped = by_itself.is_some() || self.ended_by_itself(REAP, &Stop::default()).is_some();
        let pid = self.pid();
        with_workers(|workers| workers.remove(&pid));
        sweep(known);
        Ended {
            by_itself,
            output,
            reaped,
        }
    }
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}

/// Whether a child of a worker is a plugin that is another process, and so meant to be there: it
/// was started with the socket of its protocol.
fn is_plugin(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable.starts_with(PLUGIN_SOCKET))
    })
}

/// How a worker ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// With which status, where it ended before it was killed.
    by_itself: Option<ExitStatus>,
    /// The last lines that it printed.
    pub(crate) output: String,
    /// Whether it is gone.
    pub(crate) reaped: bool,
}

impl Ended {
    /// How it ended in the middle of its work, in words, where it ended before it was killed.
    pub(crate) fn how(&self) -> Option<String> {
        self.by_itself.map(|status| match status.code() {
            Some(code) => {
                format!("the process ended with exit code {code} in the middle of its work")
            }
            None => by_signal(status),
        })
    }

    /// What was wrong with the end of a worker that was asked to end, and given so long; `None` where
    /// it was well.
    pub(crate) fn bad_end(&self, patience: Duration) -> Option<String> {
        match self.by_itself {
            Some(status) if status.success() => None,
            Some(status) => Some(match status.code() {
                Some(code) => format!("the worker ended with exit code {code} after its work"),
                None => format!("the worker was {} after its work", by_signal(status)),
            }),
            None => Some(format!(
                "the worker did not end by itself within {} s, and was killed",
                patience.as_secs()
            )),
        }
    }
}

fn by_signal(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("killed by signal {signal}{}", signal_name(signal)),
        None => "the process ended".to_owned(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL: an instruction that this CPU does not have)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL: perhaps by the system, for lack of memory)",
        11 => " (SIGSEGV: access to memory that is not there, or stack overflow)",
        25 => " (SIGXFSZ: a file grew too large)",
        _ => "",
    }
}
