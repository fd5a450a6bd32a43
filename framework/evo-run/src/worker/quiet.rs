//! Builders stand still while a device is timed.
//!
//! A GPU fetches what it launches from the host's memory, and compilers that keep that busy delay each
//! launch: beside three builds a kernel of 5.31 us took 5.63 us on an H200, beside none 5.31 us
//! (kernels/sdpa/RESULTS.md). A lower priority does not help against that.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Holds the builders of a search while any of its devices is timed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quiet(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Devices that are being timed.
    timed: usize,
    /// Process groups of builders.
    builders: BTreeSet<u32>,
    /// How long builders have been held, up to the last time.
    held: Duration,
    since: Option<Instant>,
}

impl State {
    fn signal(&self, signal: Signal) {
        for builder in &self.builders {
            send(*builder, signal);
        }
    }
}

fn send(builder: u32, signal: Signal) {
    if let Some(group) = i32::try_from(builder).ok().and_then(Pid::from_raw) {
        // One that has just ended is in nobody's way.
        let _ = kill_process_group(group, signal);
    }
}

impl Quiet {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the builders until what is returned is dropped, for all devices that asked.
    pub(crate) fn while_timed(&self) -> Timed {
        let mut state = self.state();
        state.timed += 1;
        if state.timed == 1 {
            state.since = Some(Instant::now());
            state.signal(Signal::STOP);
        }
        Timed(self.clone())
    }

    /// Takes a builder in, by its process, which leads a group of its own; it is held as the others
    /// are until what is returned is dropped. That has to be before the process is waited for: later
    /// its number may be another's.
    pub(super) fn builder(&self, process: u32) -> Member {
        let mut state = self.state();
        state.builders.insert(process);
        if state.timed > 0 {
            send(process, Signal::STOP);
        }
        Member {
            quiet: self.clone(),
            process,
        }
    }

    /// How long builders have been held so far: time that none of them has had.
    pub(super) fn held(&self) -> Duration {
        let state = self.state();
        let now = state.since.map_or(Duration::ZERO, |since| since.elapsed());
        state.held + now
    }
}

/// A device is being timed.
#[derive(Debug)]
pub(crate) struct Timed(Quiet);

impl Drop for Timed {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.timed = state.timed.saturating_sub(1);
        if state.timed == 0 {
            if let Some(since) = state.since.take() {
                state.held += since.elapsed();
            }
            state.signal(Signal::CONT);
        }
    }
}

/// A builder is there.
#[derive(Debug)]
pub(super) struct Member {
    quiet: Quiet,
    process: u32,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.quiet.state().builders.remove(&self.process);
        // So that it can end by itself.
        send(self.process, Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};
    use std::thread;

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep")
            .arg("60")
            .process_group(0)
            .spawn()
            .unwrap()
    }

    /// The state that the system shows of a process: `T` for one that is held.
    fn state(child: &Child) -> char {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let (_, rest) = text.rsplit_once(") ").unwrap();
        rest.chars().next().unwrap()
    }

    fn becomes(child: &Child, held: bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while (state(child) == 'T') != held {
            assert!(Instant::now() < deadline, "{}", state(child));
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn builders_are_held_while_any_device_is_timed_and_not_longer() {
        let quiet = Quiet::default();
        let (mut one, mut late) = (sleeper(), sleeper());
        let member = quiet.builder(one.id());
        becomes(&one, false);
        let first = quiet.while_timed();
        let second = quiet.while_timed();
        becomes(&one, true);
        let latecomer = quiet.builder(late.id());
        becomes(&late, true);
        drop(first);
        thread::sleep(Duration::from_millis(5));
        assert_eq!(state(&one), 'T');
        drop(member);
        becomes(&one, false);
        drop(second);
        becomes(&late, false);
        let held = quiet.held();
        assert!(held >= Duration::from_millis(5));
        thread::sleep(Duration::from_millis(2));
        assert_eq!(quiet.held(), held);
        // Who has left is nobody's to hold.
        let third = quiet.while_timed();
        becomes(&late, true);
        assert_ne!(state(&one), 'T');
        drop((third, latecomer));
        for child in [&mut one, &mut late] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
