//! Sets the process up before the first plugin is loaded.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

/// The channel is moved to this descriptor or above, out of the way of code that closes "all"
/// descriptors by counting up from 3.
const CHANNEL_FD: i32 = 512;
/// Where the limit on descriptors is low.
const CHANNEL_FD_LOW: i32 = 64;
/// Bytes of the largest file that a plugin may write: a runaway log must not fill the disk.
const FILE_BYTES: u64 = 4 << 30;

/// The `worker` subcommand. With `--job FILE` it does what a file says, for tools that look at a process
/// from outside; else it takes the channel from descriptor 0, shields it from plugins, limits
/// the process, and serves until the other side closes the channel.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(2);
    if let (Some(word), Some(file)) = (words.next(), words.next())
        && word == "--job"
    {
        let ready = shield().map_err(|error| format!("the worker could not be set up: {error}"));
        return match ready.and_then(|()| launches(words)) {
            Ok(launches) => crate::outside::run(Path::new(&file), launches),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
        };
    }
    match set_up() {
        Ok(channel) => crate::run(channel),
        Err(error) => {
            eprintln!(
                "the worker could not be set up: {error}; it is started by `evo` itself, with a \
                 socket as its standard input"
            );
            ExitCode::from(2)
        }
    }
}

/// The number behind `--launches`; `None` where the words end before it.
fn launches(mut words: impl Iterator<Item = OsString>) -> Result<Option<u32>, String> {
    let Some(word) = words.next() else {
        return Ok(None);
    };
    if word != "--launches" {
        return Err(format!("`{}` is no option", word.display()));
    }
    let word = words.next().unwrap_or_default();
    let number = word.to_str().and_then(|word| word.parse().ok());
    number
        .map(Some)
        .ok_or_else(|| format!("`{}` is no number of launches", word.display()))
}

/// Ends with whoever started it, and limits what plugins may do.
fn shield() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, FILE_BYTES)
}

fn set_up() -> io::Result<UnixStream> {
    shield()?;
    let channel = take_channel()?;
    let channel = UnixStream::from(channel);
    // Fails where descriptor 0 was no socket.
    channel.peer_addr()?;
    Ok(channel)
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let old = getrlimit(resource);
    let least = |old: Option<u64>| Some(old.map_or(most, |old| old.min(most)));
    let new = Rlimit {
        current: least(old.current),
        maximum: least(old.maximum),
    };
    Ok(setrlimit(resource, new)?)
}

/// Moves descriptor 0 away and puts `/dev/null` in its place, so that nothing a plugin reads from
/// standard input is the channel.
fn take_channel() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    let channel = rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), CHANNEL_FD)
        .or_else(|_| rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), CHANNEL_FD_LOW))?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(channel)
}
