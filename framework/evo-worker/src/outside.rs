//! A candidate in a process of its own, for tools that look at a process from outside: what it is to do
//! is in a file, `evo worker --job FILE --launches N`.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use evo_wire::{
    Envelope, FrameError, ReplayJob, ReplayMode, Reply, Request, read_frame, write_frame,
};
use serde::{Deserialize, Serialize};

/// What the process is to do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Job {
    /// The first message of the host to the worker that asks.
    pub(crate) hello: Request,
    /// What to launch.
    pub(crate) job: ReplayJob,
}

impl Job {
    /// Writes it down; returns the command that does it, to which the number of launches is added.
    ///
    /// # Errors
    /// Why the file cannot be written, or the program not be named.
    pub(crate) fn command(&self, folder: &Path) -> Result<Vec<String>, String> {
        let file = folder.join(JOB);
        let text = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let words = [program, "worker".into(), "--job".into(), file];
        let words = words
            .into_iter()
            .map(|word| word.into_os_string().into_string());
        words
            .collect::<Result<Vec<String>, _>>()
            .map_err(|word| format!("{} is no UTF-8", PathBuf::from(word).display()))
    }
}

/// The file's name in its folder.
const JOB: &str = "job.json";

/// Does what a file says, in this process: it plays the host and the worker. `launches` after one to
/// warm up, where the command line says so.
pub(crate) fn run(file: &Path, launches: Option<u32>) -> ExitCode {
    let read = fs::read(file).map_err(|error| error.to_string());
    let outside = read
        .and_then(|text| serde_json::from_slice::<Job>(&text).map_err(|error| error.to_string()));
    let (outside, channel) = match outside.and_then(|it| Ok((it, pair()?))) {
        Ok(both) => both,
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            return ExitCode::from(2);
        }
    };
    let mut outside = outside;
    if let Some(launches) = launches {
        outside.job.mode = ReplayMode::Launch { launches };
    }
    let (ours, theirs) = channel;
    let host = thread::spawn(move || ask(ours, outside));
    // Plugins are called on the first thread, as in any worker.
    let served = crate::run(theirs);
    match host.join() {
        Ok(Ok(())) => served,
        Ok(Err(message)) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn pair() -> Result<(UnixStream, UnixStream), String> {
    UnixStream::pair().map_err(|error| error.to_string())
}

/// Speaks for the host; closes the channel at the end.
fn ask(mut channel: UnixStream, outside: Job) -> Result<(), String> {
    let requests = [outside.hello, Request::Replay(Box::new(outside.job))];
    for (id, body) in (1..).zip(requests) {
        let said = |error: FrameError| error.to_string();
        write_frame(&mut channel, &Envelope { id, body }).map_err(said)?;
        let reply = loop {
            let envelope: Envelope<Reply> = read_frame(&mut channel).map_err(said)?;
            if !matches!(envelope.body, Reply::Progress { .. }) {
                break envelope.body;
            }
        };
        match reply {
            Reply::Hello { .. } | Reply::Replayed { .. } => {}
            Reply::Outcome { outcome, .. } => return Err(outcome.summary()),
            Reply::Failed { message, .. } => return Err(message),
            other => return Err(format!("an answer that nobody asked for: {other:?}")),
        }
    }
    Ok(())
}
