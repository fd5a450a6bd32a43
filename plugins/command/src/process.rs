//! One run of a program: started, watched, and ended with everything that it started.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use evo_plugin::Error;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::program;

/// Bytes of each stream that are kept: the last ones.
const KEPT: usize = 1 << 20;
/// How long is waited for the end of a stream that a process outside the group holds open.
const STRAGGLERS: Duration = Duration::from_millis(200);

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ended: Ended,
    /// From its start to its end.
    pub(crate) seconds: f64,
    /// The last of standard output.
    pub(crate) output: String,
    /// The last of standard error.
    pub(crate) error: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Code(i32),
    Signal(i32),
    TimedOut,
}

/// Runs a command in a folder until it ends or its time is over.
///
/// The program gets a process group of its own. When it has ended, or its time is over, all that
/// is left of the group is killed.
///
/// # Errors
/// `Failed` where it cannot be started.
pub(crate) fn run(words: &[String], folder: &Path, timeout: Duration) -> Result<Finished, Error> {
    let (name, args) = words
        .split_first()
        .ok_or_else(|| Error::Failed("the command has no words".to_owned()))?;
    let began = Instant::now();
    let mut child = Command::new(program::find(name, folder)?)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| {
            Error::Failed(format!("the command cannot be started: {name}: {error}"))
        })?;
    let output = child.stdout.take().map(Tail::follow);
    let error = child.stderr.take().map(Tail::follow);
    let timed_out = watch(&child, timeout);
    let seconds = began.elapsed().as_secs_f64();
    // The process is a zombie, so the number of its group cannot be another's yet.
    kill_group(&child);
    let status = child
        .wait()
        .map_err(|error| Error::Failed(format!("waiting for the command: {error}")))?;
    Ok(Finished {
        ended: match (timed_out?, status.code(), status.signal()) {
            (true, ..) => Ended::TimedOut,
            (false, Some(code), _) => Ended::Code(code),
            (false, None, signal) => Ended::Signal(signal.unwrap_or(0)),
        },
        seconds,
        output: output.map_or_else(String::new, Tail::text),
        error: error.map_or_else(String::new, Tail::text),
    })
}

/// Waits until the process has ended, leaving its status to be asked for; says whether it had to
/// be killed because its time was over.
fn watch(child: &Child, timeout: Duration) -> Result<bool, Error> {
    let pid = pid(child)?;
    thread::scope(|scope| {
        let (ended, waiting) = mpsc::channel::<()>();
        // A thread kills, so that the time is taken from a wait that returns at the end itself.
        let killer = scope.spawn(move || {
            let is_over = waiting.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout);
            if is_over {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            is_over
        });
        let waited = loop {
            match waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other,
            }
        };
        drop(ended);
        let timed_out = killer.join().unwrap_or(false);
        waited
            .map(|_| timed_out)
            .map_err(|error| Error::Failed(format!("waiting for the command: {error}")))
    })
}

fn pid(child: &Child) -> Result<Pid, Error> {
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| Error::Failed("the command has no process number".to_owned()))
}

fn kill_group(child: &Child) {
    if let Ok(pid) = pid(child) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// The last of what a stream has had, read as it comes so that the program never waits for us.
struct Tail {
    kept: Arc<Mutex<Vec<u8>>>,
    end: mpsc::Receiver<()>,
}

impl Tail {
    fn follow(mut stream: impl Read + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (at_end, end) = mpsc::channel();
        let shared = Arc::clone(&kept);
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
                if kept.len() > 2 * KEPT {
                    let surplus = kept.len() - KEPT;
                    kept.drain(..surplus);
                }
            }
            let _ = at_end.send(());
        });
        Self { kept, end }
    }

    fn text(self) -> String {
        let _ = self.end.recv_timeout(STRAGGLERS);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}
